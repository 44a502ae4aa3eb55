//! The rules of an identity that only the authentication service can check: who is a client, and what was issued.

use std::fmt::Display;

use vestibule_backend::authentication_service::client_set::ClientSet;
use vestibule_backend::authentication_service::clients::{ClientRecord, ClientState, client_unconfirmed};
use vestibule_identity::{Change, Member};
use vestibule_protocol::problem::{Problem, ProblemType};

/// Checks that the only member of a group that begins is the client that asks, with its current credential.
pub(crate) fn check_creator(members: &[Member], signer: &ClientRecord) -> Result<(), Problem> {
    if members.iter().all(|member| is_current(member, signer)) {
        return Ok(());
    }
    let detail = "the group's only member must be the client that signs the request, with its current credential";
    Err(Problem::new(ProblemType::GroupInfoRefused, detail))
}

/// Checks what a commit does to the members.
pub(crate) fn check_change(change: &Change, clients: &ClientSet, signer: &ClientRecord) -> Result<(), Problem> {
    if change.committer.client_id != signer.client_id {
        return Err(refused(&"the commit is of another client than the one that signs the request"));
    }
    if !signer.is_confirmed() && !change.is_confirmation {
        return Err(client_unconfirmed());
    }
    if change.has_new_credential() && change.committer.client_credential != signer.client_credential {
        return Err(refused(&"the committer's new credential is not its current one"));
    }
    if let Some(added) = &change.added {
        let record = clients.get(&added.client_id.uuid).and_then(ClientState::live);
        if !record.is_some_and(|record| !record.is_confirmed() && is_current(added, record)) {
            return Err(refused(&"only a client that is still unconfirmed is added, with the credential issued to it"));
        }
    }
    let is_live = |uuid| clients.get(uuid).and_then(ClientState::live).is_some();
    if change.removed.iter().any(|removed| is_live(&removed.uuid)) {
        return Err(refused(&"a client is removed as a client of the user first"));
    }
    Ok(())
}

fn is_current(member: &Member, record: &ClientRecord) -> bool {
    member.client_id == record.client_id && member.client_credential == record.client_credential
}

fn refused(reason: &dyn Display) -> Problem {
    Problem::new(ProblemType::CommitRefused, reason)
}

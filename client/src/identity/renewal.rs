//! Renewing the client's credential, and bringing the renewed one into the identity.

use std::time::Duration;

use vestibule_protocol::credential::{
    AsCredential, AsIntermediateCredential, ClientCredential, ClientCredentialCsr, ClientCredentialCsrPayload,
    ClientCredentialPayload,
};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{AddClient, AddClientRequest, ClientPath, GetCredentials, GetCredentialsResponse};
use vestibule_protocol::signed::Unverified;
use vestibule_protocol::time::{DAY, Timestamp};

use super::own::is_labelled;
use super::sharing::told_with;
use super::{catch_up, commit};
use crate::chain::{Chain, CredentialsError, revoked_fingerprints};
use crate::error::Error;
use crate::home::{Account, AuthenticationServiceState, KeptRequest, Renewal};
use crate::session::Session;

/// A credential of which less is left is renewed.
const RENEWAL_TIME: Duration = Duration::from_secs(30 * DAY.as_secs());

/// Renews the client's credential if it ends soon, or if who signed it was revoked: then nobody believes it any more. The
/// identity need not be followed for this; the client's leaf is to be [updated](update_leaf) when it is.
pub(crate) async fn renew(session: &mut Session<'_>) -> Result<(), Error> {
    if session.account().renewal.is_some() {
        match complete(session).await {
            // What it asked for cannot be had any more, from a signer that was revoked since, say.
            Err(Error::Api(error)) if error.problem_type().is_some() && !error.may_pass() => {}
            outcome => outcome?,
        }
    }
    let offered = session.authentication_service.call::<GetCredentials>(&(), &[]).await?;
    if is_due(session.account(), &offered, session.now())? {
        begin(session, &offered)?;
        complete(session).await?;
    }
    Ok(())
}

/// Sees to it that the client's leaf has the label that says what is so, which the user's other devices go by.
pub(crate) async fn ensure_labelled(session: &mut Session<'_>) -> Result<(), Error> {
    if is_labelled(session.account()) {
        return Ok(());
    }
    catch_up(session).await?;
    update_leaf(session).await
}

/// Commits an update if the client's leaf does not say what is so, or if there is something to tell the other clients.
pub(crate) async fn update_leaf(session: &mut Session<'_>) -> Result<(), Error> {
    let account = session.account();
    let credential = account.client_credential().cloned();
    let state = account.identity.as_ref().expect("it was followed");
    let must_tell = state.sharing.must_tell || told_with(state, state.member().follower()).is_some();
    commit(session, move |identity, keys, randomness| {
        let own = identity.follower().member(keys.client_id().uuid);
        let is_current = own.is_some_and(|own| {
            Some(&own.client_credential) == credential.as_ref()
                && own.encrypted_device_label == keys.encrypted_device_label
        });
        if is_current && !must_tell { Ok(None) } else { identity.prepare_update(keys, randomness).map(Some) }
    })
    .await?;
    Ok(())
}

/// Whether the credential ends soon, or its signer was revoked. A credential that was itself revoked is not renewed for that:
/// whoever revoked it did not mean the next one to be believed instead.
fn is_due(account: &Account, offered: &GetCredentialsResponse, now: Timestamp) -> Result<bool, Error> {
    let revoked = revoked_fingerprints(&offered.revoked_fingerprints)?;
    let credential = account.client_credential();
    let credential =
        credential.and_then(|credential| Unverified::<ClientCredentialPayload>::from_bytes(&credential.0).ok());
    Ok(credential.is_some_and(|credential| {
        let ClientCredentialPayload { expiration_data, signer_fingerprint, .. } = credential.claim();
        expiration_data.not_after <= now.saturating_add(RENEWAL_TIME) || revoked.contains(signer_fingerprint)
    }))
}

/// Makes the request, and keeps it with what its answer is to be judged by.
fn begin(session: &mut Session<'_>, offered: &GetCredentialsResponse) -> Result<(), Error> {
    let account = session.account();
    let now = session.now();
    let chain = Chain::choose(offered, account.user_name.domain(), session.trusted_root, now)?;
    let key = &account.client_credential_key;
    let requested =
        ClientCredentialPayload::requesting(account.client_id(), key.verifying_key(), &chain.intermediate, now);
    let csr = ClientCredentialCsr::sign(ClientCredentialCsrPayload(requested), key);
    let renewal = Renewal {
        request: KeptRequest::new(&AddClientRequest { client_credential_csr: csr.to_bytes() }),
        as_credential: chain.root.to_bytes(),
        as_intermediate_credential: chain.intermediate.to_bytes(),
    };
    session.change_account(|account| account.renewal = Some(renewal))
}

/// Sends the request that was kept. One that is refused is made anew the next time.
async fn complete(session: &mut Session<'_>) -> Result<(), Error> {
    let account = session.account();
    let renewal = account.renewal.as_ref().expect("there is one under way");
    let path = ClientPath { user_name: account.user_name.clone(), client_uuid: account.client_uuid };
    let service = &session.authentication_service;
    let answer = service.call_signed::<AddClient, _>(&path, renewal.request.as_bytes(), &account.signer()).await;
    match answer {
        Ok(answer) => {
            check(account, renewal, &answer.client_credential, session.now())?;
            session.change_account(|account| {
                let Renewal { as_credential, as_intermediate_credential, .. } =
                    account.renewal.take().expect("there is one under way");
                if account.as_intermediate_credential != as_intermediate_credential {
                    account.pseudonym.iter_mut().for_each(|pseudonym| pseudonym.publications.signer_changed());
                }
                (account.as_credential, account.as_intermediate_credential) =
                    (as_credential, as_intermediate_credential);
                let client_credential = answer.client_credential;
                account.authentication_service = AuthenticationServiceState::Registered { client_credential };
            })
        }
        Err(error) if error.may_pass() || error.problem_type().is_none() => Err(error.into()),
        Err(error) => {
            session.change_account(|account| account.renewal = None)?;
            Err(session.refusal(error))
        }
    }
}

/// Checks that the credential is the one that was asked for.
fn check(account: &Account, renewal: &Renewal, credential: &Bytes, now: Timestamp) -> Result<(), Error> {
    let domain = account.user_name.domain();
    let root =
        AsCredential::verify_root(&renewal.as_credential.0, domain, now).map_err(CredentialsError::RootRefused)?;
    let intermediate = AsIntermediateCredential::verify_chain(&renewal.as_intermediate_credential.0, &root, now)
        .map_err(|error| CredentialsError::IntermediateRefused(Some(error)))?;
    let credential =
        ClientCredential::verify_chain(&credential.0, &intermediate, now).map_err(Error::ClientCredentialRefused)?;
    let request: AddClientRequest =
        serde_json::from_slice(renewal.request.as_bytes()).expect("the request was written by this client");
    let csr = ClientCredentialCsr::verify_self_signed(&request.client_credential_csr.0)
        .map_err(Error::ClientCredentialRefused)?;
    if *credential.payload() == csr.payload().0 { Ok(()) } else { Err(Error::CredentialForAnotherRequest) }
}

//! Who issued the credentials of the user's clients.
//!
//! A client stays in the identity whether its credential is valid now or not, and a history is as old as it is: what counts
//! is that the trusted root stood behind it when it was issued. So it is with an intermediate that was revoked: who is in
//! the identity was let in by a member. Whom this client lets in itself is judged by what holds now.

use vestibule_identity::Member;
use vestibule_protocol::credential::{
    AsCredential, AsCredentialPayload, AsIntermediateCredential, AsIntermediateCredentialPayload, ClientCredential,
    ClientCredentialPayload, CredentialError,
};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{GetCredentials, GetCredentialsResponse};
use vestibule_protocol::name::Domain;
use vestibule_protocol::signed::{Fingerprint, Unverified};

use super::IdentityFailure;
use crate::chain::{CredentialsError, TrustedChains};
use crate::error::Error;
use crate::session::Session;

/// The intermediates that the trusted root has signed.
pub(crate) struct KnownIntermediates(Vec<AsIntermediateCredential>);

impl KnownIntermediates {
    /// Those among what the server offers, and the one that this device has besides, whenever they are valid and whether
    /// they were revoked or not: for the members that there are.
    pub(crate) fn ever(offered: &GetCredentialsResponse, own: &Bytes, root: &AsCredential) -> Self {
        let all = offered.as_intermediate_credentials.iter().chain([own]);
        Self(all.filter_map(|bytes| intermediate_under(bytes, root).ok()).collect())
    }

    /// Those that are valid now and not revoked: for whoever is to become a member.
    pub(crate) fn in_force(chains: &TrustedChains) -> Self {
        Self(chains.intermediates().to_vec())
    }

    /// Decodes a credential and checks that one of them issued it.
    pub(crate) fn verify(&self, client_credential: &Bytes) -> Result<ClientCredential, CredentialError> {
        let claimed = Unverified::<ClientCredentialPayload>::from_bytes(&client_credential.0)?;
        let signer = claimed.claim().signer_fingerprint;
        let intermediate = self.0.iter().find(|intermediate| intermediate.fingerprint() == signer);
        ClientCredential::verify_signer(&client_credential.0, intermediate.ok_or(CredentialError::UnknownSigner)?)
    }

    /// Checks that they issued the credentials of all of these.
    pub(crate) fn check<'m>(&self, members: impl IntoIterator<Item = &'m Member>) -> Result<(), IdentityFailure> {
        match members.into_iter().find(|member| self.verify(&member.client_credential).is_err()) {
            Some(foreign) => Err(IdentityFailure::ForeignClient(foreign.client_id.clone())),
            None => Ok(()),
        }
    }
}

/// Checks that the credentials of these clients were issued under the root that the device trusts.
pub(crate) async fn verify_members(session: &Session<'_>, members: &[Member]) -> Result<(), Error> {
    if members.is_empty() {
        return Ok(());
    }
    let offered = session.authentication_service.call::<GetCredentials>(&(), &[]).await?;
    let account = session.account();
    let root = trusted_root(&account.as_credential, account.user_name.domain(), session.trusted_root)?;
    let known = KnownIntermediates::ever(&offered, &account.as_intermediate_credential, &root);
    Ok(known.check(members)?)
}

/// The root that the account was made under, if it is the one that is trusted.
fn trusted_root(
    bytes: &Bytes,
    domain: &Domain,
    trusted: Option<Fingerprint>,
) -> Result<AsCredential, CredentialsError> {
    let root = root_of(bytes, domain)?;
    match trusted {
        Some(trusted) if trusted != root.fingerprint() => Err(CredentialsError::RootChanged { trusted }),
        _ => Ok(root),
    }
}

/// Decodes a root, whenever it is valid.
pub(crate) fn root_of(bytes: &Bytes, domain: &Domain) -> Result<AsCredential, CredentialsError> {
    let root = Unverified::<AsCredentialPayload>::from_bytes(&bytes.0)
        .map_err(CredentialError::from)
        .and_then(|claimed| AsCredential::verify_root(&bytes.0, domain, claimed.claim().expiration_data.not_before));
    root.map_err(CredentialsError::RootRefused)
}

/// Decodes an intermediate of this root, whenever it is valid.
pub(crate) fn intermediate_under(
    bytes: &Bytes,
    root: &AsCredential,
) -> Result<AsIntermediateCredential, CredentialError> {
    let claimed = Unverified::<AsIntermediateCredentialPayload>::from_bytes(&bytes.0)?;
    AsIntermediateCredential::verify_chain(&bytes.0, root, claimed.claim().expiration_data.not_before)
}

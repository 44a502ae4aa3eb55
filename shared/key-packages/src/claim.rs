//! What a friend checks of packages that were claimed: the whole chain from the root to the leaf, and that it is whom the
//! friendship code names.

use std::collections::HashSet;

use openmls::prelude::KeyPackage;
use openmls_rust_crypto::RustCrypto;
use vestibule_protocol::add_package::{AddPackage, AddPackageError, KeyPackageRef};
use vestibule_protocol::credential::{
    AsIntermediateCredential, ClientCredential, ClientCredentialPayload, CredentialError,
};
use vestibule_protocol::endpoint::ClaimKeyPackagesResponse;
use vestibule_protocol::friendship::FriendshipCode;
use vestibule_protocol::name::{ClientId, UserName};
use vestibule_protocol::queuing::{ClaimAnswer, QsKeys};
use vestibule_protocol::signed::{Fingerprint, SignedError, Unverified};
use vestibule_protocol::time::Timestamp;

use crate::rules::{CheckedKeyPackage, PackageError, queue_config_of};

/// Why claimed packages are not accepted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClaimError {
    /// The answer is not the queuing service's to this request.
    #[error("the answer is not the queuing service's to this claim: {0}")]
    Answer(SignedError),
    /// The answer has no packages.
    #[error("the answer has no packages")]
    Empty,
    /// Two packages are of one client.
    #[error("two of the packages are of one client")]
    ClientTwice,
    /// The friendship code does not open the identity.
    #[error("the friendship code does not open a package")]
    NotForThisCode,
    /// The KeyPackage is not what it must be.
    #[error("a package is not valid: {0}")]
    Package(PackageError),
    /// The client's credential, or the leaf credential under it, is not to be trusted.
    #[error("a package's credential is not valid: {0}")]
    Credential(#[from] CredentialError),
    /// The credential, or the one that signed it, is revoked.
    #[error("a package's credential is revoked")]
    Revoked,
    /// It is another user than the code says.
    #[error("a package is of {0}, and not of whom the friendship code names")]
    AnotherUser(UserName),
}

/// The credentials of the authentication service that a claim is judged by: verified against the root that the client
/// pinned.
#[derive(Clone, Copy, Debug)]
pub struct TrustedCredentials<'a> {
    /// The intermediates.
    pub intermediates: &'a [AsIntermediateCredential],
    /// What is not to be accepted any more.
    pub revoked: &'a [Fingerprint],
}

/// A package that is a client's of the user in the friendship code: everything was checked.
#[derive(Clone, Debug)]
pub struct ClaimedPackage {
    /// The KeyPackage's name.
    pub reference: KeyPackageRef,
    /// Whether it is one that others may have been given too.
    pub is_last_resort: bool,
    /// The client's credential.
    pub client_credential: ClientCredential,
    /// The KeyPackage, to be added to a group.
    pub key_package: KeyPackage,
}

impl ClaimedPackage {
    /// Opens an AddPackage with the code and checks it: the KeyPackage itself, the chain intermediate → client credential
    /// → leaf credential → leaf with its validities, and that the credential names the user in the code.
    ///
    /// # Errors
    /// [`ClaimError`].
    pub fn verify(
        add_package: &[u8],
        code: &FriendshipCode,
        trusted: TrustedCredentials<'_>,
        now: Timestamp,
    ) -> Result<Self, ClaimError> {
        let add_package = AddPackage::from_bytes(add_package).map_err(|error| match error {
            AddPackageError::TooLarge => ClaimError::Package(PackageError::TooLarge),
            _ => ClaimError::Package(PackageError::Malformed),
        })?;
        let identity = add_package.open(&code.encryption_key).map_err(|_| ClaimError::NotForThisCode)?;
        let client_credential = trusted.verify(&identity.client_credential.0, now)?;
        let user_name = &client_credential.payload().client_id.user_name;
        if *user_name != code.user_name {
            return Err(ClaimError::AnotherUser(user_name.clone()));
        }
        let checked = CheckedKeyPackage::check(add_package.key_package(), &RustCrypto::default(), now)
            .map_err(ClaimError::Package)?;
        checked.leaf_credential.verify(&identity.signature_encryption_key, &client_credential, now)?;
        Ok(Self {
            reference: checked.reference,
            is_last_resort: checked.is_last_resort,
            client_credential,
            key_package: checked.key_package,
        })
    }

    /// The queue config in its leaf, encrypted to the queuing service: where messages for its owner go.
    pub fn queue_config(&self) -> &[u8] {
        queue_config_of(self.key_package.leaf_node()).expect("it was checked")
    }

    /// Whose it is.
    pub fn client_id(&self) -> &ClientId {
        &self.client_credential.payload().client_id
    }
}

impl TrustedCredentials<'_> {
    fn verify(&self, client_credential: &[u8], now: Timestamp) -> Result<ClientCredential, ClaimError> {
        let claim =
            Unverified::<ClientCredentialPayload>::from_bytes(client_credential).map_err(CredentialError::Signed)?;
        let signer_fingerprint = claim.claim().signer_fingerprint;
        // Nobody gains by saying so falsely.
        if self.revoked.contains(&signer_fingerprint) {
            return Err(ClaimError::Revoked);
        }
        let signer = self
            .intermediates
            .iter()
            .find(|intermediate| intermediate.fingerprint() == signer_fingerprint)
            .ok_or(CredentialError::UnknownSigner)?;
        let credential = ClientCredential::verify_chain(client_credential, signer, now)?;
        if self.revoked.contains(&credential.fingerprint()) { Err(ClaimError::Revoked) } else { Ok(credential) }
    }
}

/// Checks the answer to a claim: that the queuing service gave it to the request with the body `request_body`, and every
/// package in it. Packages with revoked credentials are left out, as the service could have done: it cannot know of them, and
/// a user's other clients are not to wait for one that has not renewed its credential yet.
///
/// # Errors
/// [`ClaimError`]: any other bad package spoils the answer, for whoever handed it out is not to be trusted.
/// [`ClaimError::Revoked`] if no other package is left.
pub fn verify_claim(
    response: &ClaimKeyPackagesResponse,
    request_body: &[u8],
    qs_keys: &QsKeys,
    code: &FriendshipCode,
    trusted: TrustedCredentials<'_>,
    now: Timestamp,
) -> Result<Vec<ClaimedPackage>, ClaimError> {
    let ClaimKeyPackagesResponse { add_packages, claim_answer } = response;
    ClaimAnswer::verify(&claim_answer.0, request_body, add_packages, &qs_keys.payload().verifying_key)
        .map_err(ClaimError::Answer)?;
    let mut packages = Vec::with_capacity(add_packages.len());
    let mut want = ClaimError::Empty;
    for package in add_packages {
        match ClaimedPackage::verify(&package.0, code, trusted, now) {
            Ok(package) => packages.push(package),
            Err(ClaimError::Revoked) => want = ClaimError::Revoked,
            Err(error) => return Err(error),
        }
    }
    let mut clients = HashSet::new();
    if packages.is_empty() {
        Err(want)
    } else if !packages.iter().all(|package| clients.insert(package.client_id())) {
        Err(ClaimError::ClientTwice)
    } else {
        Ok(packages)
    }
}

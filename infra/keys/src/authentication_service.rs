//! The keys of the authentication service after the first: how intermediates are replaced and credentials revoked.
//!
//! An intermediate stays published after its end, for as long as the root lives: the credential of a device that was long
//! off is in its user's identity all the same, and the user's other devices ask who signed it.

use rand::{CryptoRng, RngCore};
use vestibule_backend::authentication_service::public_credentials;
use vestibule_backend::dynamodb::Item;
use vestibule_backend::secret::{AsSigningDocument, IntermediateDocument, read_document};
use vestibule_protocol::credential::{
    AsCredential, AsCredentialPayload, AsIntermediateCredential, AsIntermediateCredentialPayload, CredentialError,
};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::GetCredentialsResponse;
use vestibule_protocol::keys::SigningKey;
use vestibule_protocol::signed::{Fingerprint, Unverified};
use vestibule_protocol::time::{DAY, ExpirationData, Timestamp};

use crate::agreement::has_another_day;
use crate::{AS_INTERMEDIATE_CREDENTIAL_DAYS, RootDocument, SecretDocumentJson};

/// How many days ahead of its first an intermediate is made: time for every function to have it in its secret.
const NOTICE_DAYS: u32 = 2;

/// The authentication service's keys: for its secret, and for everybody.
pub struct AuthenticationServiceKeys {
    /// The secret document, if it is another than before.
    pub secret: Option<SecretDocumentJson>,
    /// The credentials that `as-get-credentials` publishes.
    pub public_credentials: GetCredentialsResponse,
}

/// When a new intermediate begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Beginning {
    /// In two days, or today if none that is valid now outlasts that by a day.
    InTwoDays,
    /// Today, because the one before is not to be trusted any more. Until every function has read its secret again, in five
    /// minutes, some clients are refused and try later.
    Today,
}

/// Why keys are not replaced or revoked.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationServiceKeysError {
    /// What was given as the secret document is none.
    #[error("{0}")]
    Unreadable(String),
    /// A credential does not hold.
    #[error("{what}: {reason}")]
    Credential {
        /// Which one.
        what: &'static str,
        /// What is wrong with it.
        reason: CredentialError,
    },
    /// The root key is not that of this deployment.
    #[error("the root key is of another deployment than the secret or the published credentials")]
    ForeignRoot,
    /// The published keys of the queuing service are not those in its secret.
    #[error("the published keys of the queuing service are not those in the secret qs")]
    ForeignQueuingService,
    /// The root ends before a new intermediate could be of use.
    #[error("the root ends too soon to sign another intermediate: make a new deployment")]
    RootEnds,
    /// One was made already.
    #[error("the newest intermediate is in place and has not begun yet: wait until it has, or say --today")]
    NotYetBegun,
    /// What is to be revoked is the root.
    #[error("{0} is the root: without it nothing is left of the deployment")]
    Root(Fingerprint),
    /// Nothing could be signed any more.
    #[error(
        "no intermediate would be left that is published, not revoked, in the secret and valid for another day: first \
         make another one that begins today, and upload it"
    )]
    NoneLeft,
    /// What is to be revoked is nothing that is published.
    #[error("{0} is no intermediate of this deployment: say --client if it is a client's credential")]
    Unknown(Fingerprint),
}

impl AuthenticationServiceKeys {
    /// Adds an intermediate to those in the secret document and to those that are published. Those that have ended leave the
    /// secret. If the newest has not begun, but is in the secret alone since an upload was interrupted, nothing is made but
    /// that is published.
    ///
    /// # Errors
    /// [`AuthenticationServiceKeysError`].
    pub fn rotate(
        root: &RootDocument,
        secret: &str,
        published: &GetCredentialsResponse,
        beginning: Beginning,
        now: Timestamp,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Self, AuthenticationServiceKeysError> {
        use AuthenticationServiceKeysError as Error;
        let mut document = read_document::<AsSigningDocument>(secret).map_err(Error::Unreadable)?;
        let credential = root.checked(now)?;
        if document.as_credential != root.credential || !published.as_credentials.contains(&root.credential) {
            return Err(Error::ForeignRoot);
        }
        let mut public_credentials = published.clone();
        let unpublished = unpublished(&document, published, now);
        let is_complete = unpublished.is_empty();
        public_credentials.as_intermediate_credentials.splice(..0, unpublished);
        let mut validities = Vec::new();
        for intermediate in &document.intermediates {
            let intermediate = intermediate_under(&intermediate.credential, &credential)?;
            validities.push(intermediate.payload().expiration_data);
        }
        if beginning == Beginning::InTwoDays && validities.iter().any(|validity| now < validity.not_before) {
            return if is_complete { Err(Error::NotYetBegun) } else { Ok(Self { secret: None, public_credentials }) };
        }
        // One that ends before the new one has begun would leave a gap in which nobody is signed.
        let in_two_days = now.start_of_day().saturating_add(DAY * NOTICE_DAYS);
        let outlasts =
            |validity: &ExpirationData| validity.contains(now) && in_two_days.saturating_add(DAY) <= validity.not_after;
        let waits = beginning == Beginning::InTwoDays && validities.iter().any(outlasts);
        let starting = if waits { in_two_days } else { now };

        let signing_key = SigningKey::generate(rng);
        let days = AS_INTERMEDIATE_CREDENTIAL_DAYS;
        let verifying_key = signing_key.verifying_key();
        let fresh = AsIntermediateCredential::issue(verifying_key, &credential, &root.signing_key, starting, days);
        let fresh = fresh.to_bytes();
        AsIntermediateCredential::verify_chain(&fresh.0, &credential, starting).map_err(|_| Error::RootEnds)?;

        let mut validity = validities.iter();
        document.intermediates.retain(|_| validity.next().is_some_and(|validity| now < validity.not_after));
        document.intermediates.insert(0, IntermediateDocument { credential: fresh.clone(), signing_key });
        public_credentials.as_intermediate_credentials.insert(0, fresh);
        Ok(Self { secret: Some(SecretDocumentJson::of(document)), public_credentials })
    }

    /// Adds fingerprints of credentials, of intermediates or clients, to those that are published as revoked. Clients refuse
    /// what they name. The key of an intermediate that is revoked leaves the secret document. A fingerprint that is not an
    /// intermediate's is a client's credential if the caller says `clients`, and a mistake otherwise. What an upload that was
    /// interrupted has left in the secret alone is published.
    ///
    /// # Errors
    /// [`AuthenticationServiceKeysError`].
    pub fn revoke(
        secret: &str,
        published: &GetCredentialsResponse,
        fingerprints: &[Fingerprint],
        clients: bool,
        now: Timestamp,
    ) -> Result<Self, AuthenticationServiceKeysError> {
        use AuthenticationServiceKeysError as Error;
        let mut revoked_intermediates = Vec::new();
        for bytes in &published.as_credentials {
            let root = root_of(bytes)?;
            if fingerprints.contains(&root.fingerprint()) {
                return Err(Error::Root(root.fingerprint()));
            }
            let signed_by_it = |bytes| intermediate_under(bytes, &root).ok();
            let intermediates = published.as_intermediate_credentials.iter().filter_map(signed_by_it);
            revoked_intermediates.extend(intermediates.filter(|one| fingerprints.contains(&one.fingerprint())));
        }
        let is_intermediate =
            |fingerprint: &&Fingerprint| revoked_intermediates.iter().any(|one| one.fingerprint() == **fingerprint);
        if let Some(unknown) = fingerprints.iter().find(|one| !clients && !is_intermediate(one)) {
            return Err(Error::Unknown(*unknown));
        }
        let mut document = read_document::<AsSigningDocument>(secret).map_err(Error::Unreadable)?;
        let revoked: Vec<Bytes> = revoked_intermediates.iter().map(AsIntermediateCredential::to_bytes).collect();
        let count = document.intermediates.len();
        document.intermediates.retain(|intermediate| !revoked.contains(&intermediate.credential));
        let mut public_credentials = published.clone();
        public_credentials.as_intermediate_credentials.splice(..0, unpublished(&document, published, now));
        for fingerprint in fingerprints {
            let revoked = Bytes(fingerprint.as_bytes().to_vec());
            if !public_credentials.revoked_fingerprints.contains(&revoked) {
                public_credentials.revoked_fingerprints.push(revoked);
            }
        }
        let root = root_of(&document.as_credential)?;
        let is_left = |one: &IntermediateDocument| {
            published.as_intermediate_credentials.contains(&one.credential)
                && has_another_day(&one.credential, now)
                && !is_revoked(&one.credential, &root, &public_credentials.revoked_fingerprints)
        };
        if !revoked.is_empty() && !document.intermediates.iter().any(is_left) {
            return Err(Error::NoneLeft);
        }
        let secret = (document.intermediates.len() < count).then(|| SecretDocumentJson::of(document));
        Ok(Self { secret, public_credentials })
    }

    /// The item of `AsTable` that publishes the credentials.
    pub fn public_credentials_item(&self) -> Item {
        public_credentials::item(&self.public_credentials)
    }
}

impl RootDocument {
    /// The root's credential, if it is valid and the key is its own.
    pub(crate) fn checked(&self, now: Timestamp) -> Result<AsCredential, AuthenticationServiceKeysError> {
        let refused = |reason| AuthenticationServiceKeysError::Credential { what: "the root", reason };
        let claimed =
            Unverified::<AsCredentialPayload>::from_bytes(&self.credential.0).map_err(|e| refused(e.into()))?;
        let root = self.verified(&claimed.claim().domain, now).map_err(refused)?;
        if root.payload().verifying_key != self.signing_key.verifying_key() {
            return Err(AuthenticationServiceKeysError::ForeignRoot);
        }
        Ok(root)
    }
}

/// When an intermediate is valid, by its own account.
pub(crate) fn validity_of(intermediate: &Bytes) -> Option<ExpirationData> {
    let claimed = Unverified::<AsIntermediateCredentialPayload>::from_bytes(&intermediate.0).ok()?;
    Some(claimed.claim().expiration_data)
}

/// Decodes a root, whenever it is valid.
pub(crate) fn root_of(bytes: &Bytes) -> Result<AsCredential, AuthenticationServiceKeysError> {
    let refused = |reason| AuthenticationServiceKeysError::Credential { what: "a published root", reason };
    let claimed = Unverified::<AsCredentialPayload>::from_bytes(&bytes.0).map_err(|error| refused(error.into()))?;
    let AsCredentialPayload { domain, expiration_data, .. } = claimed.claim();
    AsCredential::verify_root(&bytes.0, domain, expiration_data.not_before).map_err(refused)
}

/// Decodes an intermediate of this root, whenever it is valid.
pub(crate) fn intermediate_under(
    bytes: &Bytes,
    root: &AsCredential,
) -> Result<AsIntermediateCredential, AuthenticationServiceKeysError> {
    let refused = |reason| AuthenticationServiceKeysError::Credential { what: "an intermediate", reason };
    let begins = validity_of(bytes).map_or(Timestamp::from_seconds(0), |validity| validity.not_before);
    AsIntermediateCredential::verify_chain(&bytes.0, root, begins).map_err(refused)
}

/// The intermediates in a secret document that have not ended and are not published: an upload was interrupted.
fn unpublished(document: &AsSigningDocument, published: &GetCredentialsResponse, now: Timestamp) -> Vec<Bytes> {
    let own = document.intermediates.iter().map(|intermediate| &intermediate.credential);
    let has_ended = |bytes: &Bytes| validity_of(bytes).is_some_and(|validity| validity.not_after <= now);
    let is_public = |bytes: &Bytes| published.as_intermediate_credentials.contains(bytes);
    own.filter(|bytes| !has_ended(bytes) && !is_public(bytes)).cloned().collect()
}

/// Whether an intermediate of this root is among `revoked`.
pub(crate) fn is_revoked(intermediate: &Bytes, root: &AsCredential, revoked: &[Bytes]) -> bool {
    let fingerprint = intermediate_under(intermediate, root).map(|intermediate| intermediate.fingerprint());
    fingerprint.is_ok_and(|fingerprint| revoked.iter().any(|one| one.0 == fingerprint.as_bytes()))
}

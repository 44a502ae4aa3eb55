//! How a test message is made.

use openmls::prelude::{
    Credential, CredentialType, CredentialWithKey, KeyPackage, Lifetime, MlsGroup, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY,
};
use openmls_rust_crypto::MemoryStorage;
use rand::{CryptoRng, RngCore};
use tls_codec::Serialize as _;
use vestibule_key_packages::{leaf_capabilities, leaf_validity};
use vestibule_mls::{CIPHERSUITE, MlsSigner, Provider};
use vestibule_protocol::credential::{AsIntermediateCredential, ClientCredential};
use vestibule_protocol::keys::{ClientCredentialKey, LeafCredentialKey, SigningKey};
use vestibule_protocol::leaf_credential::{LEAF_CREDENTIAL_TYPE, LeafCredential};
use vestibule_protocol::time::Timestamp;
use zeroize::Zeroizing;

use crate::TestMessage;
use crate::content::Content;
use crate::text::MessageText;

/// The plaintext of every PrivateMessage, with the tag behind it, is padded to a multiple of so many bytes: texts and names of
/// about one length cannot be told apart.
const PADDING: usize = 1024;

/// Why no message could be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SealingError {
    /// The sender's credential is valid for no whole day from today on.
    #[error("this device's credential must be renewed first")]
    CredentialExpired,
    /// There is nobody to send it to, or they are too many for one message of a queue, or openmls failed.
    #[error("no message could be made")]
    Failed,
}

/// Who sends a message.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// The client's credential.
    pub client_credential: &'a ClientCredential,
    /// The intermediate that signed it.
    pub as_intermediate_credential: &'a AsIntermediateCredential,
    /// The credential's key.
    pub client_key: &'a SigningKey<ClientCredentialKey>,
}

impl Sender<'_> {
    /// Makes a message for the devices whose KeyPackages these are. All its keys are forgotten at once: it is for them alone.
    ///
    /// # Errors
    /// [`SealingError`].
    pub fn seal(
        &self,
        text: MessageText,
        recipients: &[KeyPackage],
        now: Timestamp,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<TestMessage, SealingError> {
        let validity = leaf_validity(self.client_credential, now).ok_or(SealingError::CredentialExpired)?;
        let signature_key = SigningKey::<LeafCredentialKey>::generate(rng);
        let (leaf_credential, signature_encryption_key) = LeafCredential::issue(
            signature_key.verifying_key(),
            validity,
            self.client_credential,
            self.client_key,
            rng,
        );
        let content = Content {
            client_credential: self.client_credential.to_bytes(),
            as_intermediate_credential: self.as_intermediate_credential.to_bytes(),
            signature_encryption_key,
            text,
        };
        let content = content.to_bytes();
        encrypt(&leaf_credential, &signature_key, recipients, content, rng).ok_or(SealingError::Failed)
    }
}

/// Makes the group, adds the recipients, says what there is to say. The one commit has no path: before it the sender is alone,
/// so there is nobody to whom the first epoch could have been disclosed.
pub(crate) fn encrypt(
    leaf_credential: &LeafCredential,
    signature_key: &SigningKey<LeafCredentialKey>,
    recipients: &[KeyPackage],
    content: Zeroizing<Vec<u8>>,
    rng: &mut (impl RngCore + CryptoRng),
) -> Option<TestMessage> {
    let payload = leaf_credential.payload();
    let validity = &payload.expiration_data;
    let credential_with_key = CredentialWithKey {
        credential: Credential::new(CredentialType::Other(LEAF_CREDENTIAL_TYPE), leaf_credential.to_bytes()),
        signature_key: payload.verifying_key.as_bytes().to_vec().into(),
    };
    let provider = Provider::new(rng, MemoryStorage::default());
    let signer = MlsSigner::from(signature_key);
    let mut group = MlsGroup::builder()
        .ciphersuite(CIPHERSUITE)
        .lifetime(Lifetime::init(validity.not_before.seconds(), validity.not_after.seconds()))
        .with_capabilities(leaf_capabilities())
        .with_wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
        .padding_size(PADDING)
        .max_past_epochs(0)
        .use_ratchet_tree_extension(true)
        .build(&provider, &signer, credential_with_key)
        .ok()?;
    let (_, welcome, _) = group.add_members_without_update(&provider, &signer, recipients).ok()?;
    group.merge_pending_commit(&provider).ok()?;
    let private_message = group.create_message(&provider, &signer, &content).ok()?;
    TestMessage::of(welcome.tls_serialize_detached().ok()?, private_message.tls_serialize_detached().ok()?)
}

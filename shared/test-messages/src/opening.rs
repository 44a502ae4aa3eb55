//! How a test message is opened, and what is checked about its sender.

use openmls::prelude::{
    CredentialType, LeafNode, LeafNodeIndex, MlsGroup, MlsGroupJoinConfig, PURE_CIPHERTEXT_WIRE_FORMAT_POLICY,
    ProcessedMessageContent, Sender as MlsSender, StagedWelcome,
};
use openmls::treesync::LeafNodeSource;
use openmls_rust_crypto::MemoryStorage;
use openmls_traits::OpenMlsProvider as _;
use openmls_traits::storage::StorageProvider as _;
use sha2::{Digest as _, Sha256};
use vestibule_key_packages::PrivateKeyPackage;
use vestibule_mls::{NoRandomness, Provider};
use vestibule_protocol::credential::{AsCredential, AsIntermediateCredential, ClientCredential, CredentialError};
use vestibule_protocol::leaf_credential::{LEAF_CREDENTIAL_TYPE, LeafCredential};
use vestibule_protocol::name::ClientId;
use vestibule_protocol::signed::{Fingerprint, SignedError, labelled};
use vestibule_protocol::time::Timestamp;
use zeroize::Zeroizing;

use crate::content::Content;
use crate::text::MessageText;
use crate::{Malformed, TestMessage};

/// Why a message is not opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpeningError {
    /// It is not well-formed.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The KeyPackage does not open it, or what is inside is not a group with one message by the one who made it.
    #[error("it is not a message to this KeyPackage by the one who made its group")]
    NotForThisPackage,
    /// What the group's maker says there is not what a test message says.
    #[error("what is inside is not a test message's content")]
    Content,
    /// The sender is not who it says, or not to be trusted (any more).
    #[error("its sender is not to be trusted: {0}")]
    Sender(#[from] CredentialError),
    /// The sender's credential, or the one that signed it, is revoked.
    #[error("its sender's credential is revoked")]
    Revoked,
}

/// What senders are judged by.
#[derive(Clone, Copy, Debug)]
pub struct SenderTrust<'a> {
    /// The root that the client pinned.
    pub root: &'a AsCredential,
    /// What is not to be accepted any more.
    pub revoked: &'a [Fingerprint],
}

/// What a message is known by: the SHA-256 hash of the epoch authenticator (RFC 9420, section 8.7) of the one epoch in its
/// group that anything is said in, under the label "TestMessageName". Nobody can make another message with the same. A
/// last-resort KeyPackage opens a message as often as it comes, so its owner keeps the names of those that it has opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageName([u8; 32]);

impl MessageName {
    fn of(group: &MlsGroup) -> Self {
        Self(Sha256::digest(labelled("TestMessageName", group.epoch_authenticator().as_slice())).into())
    }

    /// The name's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A message that was opened, and whose sender was checked.
#[derive(Clone, Debug)]
pub struct OpenedMessage {
    /// The client that sent it.
    pub from: ClientId,
    /// What it says.
    pub text: MessageText,
    /// By what it is known again.
    pub name: MessageName,
}

impl TestMessage {
    /// Opens the message with the private part of a KeyPackage that it [is for](TestMessage::is_for), and checks who sent it:
    /// the chain root → intermediate → client credential → leaf credential → leaf, valid `now`, and that the one leaf made the
    /// group and sent the message.
    ///
    /// When the group's other leaves are valid is not looked at, nor for how long the KeyPackage was: who was away reads later.
    ///
    /// # Errors
    /// [`OpeningError`].
    pub fn open(
        &self,
        package: &PrivateKeyPackage,
        trust: SenderTrust<'_>,
        now: Timestamp,
    ) -> Result<OpenedMessage, OpeningError> {
        let provider = Provider::deterministic(MemoryStorage::default());
        let (mut group, sender_index) = self.join(package, &provider)?;
        let name = MessageName::of(&group);
        let sender = group.public_group().leaf(sender_index).ok_or(OpeningError::NotForThisPackage)?.clone();
        let processed = group.process_message(&provider, self.private_message()?);
        let processed = processed.map_err(|_| OpeningError::NotForThisPackage)?;
        let is_the_makers = matches!(processed.sender(), MlsSender::Member(index) if *index == sender_index);
        let ProcessedMessageContent::ApplicationMessage(message) = processed.into_content() else {
            return Err(OpeningError::NotForThisPackage);
        };
        if !is_the_makers {
            return Err(OpeningError::NotForThisPackage);
        }
        let content = Zeroizing::new(message.into_bytes());
        let content = Content::from_bytes(&content).ok_or(OpeningError::Content)?;
        let from = trust.verify(&content, &sender, now)?;
        Ok(OpenedMessage { from, text: content.text, name })
    }

    /// The group that the Welcome leads to, and the leaf of the one who made it.
    pub(crate) fn join(
        &self,
        package: &PrivateKeyPackage,
        provider: &Provider<NoRandomness>,
    ) -> Result<(MlsGroup, LeafNodeIndex), OpeningError> {
        let refused = || OpeningError::NotForThisPackage;
        let bundle = package.bundle().ok_or_else(refused)?;
        let reference = bundle.key_package().hash_ref(provider.crypto()).map_err(|_| refused())?;
        provider.storage().write_key_package(&reference, &bundle).map_err(|_| refused())?;
        let config = MlsGroupJoinConfig::builder()
            .wire_format_policy(PURE_CIPHERTEXT_WIRE_FORMAT_POLICY)
            .max_past_epochs(0)
            .number_of_resumption_psks(0)
            .use_ratchet_tree_extension(true)
            .build();
        let builder = StagedWelcome::build_from_welcome(provider, &config, self.welcome()?).map_err(|_| refused())?;
        if !builder.processed_welcome().psks().is_empty() {
            return Err(refused());
        }
        let staged = builder.skip_lifetime_validation().build().map_err(|_| refused())?;
        let is_this_package = staged.own_leaf_node() == Some(bundle.key_package().leaf_node());
        let sender_index = staged.welcome_sender_index();
        if !is_this_package || sender_index == staged.own_leaf_index() {
            return Err(refused());
        }
        Ok((staged.into_group(provider).map_err(|_| refused())?, sender_index))
    }
}

impl SenderTrust<'_> {
    /// Checks that the client in the content is the one behind the leaf.
    fn verify(&self, content: &Content, leaf: &LeafNode, now: Timestamp) -> Result<ClientId, OpeningError> {
        let intermediate =
            AsIntermediateCredential::verify_chain(&content.as_intermediate_credential.0, self.root, now)?;
        let client_credential = ClientCredential::verify_chain(&content.client_credential.0, &intermediate, now)?;
        let fingerprints = [intermediate.fingerprint(), client_credential.fingerprint()];
        if fingerprints.iter().any(|fingerprint| self.revoked.contains(fingerprint)) {
            return Err(OpeningError::Revoked);
        }
        let leaf_credential = leaf_credential(leaf)?;
        leaf_credential.verify(&content.signature_encryption_key, &client_credential, now)?;
        Ok(client_credential.payload().client_id.clone())
    }
}

/// The leaf credential of a leaf, if it is for this leaf: for its key, and exactly as long as that is valid.
fn leaf_credential(leaf: &LeafNode) -> Result<LeafCredential, CredentialError> {
    let malformed = CredentialError::Signed(SignedError::Malformed);
    let credential = leaf.credential();
    if credential.credential_type() != CredentialType::Other(LEAF_CREDENTIAL_TYPE) {
        return Err(malformed);
    }
    let leaf_credential = LeafCredential::from_bytes(credential.serialized_content())?;
    let payload = leaf_credential.payload();
    let LeafNodeSource::KeyPackage(lifetime) = leaf.leaf_node_source() else { return Err(malformed) };
    let validity = &payload.expiration_data;
    let is_this_leafs = payload.verifying_key.as_bytes().as_slice() == leaf.signature_key().as_slice()
        && (lifetime.not_before(), lifetime.not_after())
            == (validity.not_before.seconds(), validity.not_after.seconds());
    if is_this_leafs { Ok(leaf_credential) } else { Err(malformed) }
}

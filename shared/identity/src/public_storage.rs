//! Where openmls puts the public part of a group: four values, in a compact encoding.

use std::cell::RefCell;

use openmls_traits::public_storage::PublicStorageProvider;
use openmls_traits::storage::{CURRENT_VERSION, traits};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize, VLBytes};

/// The public part of a group as it is stored.
#[derive(Clone, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub(crate) struct StoredGroup {
    tree: VLBytes,
    context: VLBytes,
    interim_transcript_hash: VLBytes,
    confirmation_tag: VLBytes,
}

impl Default for StoredGroup {
    fn default() -> Self {
        let nothing = || Vec::new().into();
        Self { tree: nothing(), context: nothing(), interim_transcript_hash: nothing(), confirmation_tag: nothing() }
    }
}

/// A storage for one group without proposals.
#[derive(Default)]
pub(crate) struct PublicStorage(RefCell<StoredGroup>);

impl PublicStorage {
    pub(crate) fn new(group: StoredGroup) -> Self {
        Self(RefCell::new(group))
    }

    pub(crate) fn into_stored(self) -> StoredGroup {
        self.0.into_inner()
    }

    fn write(
        &self,
        value: &impl Serialize,
        place: impl FnOnce(&mut StoredGroup) -> &mut VLBytes,
    ) -> Result<(), postcard::Error> {
        let bytes = postcard::to_allocvec(value)?;
        *place(&mut self.0.borrow_mut()) = bytes.into();
        Ok(())
    }

    fn read<T: DeserializeOwned>(
        &self,
        place: impl FnOnce(&StoredGroup) -> &VLBytes,
    ) -> Result<Option<T>, postcard::Error> {
        let stored = self.0.borrow();
        let (value, rest) = postcard::take_from_bytes(place(&stored).as_slice())?;
        if rest.is_empty() { Ok(Some(value)) } else { Err(postcard::Error::DeserializeBadEncoding) }
    }
}

/// Who follows an identity keeps no proposals, and replaces a group as a whole: what is about either does nothing.
impl PublicStorageProvider<CURRENT_VERSION> for PublicStorage {
    type PublicError = postcard::Error;

    fn write_tree<G: traits::GroupId<CURRENT_VERSION>, T: traits::TreeSync<CURRENT_VERSION>>(
        &self,
        _: &G,
        tree: &T,
    ) -> Result<(), postcard::Error> {
        self.write(tree, |stored| &mut stored.tree)
    }

    fn write_interim_transcript_hash<
        G: traits::GroupId<CURRENT_VERSION>,
        T: traits::InterimTranscriptHash<CURRENT_VERSION>,
    >(
        &self,
        _: &G,
        interim_transcript_hash: &T,
    ) -> Result<(), postcard::Error> {
        self.write(interim_transcript_hash, |stored| &mut stored.interim_transcript_hash)
    }

    fn write_context<G: traits::GroupId<CURRENT_VERSION>, T: traits::GroupContext<CURRENT_VERSION>>(
        &self,
        _: &G,
        context: &T,
    ) -> Result<(), postcard::Error> {
        self.write(context, |stored| &mut stored.context)
    }

    fn write_confirmation_tag<G: traits::GroupId<CURRENT_VERSION>, T: traits::ConfirmationTag<CURRENT_VERSION>>(
        &self,
        _: &G,
        confirmation_tag: &T,
    ) -> Result<(), postcard::Error> {
        self.write(confirmation_tag, |stored| &mut stored.confirmation_tag)
    }

    fn tree<G: traits::GroupId<CURRENT_VERSION>, T: traits::TreeSync<CURRENT_VERSION>>(
        &self,
        _: &G,
    ) -> Result<Option<T>, postcard::Error> {
        self.read(|stored| &stored.tree)
    }

    fn group_context<G: traits::GroupId<CURRENT_VERSION>, T: traits::GroupContext<CURRENT_VERSION>>(
        &self,
        _: &G,
    ) -> Result<Option<T>, postcard::Error> {
        self.read(|stored| &stored.context)
    }

    fn interim_transcript_hash<
        G: traits::GroupId<CURRENT_VERSION>,
        T: traits::InterimTranscriptHash<CURRENT_VERSION>,
    >(
        &self,
        _: &G,
    ) -> Result<Option<T>, postcard::Error> {
        self.read(|stored| &stored.interim_transcript_hash)
    }

    fn confirmation_tag<G: traits::GroupId<CURRENT_VERSION>, T: traits::ConfirmationTag<CURRENT_VERSION>>(
        &self,
        _: &G,
    ) -> Result<Option<T>, postcard::Error> {
        self.read(|stored| &stored.confirmation_tag)
    }

    fn queue_proposal<
        G: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
        P: traits::QueuedProposal<CURRENT_VERSION>,
    >(
        &self,
        _: &G,
        _: &R,
        _: &P,
    ) -> Result<(), postcard::Error> {
        Ok(())
    }

    fn queued_proposals<
        G: traits::GroupId<CURRENT_VERSION>,
        R: traits::ProposalRef<CURRENT_VERSION>,
        P: traits::QueuedProposal<CURRENT_VERSION>,
    >(
        &self,
        _: &G,
    ) -> Result<Vec<(R, P)>, postcard::Error> {
        Ok(Vec::new())
    }

    fn delete_tree<G: traits::GroupId<CURRENT_VERSION>>(&self, _: &G) -> Result<(), postcard::Error> {
        Ok(())
    }

    fn delete_confirmation_tag<G: traits::GroupId<CURRENT_VERSION>>(&self, _: &G) -> Result<(), postcard::Error> {
        Ok(())
    }

    fn delete_context<G: traits::GroupId<CURRENT_VERSION>>(&self, _: &G) -> Result<(), postcard::Error> {
        Ok(())
    }

    fn delete_interim_transcript_hash<G: traits::GroupId<CURRENT_VERSION>>(
        &self,
        _: &G,
    ) -> Result<(), postcard::Error> {
        Ok(())
    }

    fn remove_proposal<G: traits::GroupId<CURRENT_VERSION>, R: traits::ProposalRef<CURRENT_VERSION>>(
        &self,
        _: &G,
        _: &R,
    ) -> Result<(), postcard::Error> {
        Ok(())
    }

    fn clear_proposal_queue<G: traits::GroupId<CURRENT_VERSION>, R: traits::ProposalRef<CURRENT_VERSION>>(
        &self,
        _: &G,
    ) -> Result<(), postcard::Error> {
        Ok(())
    }
}

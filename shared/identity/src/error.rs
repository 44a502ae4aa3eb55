//! Which rule of an identity was broken.

use vestibule_protocol::limits::MAX_IDENTITY_MESSAGE_LENGTH;
use vestibule_protocol::name::ClientId;

/// Why something is not accepted as a part of an identity, or could not be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdentityError {
    /// It has more than [`MAX_IDENTITY_MESSAGE_LENGTH`] bytes.
    #[error("it has more than {MAX_IDENTITY_MESSAGE_LENGTH} bytes")]
    TooLong,
    /// It does not decode as the MLS message that is wanted, or is not what MLS would have written.
    #[error("it is not a well-formed MLS message of the kind wanted")]
    Malformed,
    /// It is of another user's identity, or of another generation.
    #[error("it is of another group")]
    AnotherGroup,
    /// It is of another epoch.
    #[error("it is of another epoch")]
    AnotherEpoch,
    /// It is not a commit, or its sender is not one who can commit.
    #[error("it is not a commit of a client")]
    NotACommit,
    /// The committer is not a member.
    #[error("its committer is not a member")]
    NotAMember,
    /// It breaks a rule of MLS: a signature, the path, a key.
    #[error("it is not a valid commit of MLS")]
    InvalidCommit,
    /// It has authenticated data.
    #[error("it has authenticated data")]
    AuthenticatedData,
    /// It has a proposal that is neither Add nor Remove (with an entry: not ExternalInit), one by reference, or one twice.
    #[error("it has a proposal that is not allowed")]
    ProposalNotAllowed,
    /// It has more than one Add.
    #[error("it adds more than one client")]
    TwoAdds,
    /// It has no update path.
    #[error("it has no update path")]
    NoPath,
    /// The committer has not confirmed itself, and does something else than that.
    #[error("its committer has to confirm itself first")]
    Unconfirmed,
    /// A leaf has the wrong capabilities, extensions or lifetime, or an HPKE key of low order.
    #[error("a leaf or a key is not of the form that identities have")]
    Leaf,
    /// A leaf's credential is not a client credential of this user for the leaf's key.
    #[error("a leaf's credential is not a client credential of the user for the leaf's key")]
    Credential,
    /// The committer's leaf is another client's after the commit, or has another key.
    #[error("it changes its committer's client or key")]
    AnotherClient,
    /// The client is in the group already.
    #[error("the client is a member already")]
    MemberTwice,
    /// The client may not enter this generation by itself.
    #[error("the client may not enter this generation by itself")]
    EntryRefused,
    /// A generation does not begin like one.
    #[error("it is not the beginning of a generation: epoch 0 with its signer alone")]
    NotABeginning,
    /// The generation before is missing, is none, or is not the one before.
    #[error("it does not follow that generation")]
    PreviousGeneration,
    /// The GroupInfo's context is not the one that the commit leads to.
    #[error("the GroupInfo is not of the epoch that the commit leads to")]
    GroupInfoContext,
    /// The GroupInfo does not have the ratchet tree and an external key, or has something else.
    #[error("the GroupInfo does not have exactly the extensions ratchet_tree and external_pub")]
    GroupInfoExtensions,
    /// The GroupInfo's ratchet tree is another.
    #[error("the GroupInfo has another ratchet tree")]
    GroupInfoTree,
    /// The GroupInfo's confirmation tag is another than the commit's.
    #[error("the GroupInfo has another confirmation tag")]
    GroupInfoConfirmationTag,
    /// The GroupInfo is not signed by the committer.
    #[error("the GroupInfo is not signed by the committer")]
    GroupInfoSignature,
    /// The KeyPackage is not the expected client's.
    #[error("the KeyPackage is not for the client's credential")]
    AnotherCredential,
    /// The Welcome does not lead into the group and epoch that were followed.
    #[error("the Welcome does not lead into the identity that was followed")]
    Welcome,
    /// The keys are not those of the client whose membership this is.
    #[error("the keys are of another client")]
    AnotherClientsKeys,
    /// The client is not a member any more.
    #[error("the client is not a member any more")]
    Removed,
    /// openmls failed, for want of randomness or by a defect.
    #[error("it could not be made")]
    Failed,
}

/// Why a member does not take up a commit.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProcessError {
    /// It is none that the service may accept.
    #[error(transparent)]
    Refused(#[from] IdentityError),
    /// It is one that the service accepts, as it cannot see what a member sees: the confirmation tag, the membership tag or
    /// the path secrets are wrong. The client that committed made them so, or the service altered what the client did not
    /// sign; with an entry, also who made the GroupInfo that was entered by.
    #[error("the commit of {by} cannot be followed")]
    Unfollowable {
        /// Whose commit it is.
        by: ClientId,
    },
    /// It is this client's own. What it leads to is in the [`PreparedCommit`](crate::PreparedCommit).
    #[error("the commit is this client's own")]
    Own,
}

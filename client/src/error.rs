//! Everything that can go wrong, each in a line that a person can act on.

use vestibule_identity::IdentityError;
use vestibule_key_packages::{ClaimError, MakingError};
use vestibule_protocol::credential::CredentialError;
use vestibule_protocol::device_label::DeviceNameError;
use vestibule_protocol::key_server::ClientSessionError;
use vestibule_protocol::limits::MAX_KEY_PACKAGES;
use vestibule_protocol::linking::Ending;
use vestibule_protocol::name::UserName;
use vestibule_protocol::opaque::OpaqueError;
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::queue::ReadingError;
use vestibule_test_messages::SealingError;

use crate::api::ApiError;
use crate::chain::CredentialsError;
use crate::home::HomeError;
use crate::identity::IdentityFailure;
use crate::password::PasswordError;
use crate::queuing::{ListeningError, QsKeysError};
use crate::rendezvous::RendezvousError;
use crate::tokens::TokensError;
use crate::transport::TransportError;

/// Why the client did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The home directory cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A call failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// No connection can be made at all.
    #[error("connections cannot be made: {0}")]
    Transport(TransportError),
    /// The server's own credentials are not acceptable.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The server's answer to the initiation of a registration carries no acceptable provisional credential.
    #[error("the server's provisional credential is not acceptable: {0}")]
    ProvisionalCredentialRefused(CredentialError),
    /// The server's answer to the completion of a registration carries no acceptable client credential.
    #[error("the server's client credential is not acceptable: {0}")]
    ClientCredentialRefused(CredentialError),
    /// The server signed something else than what was asked for.
    #[error("the server's credential is not the one that was asked for")]
    CredentialForAnotherRequest,
    /// The server's OPAQUE message makes no sense.
    #[error("the server's answer to the password request is not acceptable: {0}")]
    OpaqueResponseRefused(OpaqueError),
    /// OPAQUE does not tell which.
    #[error("the password is wrong, or there is no such user")]
    WrongPassword,
    /// The key server's side of a session makes no sense.
    #[error("the key server's answer is not acceptable: {0}")]
    SessionRefused(ClientSessionError),
    /// The request to change the password was sent, but no answer came that could be understood.
    #[error("whether the password was changed is not known, try the new one and then the old one: {0}")]
    PasswordChangeUncertain(Box<Error>),
    /// It is not said whose password it is, and there is no account to go by.
    #[error("this device does not tell who you are: name the user, such as alice@example.org")]
    UserNameNeeded,
    /// The queuing service's own keys are not acceptable.
    #[error(transparent)]
    QsKeys(#[from] QsKeysError),
    /// Nobody can be told of new messages.
    #[error(transparent)]
    Listening(#[from] ListeningError),
    /// The queuing service created another pseudonym than what was asked for.
    #[error("the queuing service's answer is not the one to this device's request")]
    PseudonymForAnotherRequest,
    /// The device's own credential does not hold any more.
    #[error("this device's credential cannot be used: {0}")]
    OwnCredentialUnusable(CredentialError),
    /// KeyPackages cannot be made.
    #[error(transparent)]
    Making(#[from] MakingError),
    /// So many KeyPackages cannot be published at once.
    #[error("at most {MAX_KEY_PACKAGES} KeyPackages can be published at once")]
    KeyPackageCount,
    /// What was claimed with a friendship code is not what it must be.
    #[error("the claimed KeyPackages are refused: {0}")]
    ClaimRefused(#[from] ClaimError),
    /// The identity cannot be followed or changed.
    #[error(transparent)]
    Identity(#[from] IdentityFailure),
    /// Two devices were not linked.
    #[error("the device is not linked: {0}")]
    Linking(Ending),
    /// The new device's KeyPackage is not one of its client's for the identity.
    #[error("the device is not linked, its KeyPackage is not acceptable: {0}")]
    KeyPackageRefused(IdentityError),
    /// What the existing device handed over does not fit the user's identity.
    #[error("the device is not linked: what the other device handed over does not fit the server's history")]
    HandoverRefused,
    /// There is nobody to answer.
    #[error("there is nobody to ask: answer on a terminal, or use --yes")]
    NobodyToAsk,
    /// There are no tokens to pay with, or none to be had.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// A message cannot be made.
    #[error(transparent)]
    Sealing(#[from] SealingError),
    /// None of a user's devices has a queue that takes messages.
    #[error("none of the devices of {0} can be written to: their queues are full, or gone")]
    Undeliverable(UserName),
    /// What the queuing service has for this device is not what was put there.
    #[error("the messages for this device cannot be read: {0}")]
    Queue(#[from] ReadingError),
    /// There is no inbox where there was one.
    #[error("the messages for this device cannot be read: the file 'inbox' in its home is missing")]
    InboxMissing,
    /// Two devices do not come together.
    #[error(transparent)]
    Rendezvous(#[from] RendezvousError),
    /// There is no password.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The device's name is empty, too long or not printable.
    #[error(transparent)]
    DeviceName(#[from] DeviceNameError),
    /// Somebody else has the name.
    #[error("the user name {0} is taken: choose another one")]
    UserNameTaken(UserName),
    /// The home has an account.
    #[error("this device is registered as {0} already: use another --home for another user")]
    AlreadyRegistered(UserName),
    /// The home has a registration under way.
    #[error("a registration as {0} is under way on this device: complete it with `vestibule register {0}`")]
    RegistrationUnderWay(UserName),
    /// The home has a linking under way that only the server can decide.
    #[error("this device is being linked to {0}: run `vestibule link` again to find out what came of it")]
    LinkingUnderWay(UserName),
    /// The home's account was linked.
    #[error("this device is one of {0}'s already: use another --home for another user")]
    AlreadyLinked(UserName),
    /// The home's account was linked, and has nothing at the queuing service yet: `Client::join_queuing_service` is to be
    /// called again.
    #[error("this device was linked and is not known to the queuing service yet: run `vestibule status`")]
    NotAtQueuingService,
    /// The client is not one of the user's any more.
    #[error("this device was removed from the devices of {0}")]
    DeviceRemoved(UserName),
    /// The account is not any more, by the doing of another device.
    #[error(
        "the account {0} was deleted with another device: `vestibule account delete` removes what is left of it here"
    )]
    AccountDeleted(UserName),
    /// The account is being deleted.
    #[error("the account {0} is being deleted: complete that with `vestibule account delete`")]
    DeletionUnderWay(UserName),
    /// There is no code, and no linking under way.
    #[error("no linking is under way on this device: the code that the new device shows is wanted")]
    NothingToApprove,
    /// No device has the name or id.
    #[error("you have no such device: `vestibule devices` lists them")]
    NoSuchDevice,
    /// Several devices have the name.
    #[error("several of your devices have this name: use the client id, which `vestibule devices` lists")]
    SeveralSuchDevices,
    /// A device does not remove itself.
    #[error("this is the device itself: remove it with another one of your devices")]
    ThisDevice,
    /// The home has no account.
    #[error("nobody is registered on this device: run `vestibule register NAME@DOMAIN`")]
    NotRegistered,
}

impl Error {
    /// What kind of error it is, for scripts: the server's problem type (`urn:vestibule:problem:…`, `about:blank` if it
    /// gave none) or one of the client's own (`urn:vestibule:client:…`). It stays the same for ever.
    pub fn urn(&self) -> String {
        let slug = match self {
            Self::Api(ApiError::Problem { urn, .. }) => return urn.clone(),
            Self::UserNameTaken(_) => return ProblemType::UserNameTaken.urn(),
            Self::Home(HomeError::InUse(_)) => "home-in-use",
            Self::Home(HomeError::Stopped(_)) | Self::Api(ApiError::Stopped(_)) => "stopped",
            Self::Home(HomeError::Locked(_)) => "home-locked",
            Self::Home(_) => "home-unusable",
            Self::Api(ApiError::Unreachable { .. })
            | Self::Transport(_)
            | Self::Listening(ListeningError::Unreachable { .. }) => "server-unreachable",
            Self::Api(ApiError::UnexpectedAnswer { .. })
            | Self::ProvisionalCredentialRefused(_)
            | Self::ClientCredentialRefused(_)
            | Self::CredentialForAnotherRequest
            | Self::OpaqueResponseRefused(_)
            | Self::SessionRefused(_)
            | Self::PseudonymForAnotherRequest
            | Self::Listening(ListeningError::Url) => "server-answer-refused",
            Self::Listening(ListeningError::Refused(_)) => "listening-refused",
            Self::WrongPassword => "wrong-password",
            Self::PasswordChangeUncertain(_) => "password-change-uncertain",
            Self::UserNameNeeded => "user-name-needed",
            Self::Credentials(CredentialsError::ForeignDomain { .. }) => "foreign-domain",
            Self::Credentials(_) | Self::QsKeys(_) => "server-credentials-refused",
            Self::OwnCredentialUnusable(_) => "own-credential-unusable",
            Self::Making(_) => "key-packages-not-made",
            Self::KeyPackageCount => "invalid-count",
            Self::ClaimRefused(_) => "claimed-key-packages-refused",
            Self::Identity(failure) => return failure.urn(),
            Self::Linking(_) | Self::KeyPackageRefused(_) | Self::HandoverRefused => "not-linked",
            Self::NobodyToAsk => "nobody-to-ask",
            Self::Tokens(TokensError::NoneLeft(_)) => "no-tokens-left",
            Self::Tokens(_) => "tokens-refused",
            Self::Sealing(_) => "message-not-made",
            Self::Undeliverable(_) => "undeliverable",
            Self::Queue(_) | Self::InboxMissing => "queue-unreadable",
            Self::Rendezvous(error) => return error.urn(),
            Self::Password(_) => "password-unusable",
            Self::DeviceName(_) => "invalid-device-name",
            Self::AlreadyRegistered(_) => "already-registered",
            Self::RegistrationUnderWay(_) => "registration-under-way",
            Self::LinkingUnderWay(_) => "linking-under-way",
            Self::AlreadyLinked(_) => "already-linked",
            Self::NotAtQueuingService => "not-at-queuing-service",
            Self::DeviceRemoved(_) => "device-removed",
            Self::AccountDeleted(_) => "account-deleted",
            Self::DeletionUnderWay(_) => "deletion-under-way",
            Self::NothingToApprove => "nothing-to-approve",
            Self::NoSuchDevice => "no-such-device",
            Self::SeveralSuchDevices => "several-such-devices",
            Self::ThisDevice => "this-device",
            Self::NotRegistered => "not-registered",
        };
        local_urn(slug)
    }

    /// Whether a [`Fuse`](crate::Fuse) ended the run.
    pub fn is_stopped(&self) -> bool {
        matches!(self, Self::Home(HomeError::Stopped(_)) | Self::Api(ApiError::Stopped(_)))
    }
}

/// The URN of an error of the client's own.
pub(crate) fn local_urn(slug: &str) -> String {
    format!("urn:vestibule:client:{slug}")
}

//! Vestibule's client: a device's end of everything, and the `vestibule` command line on it.
//!
//! A [`Client`] is a home directory and a server:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use vestibule_client::{Client, Options, Password};
//!
//! let options = Options::new("/home/alice/.local/share/vestibule").server("https://example.org".parse()?);
//! let mut client = Client::open(options)?;
//! let password = |_| Ok(Password::new("correct horse battery staple".to_owned()));
//! let registered = client
//!     .register(&"alice@example.org".parse()?, "laptop", password, |progress| {
//!         eprintln!("{}: {}", progress.stage.name(), progress.state.name());
//!     })
//!     .await?;
//! assert_eq!(client.status()?.client_id, registered.client_id);
//! # Ok(())
//! # }
//! ```
//!
//! Everything that a run does can be interrupted: a second run goes on where the first stopped. Clock, randomness,
//! transport and waiting are [`Options`], and a [`Fuse`] kills a client wherever a test wants it dead.
//!
//! # Several devices
//!
//! A second device is linked by [`Client::link`] on it and [`Client::approve`] on one that the user has, and then becomes known
//! to the queuing service, so that friends reach it too. From then on each
//! follows what the others do when it [catches up](Client::catch_up), [lists](Client::devices) them and can
//! [remove](Client::remove_device) them, which replaces all that the removed one knew. The server orders the changes, and every
//! device checks them.
//!
//! # Messages
//!
//! [`Client::send_message`] writes to all devices of a friend, whose [`FriendshipCode`] it takes. [`Client::receive`] reads what
//! has come, and goes on giving it until it is [acknowledged](Client::acknowledge): what an application was given and died
//! over, it is given again, under the same number.
//!
//! # What protects what on the device
//!
//! A home's files are readable by its user alone, and sealed under a key of the home's own, the state key. That is on disk
//! twice: sealed under the device key, a file beside it, so that nobody need be asked for a password; and, as soon as the
//! user has a storage key, under that.
//!
//! | who has | gets |
//! |---|---|
//! | all files of the home | everything that the device has |
//! | all but `device-key`, such as a backup that leaves it out | nothing without the password, and the key server's help |
//! | the password, and can reach the key server | the [`StorageKey`], and with the home's files the home |
//!
//! So a home whose device key was lost is opened with [`Client::unlock`]. Before a registration has stored the storage key,
//! after it was deleted, and on a device that was linked, the device key is the only way in. A device that was stolen must be removed: its device key
//! stays good for its files.
//!
//! The password, what OPAQUE makes of it and the storage key are never on disk. The storage key's bytes are not given to the
//! application either: what it is for is done by [`StorageKey::seal`], [`StorageKey::open`] and
//! [`StorageKey::fingerprint`], each under a key of its own.
#![deny(missing_docs)]

mod api;
mod chain;
pub mod cli;
mod client;
mod connection_packages;
mod deletion;
mod error;
mod fuse;
mod home;
mod identity;
mod key_server;
mod linking;
mod login;
mod messages;
mod password;
mod queuing;
mod registration;
mod relay;
mod rendezvous;
mod server_url;
mod session;
mod text;
mod tokens;
mod transport;

pub use api::{Api, ApiError, Connection, RequestSigner, RetryPolicy, Waiting};
pub use chain::CredentialsError;
pub use client::{Client, DEFAULT_PSEUDONYM_DELAY, Options, Registered, Status};
pub use deletion::DeletedAccount;
pub use error::Error;
pub use fuse::{Fuse, Stopped};
pub use home::HomeError;
pub use identity::{Device, DeviceChange, IdentityFailure, IdentityReset, KeyRotation, Removal};
pub use key_server::AuditLog;
pub use linking::{Deciding, Linked, LinkingInteraction, LinkingQuestion, LinkingStep};
pub use messages::{Received, ReceivedMessage, Sent};
pub use password::{PasswordError, PasswordUse};
pub use queuing::{
    ClaimedKeyPackage, DEFAULT_KEY_PACKAGES, KeyPackageSupply, LOW_SUPPLY, ListeningError, Published, QsKeysError,
};
pub use registration::{Progress, Stage, StageState};
pub use relay::{
    RelayConnection, RelayError, RelayTransport, RelayUrl, RelayUrlError, Relaying, WebSocketOffer, WebSocketTransport,
};
pub use rendezvous::{Incoming, PeerPresence, Rendezvous, RendezvousError, SecuredChannel};
pub use server_url::{ServerUrl, ServerUrlError};
pub use tokens::{LOW_TOKENS, Tokens, TokensError};
pub use transport::{HttpTransport, Request, Response, Sending, Transport, TransportError};
pub use vestibule_identity::IdentityError;
pub use vestibule_key_packages::PrivateKeyPackage;
pub use vestibule_protocol::add_package::KeyPackageRef;
pub use vestibule_protocol::device_label::{DeviceName, DeviceNameError};
pub use vestibule_protocol::friendship::{FriendshipCode, FriendshipCodeError};
pub use vestibule_protocol::key_server::{
    AuditAction, AuditEntry, AuditOutcome, Chain, StorageKey, StorageKeyError, StorageKeyFingerprint,
};
pub use vestibule_protocol::linking::{DeclineReason, Ending, StateBundle};
pub use vestibule_protocol::name::UserName;
pub use vestibule_protocol::opaque::Password;
pub use vestibule_protocol::randomness::Randomness;
pub use vestibule_protocol::rendezvous::{ChannelMessage, EndReason, Pairing, PairingError, Role, SendError};
pub use vestibule_test_messages::{MessageText, MessageTextError};

#[cfg(test)]
mod testing;

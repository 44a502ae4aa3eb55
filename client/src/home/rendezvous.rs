//! A rendezvous under way: a file of its own, there for as long as it lasts, in homes without an account too.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vestibule_protocol::encoding::{SecretBytes, secret};
use vestibule_protocol::rendezvous::{RendezvousCode, RendezvousTicket, Role, Session};
use zeroize::Zeroizing;

use super::json::to_secret_json;
use super::sealing::Kind;
use super::{Home, HomeError, files};
use crate::relay::RelayUrl;

/// The version of the file's form.
const VERSION: u16 = 1;

/// What a client keeps of a rendezvous.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum KeptRendezvous {
    /// The server was, or is about to be, asked to let this device join. Asked again with the same ticket it gives the
    /// same answer; with another one, nobody could join any more.
    Joining {
        code: RendezvousCode,
        #[serde(with = "secret")]
        ticket: RendezvousTicket,
    },
    /// The devices are meeting.
    Meeting(Box<KeptSession>),
}

/// What a client keeps of a session.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeptSession {
    pub(crate) role: Role,
    pub(crate) code: RendezvousCode,
    pub(crate) relay_url: RelayUrl,
    pub(crate) session: Session,
    pub(crate) application_state: ApplicationState,
}

/// The same, to be written.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RendezvousToKeep<'a> {
    Joining {
        code: RendezvousCode,
        #[serde(with = "secret")]
        ticket: RendezvousTicket,
    },
    Meeting {
        role: Role,
        code: RendezvousCode,
        relay_url: &'a RelayUrl,
        session: &'a Session,
        application_state: &'a ApplicationState,
    },
}

/// What the application keeps beside a session. Zeroized on drop, not printable.
#[derive(Clone, Default)]
pub(crate) struct ApplicationState(pub(crate) Zeroizing<Vec<u8>>);

impl SecretBytes for ApplicationState {
    fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.0.clone()
    }

    fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(bytes.to_vec())))
    }
}

impl Serialize for ApplicationState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        secret::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for ApplicationState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        secret::deserialize(deserializer)
    }
}

/// What is in the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Versioned<R> {
    version: u16,
    rendezvous: R,
}

impl Home {
    /// Writes down how the rendezvous stands.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn store_rendezvous(&self, rendezvous: &RendezvousToKeep<'_>) -> Result<(), HomeError> {
        let json = to_secret_json(&Versioned { version: VERSION, rendezvous });
        self.replace(Kind::Rendezvous, &self.rendezvous_path(), json)
    }

    /// Reads how the rendezvous stands, or gives `None` if there is none.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn load_rendezvous(&self) -> Result<Option<KeptRendezvous>, HomeError> {
        #[derive(Deserialize)]
        struct OnlyVersion {
            version: u16,
        }
        let path = self.rendezvous_path();
        let Some(sealed) = files::read(&path)? else { return Ok(None) };
        let json = self.keys.open(Kind::Rendezvous, &sealed, &path)?;
        let damaged = |_| HomeError::Damaged(path.clone());
        if serde_json::from_slice::<OnlyVersion>(&json).map_err(damaged)?.version > VERSION {
            return Err(HomeError::NewerVersion(path));
        }
        let read: Versioned<KeptRendezvous> = serde_json::from_slice(&json).map_err(damaged)?;
        Ok(Some(read.rendezvous))
    }

    /// Forgets the rendezvous.
    ///
    /// # Errors
    /// [`HomeError`].
    pub(crate) fn remove_rendezvous(&self) -> Result<(), HomeError> {
        self.fuse.reach("before the rendezvous is removed")?;
        files::remove(&self.rendezvous_path())?;
        Ok(self.fuse.reach("after the rendezvous was removed")?)
    }

    fn rendezvous_path(&self) -> PathBuf {
        self.directory.join("rendezvous")
    }
}

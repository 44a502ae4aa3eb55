//! What a client is opened with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use vestibule_protocol::clock::Clock;
use vestibule_protocol::randomness::Randomness;
use vestibule_protocol::signed::Fingerprint;

use crate::api::{RetryPolicy, Waiting};
use crate::fuse::Fuse;
use crate::queuing::DEFAULT_KEY_PACKAGES;
use crate::relay::RelayTransport;
use crate::server_url::ServerUrl;
use crate::transport::Transport;

/// How long a registration waits at most before it creates the pseudonym. Somebody is watching it: longer would hide them
/// better among the others who register, and lose more of those who do not wait.
pub const DEFAULT_PSEUDONYM_DELAY: Duration = Duration::from_secs(15);

/// What a [`Client`](super::Client) is opened with. All but the home directory has a default.
#[derive(Clone)]
pub struct Options {
    pub(super) home: PathBuf,
    pub(super) server: Option<ServerUrl>,
    pub(super) trusted_root: Option<Fingerprint>,
    pub(super) transport: Option<Arc<dyn Transport>>,
    pub(super) relay_transport: Option<Arc<dyn RelayTransport>>,
    pub(super) clock: Clock,
    pub(super) randomness: Randomness,
    pub(super) retry_policy: RetryPolicy,
    pub(super) waiting: Waiting,
    pub(super) pseudonym_delay: Option<Duration>,
    pub(super) key_packages: usize,
    pub(super) fuse: Fuse,
}

impl Options {
    /// The home directory `home`, and defaults.
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self {
            home: home.into(),
            server: None,
            trusted_root: None,
            transport: None,
            relay_transport: None,
            clock: Clock::system(),
            randomness: Randomness::system(),
            retry_policy: RetryPolicy::default(),
            waiting: Waiting::real(),
            pseudonym_delay: None,
            key_packages: DEFAULT_KEY_PACKAGES,
            fuse: Fuse::none(),
        }
    }

    /// Where the server is. By default where it was last, according to the home; at first `http://127.0.0.1:8787`.
    pub fn server(self, server: ServerUrl) -> Self {
        Self { server: Some(server), ..self }
    }

    /// The fingerprint of the deployment's root credential (`AsCredential`), as its operator made it known. By default
    /// the first root seen is trusted from then on.
    pub fn trusted_root(self, fingerprint: Fingerprint) -> Self {
        Self { trusted_root: Some(fingerprint), ..self }
    }

    /// How requests are sent. By default through [`HttpTransport`](crate::HttpTransport).
    pub fn transport(self, transport: Arc<dyn Transport>) -> Self {
        Self { transport: Some(transport), ..self }
    }

    /// How WebSockets are opened, to the relay and to listen for messages. By default through [`WebSocketTransport`](crate::WebSocketTransport).
    pub fn relay_transport(self, relay_transport: Arc<dyn RelayTransport>) -> Self {
        Self { relay_transport: Some(relay_transport), ..self }
    }

    /// The clock. By default the system's.
    pub fn clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Where keys and nonces come from. By default the system's generator.
    pub fn randomness(self, randomness: Randomness) -> Self {
        Self { randomness, ..self }
    }

    /// When requests are sent again.
    pub fn retry_policy(self, retry_policy: RetryPolicy) -> Self {
        Self { retry_policy, ..self }
    }

    /// How the time between attempts passes. By default it does.
    pub fn waiting(self, waiting: Waiting) -> Self {
        Self { waiting, ..self }
    }

    /// How long a registration waits at most, at random, between creating the user at the authentication service and the
    /// pseudonym at the queuing service, so that the two are not told to be one by their times. By default
    /// [`DEFAULT_PSEUDONYM_DELAY`], and no time at all if the server is on this computer.
    pub fn pseudonym_delay(self, longest: Duration) -> Self {
        Self { pseudonym_delay: Some(longest), ..self }
    }

    /// How many KeyPackages a registration and a refill publish, beside the last-resort one: at most 100. By default
    /// [`DEFAULT_KEY_PACKAGES`].
    pub fn key_packages(self, count: usize) -> Self {
        Self { key_packages: count, ..self }
    }

    /// Where the client dies, for tests. By default nowhere.
    pub fn fuse(self, fuse: Fuse) -> Self {
        Self { fuse, ..self }
    }
}

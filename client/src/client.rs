//! A client: a home directory, a server, and what can be done with them.

use std::path::PathBuf;
use std::sync::Arc;

use vestibule_protocol::clock::Clock;
use vestibule_protocol::credential::ClientCredentialPayload;
use vestibule_protocol::name::{ClientId, UserName};
use vestibule_protocol::opaque::Password;
use vestibule_protocol::request_signature::Service;
use vestibule_protocol::signed::{Fingerprint, Unverified};
use vestibule_protocol::time::ExpirationData;

use crate::api::{Api, Connection, RetryPolicy, Waiting};
use crate::error::Error;
use crate::fuse::Fuse;
use crate::home::{Account, AuthenticationServiceState, Home, State};
use crate::registration::{CredentialsError, PasswordError, Progress, Registration};
use crate::server_url::ServerUrl;
use crate::transport::{HttpTransport, Transport};
use vestibule_protocol::randomness::Randomness;

/// The longest name of a device, in characters.
pub const MAX_DEVICE_NAME_LENGTH: usize = 64;

/// What a [`Client`] is opened with. All but the home directory has a default.
#[derive(Clone)]
pub struct Options {
    home: PathBuf,
    server: Option<ServerUrl>,
    trusted_root: Option<Fingerprint>,
    transport: Option<Arc<dyn Transport>>,
    clock: Clock,
    randomness: Randomness,
    retry_policy: RetryPolicy,
    waiting: Waiting,
    fuse: Fuse,
}

impl Options {
    /// The home directory `home`, and defaults.
    pub fn new(home: impl Into<PathBuf>) -> Self {
        Self {
            home: home.into(),
            server: None,
            trusted_root: None,
            transport: None,
            clock: Clock::system(),
            randomness: Randomness::system(),
            retry_policy: RetryPolicy::default(),
            waiting: Waiting::real(),
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

    /// How requests are sent. By default through [`HttpTransport`].
    pub fn transport(self, transport: Arc<dyn Transport>) -> Self {
        Self { transport: Some(transport), ..self }
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

    /// Where the client dies, for tests. By default nowhere.
    pub fn fuse(self, fuse: Fuse) -> Self {
        Self { fuse, ..self }
    }
}

/// A client of a deployment: the device's end of everything. While it exists, no other process can use its home.
pub struct Client {
    options: Options,
    /// Nothing is created before there is something to keep.
    home: Option<Home>,
}

impl Client {
    /// Opens a client. A home that does not exist is not created yet.
    ///
    /// # Errors
    /// [`Error::Home`], for instance if another process uses the home.
    pub fn open(options: Options) -> Result<Self, Error> {
        let home = Home::open(&options.home, options.randomness.clone(), options.fuse.clone())?;
        Ok(Self { options, home })
    }

    /// Registers a user with this device as the first client, or completes a registration that was begun. What is done
    /// is done: to call this for the user that is registered already changes nothing.
    ///
    /// `device_name` is kept from the first run. `password` is called when the password is needed, which is not the
    /// case if only the end of a registration is missing; it may be called twice, if the server forgot the first
    /// attempt. `observer` is told about every stage that remains to be done.
    ///
    /// # Errors
    /// [`Error`]. After [`Error::UserNameTaken`] another name can be tried; after an error of the network or the server
    /// the same call completes what it began.
    pub async fn register(
        &mut self,
        user_name: &UserName,
        device_name: &str,
        mut password: impl FnMut() -> Result<Password, PasswordError> + Send,
        mut observer: impl FnMut(Progress) + Send,
    ) -> Result<Registered, Error> {
        check_device_name(device_name)?;
        let state = self.load()?;
        let server = self.server(state.as_ref());
        let trusted_root = self.trusted_root(state.as_ref())?;
        let account = state.and_then(|state| state.account);
        if let Some(account) = &account {
            check_user_name(account, user_name)?;
        }

        let authentication_service = Api::new(Service::Authentication, self.connection(&server)?);
        let Options { home, clock, randomness, fuse, .. } = &self.options;
        let home = match &mut self.home {
            Some(home) => home,
            unopened => unopened.insert(Home::open_or_create(home, randomness.clone(), fuse.clone())?),
        };
        let registration = Registration {
            home,
            authentication_service,
            server,
            clock: clock.clone(),
            randomness: randomness.clone(),
            trusted_root,
            user_name: user_name.clone(),
            device_name: device_name.to_owned(),
            account,
        };
        let account = registration.run(&mut password, &mut observer).await?;
        Ok(Registered { client_id: account.client_id(), user_name: account.user_name })
    }

    /// Says who this device is. Nobody is asked.
    ///
    /// # Errors
    /// [`Error::NotRegistered`], [`Error::RegistrationUnderWay`], [`Error::Home`].
    pub fn status(&self) -> Result<Status, Error> {
        let state = self.load()?.ok_or(Error::NotRegistered)?;
        let account = state.account.ok_or(Error::NotRegistered)?;
        let AuthenticationServiceState::Registered { client_credential } = &account.authentication_service else {
            return Err(Error::RegistrationUnderWay(account.user_name));
        };
        // It was verified before it was kept.
        let credential = Unverified::<ClientCredentialPayload>::from_bytes(&client_credential.0)
            .map_err(|error| Error::ClientCredentialRefused(error.into()))?;
        let credential_validity = credential.claim().expiration_data;
        Ok(Status {
            client_id: account.client_id(),
            user_name: account.user_name,
            device_name: account.device_name,
            credential_validity,
            is_credential_valid: credential_validity.contains(self.options.clock.now()),
            server: state.server,
            trusted_root: state.trusted_root,
        })
    }

    /// What is on disk now: whatever an earlier call left in memory may never have got there.
    fn load(&self) -> Result<Option<State>, Error> {
        Ok(self.home.as_ref().map_or(Ok(None), Home::load)?)
    }

    fn server(&self, state: Option<&State>) -> ServerUrl {
        let last = state.map(|state| &state.server);
        self.options.server.as_ref().or(last).cloned().unwrap_or_default()
    }

    fn trusted_root(&self, state: Option<&State>) -> Result<Option<Fingerprint>, CredentialsError> {
        match (state.map(|state| state.trusted_root), self.options.trusted_root) {
            (Some(pinned), Some(asked)) if pinned != asked => {
                Err(CredentialsError::AnotherRootTrusted { pinned, asked })
            }
            (pinned, asked) => Ok(pinned.or(asked)),
        }
    }

    fn connection(&self, server: &ServerUrl) -> Result<Connection, Error> {
        let Options { transport, clock, randomness, retry_policy, waiting, fuse, .. } = self.options.clone();
        let transport = match transport {
            Some(transport) => transport,
            None => Arc::new(HttpTransport::new(server.clone()).map_err(Error::Transport)?),
        };
        Ok(Connection { server: server.clone(), transport, clock, randomness, retry_policy, waiting, fuse })
    }
}

/// A registered user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registered {
    /// The user.
    pub user_name: UserName,
    /// The user's client on this device.
    pub client_id: ClientId,
}

/// Who a device is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// The user.
    pub user_name: UserName,
    /// The user's client on this device.
    pub client_id: ClientId,
    /// The device's name.
    pub device_name: String,
    /// When the client's credential is valid.
    pub credential_validity: ExpirationData,
    /// Whether that is now.
    pub is_credential_valid: bool,
    /// Where the server was last.
    pub server: ServerUrl,
    /// The root of the deployment's credentials.
    pub trusted_root: Fingerprint,
}

fn check_device_name(device_name: &str) -> Result<(), Error> {
    let is_printable = !device_name.trim().is_empty() && !device_name.chars().any(char::is_control);
    if is_printable && device_name.chars().count() <= MAX_DEVICE_NAME_LENGTH { Ok(()) } else { Err(Error::DeviceName) }
}

/// A home has one account.
fn check_user_name(account: &Account, user_name: &UserName) -> Result<(), Error> {
    match (account.user_name == *user_name, account.is_registered()) {
        (true, _) => Ok(()),
        (false, true) => Err(Error::AlreadyRegistered(account.user_name.clone())),
        (false, false) => Err(Error::RegistrationUnderWay(account.user_name.clone())),
    }
}

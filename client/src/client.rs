//! A client: a home directory, a server, and what can be done with them.

mod account;
mod devices;
mod key_server;
mod linking;
mod messages;
mod options;
mod rendezvous;

pub use options::{DEFAULT_PSEUDONYM_DELAY, Options};

use std::sync::Arc;
use std::time::Duration;

use vestibule_key_packages::PrivateKeyPackage;
use vestibule_protocol::add_package::KeyPackageRef;
use vestibule_protocol::credential::ClientCredentialPayload;
use vestibule_protocol::device_label::DeviceName;
use vestibule_protocol::friendship::FriendshipCode;
use vestibule_protocol::name::{ClientId, UserName};
use vestibule_protocol::opaque::Password;
use vestibule_protocol::queuing::{QsClientId, QsUserId};
use vestibule_protocol::signed::{Fingerprint, Unverified};
use vestibule_protocol::time::{ExpirationData, Timestamp};

use crate::api::Connection;
use crate::chain::CredentialsError;
use crate::connection_packages;
use crate::error::Error;
use crate::home::{Account, Home, QueuingServiceState, State};
use crate::password::{PasswordError, PasswordUse};
use crate::queuing::{self, ClaimedKeyPackage, KeyPackageSupply, Published};
use crate::registration::{Progress, Registration};
use crate::server_url::ServerUrl;
use crate::session::Session;
use crate::tokens::{self, Tokens};
use crate::transport::HttpTransport;

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
    /// `device_name` is kept from the first run. `password` is called once at most, when the password is first needed: a
    /// new one at the beginning; the user's own if an earlier run stopped before the storage key was known to be stored; not
    /// at all if only what comes after is missing. It is kept in memory until no stage needs it any more. `observer` is told
    /// about every stage that remains to be done.
    ///
    /// # Errors
    /// [`Error`]. After [`Error::UserNameTaken`] another name can be tried; after [`Error::WrongPassword`] and after an error of the network or the server
    /// the same call completes what it began.
    pub async fn register(
        &mut self,
        user_name: &UserName,
        device_name: &str,
        mut password: impl FnMut(PasswordUse) -> Result<Password, PasswordError> + Send,
        mut observer: impl FnMut(Progress) + Send,
    ) -> Result<Registered, Error> {
        check_device_name(device_name)?;
        let state = self.load()?;
        let trusted_root = self.trusted_root(state.as_ref())?;
        let connection = self.connection(state.as_ref())?;
        let longest_delay = self.longest_pseudonym_delay(&connection.server);
        let relay_transport = self.relay_transport();
        let account = state.and_then(|state| state.account);
        if let Some(account) = &account {
            check_user_name(account, user_name)?;
        }

        let Options { home, randomness, fuse, .. } = &self.options;
        let home = match &mut self.home {
            Some(home) => home,
            unopened => unopened.insert(Home::open_or_create(home, randomness.clone(), fuse.clone())?),
        };
        let registration = Registration {
            session: Session::new(home, connection, relay_transport, trusted_root, account),
            user_name: user_name.clone(),
            device_name: device_name.to_owned(),
            longest_delay,
            key_packages: self.options.key_packages,
            password: None,
        };
        let account = registration.run(&mut password, &mut observer).await?;
        Registered::of(&account)
    }

    /// Says who this device is, as far as the authentication service is concerned. Nobody is asked.
    ///
    /// # Errors
    /// [`Error::NotRegistered`], [`Error::RegistrationUnderWay`], [`Error::DeletionUnderWay`], [`Error::Home`].
    pub fn status(&self) -> Result<Status, Error> {
        let state = self.load()?.ok_or(Error::NotRegistered)?;
        let account = state.account.ok_or(Error::NotRegistered)?;
        account.check_not_being_deleted()?;
        let Some(client_credential) = account.client_credential() else {
            return Err(account.incomplete());
        };
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

    /// Asks the queuing service how many KeyPackages friends can still claim.
    ///
    /// # Errors
    /// [`Error::NotRegistered`], [`Error::RegistrationUnderWay`], [`Error::Api`], [`Error::Home`].
    pub async fn key_package_supply(&self) -> Result<KeyPackageSupply, Error> {
        queuing::supply(&self.session()?).await
    }

    /// Asks for the supply as [`Client::key_package_supply`] does, and publishes the next generation of KeyPackages if it
    /// is low: fewer than [`LOW_SUPPLY`](crate::LOW_SUPPLY) left, or soon to expire. To be called once in a while.
    ///
    /// # Errors
    /// As [`Client::publish_key_packages`].
    pub async fn refill_key_packages(&mut self) -> Result<KeyPackageSupply, Error> {
        queuing::refill(&mut self.session()?, self.options.key_packages).await
    }

    /// How many tokens there are to pay with at the queuing service. Asks nobody.
    ///
    /// # Errors
    /// [`Error::NotRegistered`], [`Error::Home`].
    pub fn tokens(&self) -> Result<Tokens, Error> {
        tokens::holdings(&self.session()?)
    }

    /// Takes tokens if there are few, as many as the client may have now. To be called once in a while, and not just when
    /// one is needed: the times would tell whose it is.
    ///
    /// # Errors
    /// [`Error::Tokens`], [`Error::NotRegistered`], [`Error::Api`], [`Error::Home`].
    pub async fn refill_tokens(&mut self) -> Result<Tokens, Error> {
        tokens::refill(&self.session()?).await
    }

    /// Publishes a generation of `count` KeyPackages (at most 100) and a last-resort one, which takes the place of the
    /// one before. If it is interrupted, the next call completes it and then publishes another.
    ///
    /// # Errors
    /// [`Error::KeyPackageCount`], [`Error::NotRegistered`], [`Error::RegistrationUnderWay`],
    /// [`Error::NotAtQueuingService`], [`Error::Api`], [`Error::QsKeys`], [`Error::OwnCredentialUnusable`],
    /// [`Error::Making`], [`Error::Home`].
    pub async fn publish_key_packages(&mut self, count: usize) -> Result<Published, Error> {
        queuing::publish(&mut self.session()?, count).await
    }

    /// Sees to it that strangers have connection packages of this client to claim that last for 30 days at least, and gives
    /// the time when they expire. A device that was linked can be reached by strangers from the first call on. To be called
    /// once in a while; nobody is asked if nothing is to be done. If it is interrupted, the next call completes it.
    ///
    /// # Errors
    /// [`Error::DeviceRemoved`], [`Error::NotRegistered`], [`Error::RegistrationUnderWay`], [`Error::LinkingUnderWay`],
    /// [`Error::Api`], [`Error::Home`].
    pub async fn refill_connection_packages(&mut self) -> Result<Timestamp, Error> {
        connection_packages::refill(&mut self.own_session()?).await
    }

    /// The private part of a KeyPackage of this client, which a Welcome named; `None` if it is not kept (any more).
    ///
    /// # Errors
    /// [`Error::NotRegistered`], [`Error::Home`].
    pub fn private_key_package(&self, reference: &KeyPackageRef) -> Result<Option<PrivateKeyPackage>, Error> {
        let session = self.session()?;
        let Some(pseudonym) = &session.account().pseudonym else { return Ok(None) };
        for generation in pseudonym.publications.generations() {
            let packages = session.home.load_key_packages(generation)?.packages;
            let found = packages.into_iter().find(|package| package.reference.0 == reference.as_bytes());
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// What the user gives friends so that they can claim KeyPackages of the user's clients. It is the same for all, and a
    /// secret of theirs: whoever has it can use up the supply, and sees whose the packages are.
    ///
    /// # Errors
    /// [`Error::NotRegistered`], [`Error::RegistrationUnderWay`], [`Error::Home`].
    pub fn friendship_code(&self) -> Result<FriendshipCode, Error> {
        let session = self.session()?;
        let account = session.account();
        let secrets = account.shared_secrets().ok_or_else(|| account.incomplete())?;
        Ok(FriendshipCode {
            token: secrets.friendship_token.clone(),
            encryption_key: secrets.friendship_encryption_key.clone(),
            user_name: account.user_name.clone(),
        })
    }

    /// Claims a KeyPackage of each of the clients of the user in a friend's `code`, and checks everything about them:
    /// that the queuing service answered this very claim, the chain from the root that this device trusts to the leaf's
    /// key, and that it is the user whom the code names.
    ///
    /// A claim is not repeatable: what was handed out is gone. If its answer is lost it is sent once more, which costs the
    /// friend a package for each client; after that, whether to try again is the caller's decision.
    ///
    /// # Errors
    /// [`Error::ClaimRefused`] if anything does not hold; [`Error::NotRegistered`], [`Error::Api`],
    /// [`Error::Credentials`], [`Error::QsKeys`], [`Error::Home`].
    pub async fn claim_key_packages(&self, code: &FriendshipCode) -> Result<Vec<ClaimedKeyPackage>, Error> {
        queuing::claim(&self.session()?, code).await
    }

    /// What a client that has an account works with.
    pub(crate) fn session(&self) -> Result<Session<'_>, Error> {
        let session = self.session_even_of_deleted()?;
        session.account().check_not_being_deleted()?;
        Ok(session)
    }

    /// The same, whether the account is being deleted or not.
    fn session_even_of_deleted(&self) -> Result<Session<'_>, Error> {
        let home = self.home.as_ref().ok_or(Error::NotRegistered)?;
        let state = home.load()?.ok_or(Error::NotRegistered)?;
        let trusted_root = self.trusted_root(Some(&state))?;
        let connection = self.connection(Some(&state))?;
        let account = state.account.ok_or(Error::NotRegistered)?;
        Ok(Session::new(home, connection, self.relay_transport(), trusted_root, Some(account)))
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

    fn longest_pseudonym_delay(&self, server: &ServerUrl) -> Duration {
        let default = if server.is_loopback() { Duration::ZERO } else { DEFAULT_PSEUDONYM_DELAY };
        self.options.pseudonym_delay.unwrap_or(default)
    }

    fn connection(&self, state: Option<&State>) -> Result<Connection, Error> {
        let server = self.server(state);
        let Options { transport, clock, randomness, retry_policy, waiting, fuse, .. } = self.options.clone();
        let transport = match transport {
            Some(transport) => transport,
            None => Arc::new(HttpTransport::new(server.clone()).map_err(Error::Transport)?),
        };
        Ok(Connection { server, transport, clock, randomness, retry_policy, waiting, fuse })
    }
}

/// A registered user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registered {
    /// The user.
    pub user_name: UserName,
    /// The user's client on this device.
    pub client_id: ClientId,
    /// The pseudonym under which the queuing service knows the user.
    pub qs_user_id: QsUserId,
    /// The pseudonym under which the queuing service knows the client.
    pub qs_client_id: QsClientId,
}

impl Registered {
    fn of(account: &Account) -> Result<Self, Error> {
        let state = account.pseudonym.as_ref().map(|pseudonym| &pseudonym.queuing_service);
        let Some(QueuingServiceState::Created { qs_user_id, qs_client_id }) = state else {
            return Err(account.incomplete());
        };
        Ok(Self {
            user_name: account.user_name.clone(),
            client_id: account.client_id(),
            qs_user_id: *qs_user_id,
            qs_client_id: *qs_client_id,
        })
    }
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
    device_name.parse::<DeviceName>()?;
    Ok(())
}

/// A home has one account.
fn check_user_name(account: &Account, user_name: &UserName) -> Result<(), Error> {
    account.check_not_being_deleted()?;
    match (account.user_name == *user_name, account.is_registered()) {
        (_, true) if account.is_linked() => Err(Error::AlreadyLinked(account.user_name.clone())),
        (_, false) if account.is_linked() => Err(account.incomplete()),
        (true, _) => Ok(()),
        (false, true) => Err(Error::AlreadyRegistered(account.user_name.clone())),
        (false, false) => Err(Error::RegistrationUnderWay(account.user_name.clone())),
    }
}

//! What everything that a client does works with.

use std::sync::Arc;

use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::request_signature::Service;
use vestibule_protocol::signed::Fingerprint;
use vestibule_protocol::time::Timestamp;

use crate::api::{Api, ApiError, Connection};
use crate::error::Error;
use crate::home::{Account, Home, State};
use crate::relay::RelayTransport;

/// A home and the services of a deployment, and the account as it is on disk.
pub(crate) struct Session<'a> {
    pub(crate) home: &'a Home,
    pub(crate) connection: Connection,
    pub(crate) authentication_service: Api,
    pub(crate) queuing_service: Api,
    /// How WebSockets are opened.
    pub(crate) relay_transport: Arc<dyn RelayTransport>,
    /// The root that the caller or an earlier run trusts.
    pub(crate) trusted_root: Option<Fingerprint>,
    /// The account as it is on disk, unless a registration is starting over.
    pub(crate) account: Option<Account>,
}

impl<'a> Session<'a> {
    pub(crate) fn new(
        home: &'a Home,
        connection: Connection,
        relay_transport: Arc<dyn RelayTransport>,
        trusted_root: Option<Fingerprint>,
        account: Option<Account>,
    ) -> Self {
        let authentication_service = Api::new(Service::Authentication, connection.clone());
        let queuing_service = Api::new(Service::Queuing, connection.clone());
        Self { home, connection, authentication_service, queuing_service, relay_transport, trusted_root, account }
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        self.connection.clock.now()
    }

    /// The account, where there must be one.
    pub(crate) fn account(&self) -> &Account {
        self.account.as_ref().expect("this is done for an account alone")
    }

    /// Puts `account` on disk.
    pub(crate) fn keep_account(&mut self, account: Account, trusted_root: Fingerprint) -> Result<(), Error> {
        let mut state = State::new(self.connection.server.clone(), trusted_root);
        state.account = Some(account);
        self.home.store(&state)?;
        self.account = state.account;
        self.trusted_root = Some(trusted_root);
        Ok(())
    }

    /// Changes the account, on disk too.
    pub(crate) fn change_account(&mut self, change: impl FnOnce(&mut Account)) -> Result<(), Error> {
        let trusted_root = self.trusted_root.expect("an account is kept together with its root");
        let mut account = self.account.take().expect("there is an account to change");
        change(&mut account);
        self.keep_account(account, trusted_root)
    }

    /// Puts the account on disk as it has become.
    pub(crate) fn keep(&mut self) -> Result<(), Error> {
        self.change_account(|_| ())
    }

    /// Takes the account as it is on disk, in place of what it has become in memory.
    pub(crate) fn reload(&mut self) -> Result<(), Error> {
        self.account = self.home.load()?.and_then(|state| state.account);
        Ok(())
    }

    /// What it means for this device that the authentication service refuses what the client has signed.
    pub(crate) fn refusal(&self, error: ApiError) -> Error {
        match error.problem_type() {
            Some(ProblemType::ClientUnknown) => Error::DeviceRemoved(self.account().user_name.clone()),
            _ => error.into(),
        }
    }

    /// Removes the account from disk, so that another name can be tried.
    pub(crate) fn forget_account(&mut self) -> Result<(), Error> {
        self.account = None;
        if let Some(mut state) = self.home.load()?
            && state.account.take().is_some()
        {
            self.home.store(&state)?;
        }
        Ok(())
    }
}

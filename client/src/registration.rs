//! Registration: a list of stages, each of which goes on from the state that it finds (`user-creation.md`).
//!
//! Whatever a stage asks of a server is on disk before it is first sent. A run that ends early, at whatever point, is
//! therefore completed by the next.

use std::time::Duration;

use vestibule_protocol::name::UserName;
use vestibule_protocol::opaque::Password;
use vestibule_protocol::problem::ProblemType;

use crate::error::Error;
use crate::home::Account;
use crate::password::{PasswordError, PasswordSource, PasswordUse, check_not_empty};
use crate::session::Session;

mod finish;
mod identity;
mod initiate;
mod key_packages;
mod key_server;
mod queuing_service;

/// A stage of the registration. The last two are also what is left for a device when it is linked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Gets the service's credentials, agrees with it on a password record, makes the account's keys.
    Initiate,
    /// Creates the user at the authentication service.
    Finish,
    /// Starts the user's identity, the group of the user's devices.
    Identity,
    /// Makes the storage key and stores it at the key server.
    KeyServer,
    /// Creates the pseudonym at the queuing service.
    QueuingService,
    /// Publishes KeyPackages there.
    KeyPackages,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: &'static [Self] =
        &[Self::Initiate, Self::Finish, Self::Identity, Self::KeyServer, Self::QueuingService, Self::KeyPackages];

    /// The stage's name, for scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Initiate => "initiate",
            Self::Finish => "finish",
            Self::Identity => "identity",
            Self::KeyServer => "key-server",
            Self::QueuingService => "queuing-service",
            Self::KeyPackages => "key-packages",
        }
    }

    /// What the stage does, for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Initiate => "agree on keys and password with the authentication service",
            Self::Finish => "create the user",
            Self::Identity => "start the group of the user's devices",
            Self::KeyServer => "store a key that only the password opens",
            Self::QueuingService => "create a pseudonym at the queuing service",
            Self::KeyPackages => "publish KeyPackages for friends",
        }
    }

    /// Whether there is nothing left to do.
    pub(crate) fn is_done(self, account: Option<&Account>) -> bool {
        match self {
            Self::Initiate => account.is_some(),
            Self::Finish => account.is_some_and(Account::is_registered),
            Self::Identity => account.is_some_and(Account::has_identity),
            Self::KeyServer => account.is_some_and(Account::has_storage_key),
            Self::QueuingService => account.is_some_and(Account::has_pseudonym),
            Self::KeyPackages => account.is_some_and(Account::has_published),
        }
    }

    async fn run(self, registration: &mut Registration<'_>, password: &mut PasswordSource<'_>) -> Result<(), Error> {
        match self {
            Self::Initiate => initiate::run(registration, password).await,
            Self::Finish => finish::run(registration).await,
            Self::Identity => identity::run(registration).await,
            Self::KeyServer => key_server::run(registration, password).await,
            Self::QueuingService => queuing_service::run(registration).await,
            Self::KeyPackages => key_packages::run(registration).await,
        }
    }
}

/// How a stage stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StageState {
    /// It begins.
    Started,
    /// It goes on where an earlier run stopped.
    Resumed,
    /// It is done.
    Done,
}

impl StageState {
    /// The state's name, for scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Resumed => "resumed",
            Self::Done => "done",
        }
    }
}

/// What an observer of a registration is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
    /// The stage.
    pub stage: Stage,
    /// How it stands.
    pub state: StageState,
}

/// Is told of the progress.
pub(crate) type Observer<'a> = dyn FnMut(Progress) + Send + 'a;

/// A registration under way.
pub(crate) struct Registration<'a> {
    pub(crate) session: Session<'a>,
    pub(crate) user_name: UserName,
    pub(crate) device_name: String,
    /// The longest time that may pass before the pseudonym is created.
    pub(crate) longest_delay: Duration,
    /// How many ordinary KeyPackages to publish.
    pub(crate) key_packages: usize,
    /// What was typed in this run, until no stage needs it any more.
    pub(crate) password: Option<Password>,
}

impl Registration<'_> {
    /// Runs the stages that are not done yet and gives the registered account.
    pub(crate) async fn run(
        mut self,
        password: &mut PasswordSource<'_>,
        observer: &mut Observer<'_>,
    ) -> Result<Account, Error> {
        let mut beginning = if self.session.account.is_some() { StageState::Resumed } else { StageState::Started };
        let mut may_start_over = true;
        while let Some(stage) = self.next_stage() {
            observer(Progress { stage, state: beginning });
            beginning = StageState::Started;
            match stage.run(&mut self, password).await {
                Ok(()) => observer(Progress { stage, state: StageState::Done }),
                Err(error) if may_start_over && calls_for_a_fresh_start(&error) => {
                    may_start_over = false;
                    // On disk the old account stays until a new one takes its place.
                    self.session.account = None;
                }
                Err(error @ Error::UserNameTaken(_)) => {
                    self.session.forget_account()?;
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.session.account.expect("the first stage makes the account"))
    }

    /// The password that was typed in this run; if none was, asks for one.
    fn password(
        &mut self,
        source: &mut PasswordSource<'_>,
        password_use: PasswordUse,
    ) -> Result<Password, PasswordError> {
        if let Some(password) = &self.password {
            return Ok(password.clone());
        }
        let password = source(password_use)?;
        check_not_empty(&password)?;
        Ok(self.password.insert(password).clone())
    }

    fn next_stage(&self) -> Option<Stage> {
        Stage::ALL.iter().copied().find(|stage| !stage.is_done(self.session.account.as_ref()))
    }
}

/// Whether the server has said that what was initiated can never be finished: its time is over, or that of the keys and
/// packages it was made with.
fn calls_for_a_fresh_start(error: &Error) -> bool {
    let Error::Api(error) = error else { return false };
    matches!(
        error.problem_type(),
        Some(
            ProblemType::RegistrationExpired
                | ProblemType::ProvisionalCredentialInvalid
                | ProblemType::SealedRegistrationInvalid
                | ProblemType::ConnectionPackageInvalid
                | ProblemType::UserIdTaken
        )
    )
}

#[cfg(test)]
mod tests;

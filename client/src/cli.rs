//! The `vestibule` command line.
//!
//! Exit codes: 0 done, 1 refused or failed, with one line on stderr that begins with `error: `, 2 wrong usage.
//!
//! With `--json`, stdout carries one JSON object a line and nothing else, each with an `event`. These are promised to
//! scripts; fields may be added, not changed:
//!
//! | `event` | fields |
//! |---|---|
//! | `stage` | `name` (`initiate`, `finish`, `identity`, `key-server`, `queuing-service`, `key-packages`; with `link` the last two), `state` (`started`, `resumed`, `done`) |
//! | `registered` | `user_name`, `client_id`, `qs_user_id`, `qs_client_id` |
//! | `status` | `user_name`, `device`, `credential_expires_at` (RFC 3339, UTC), `device_changes` (since the last time; a list of `change` (`added`, `confirmed`, `removed`, `unreadable`: what it told of the keys that all share could not be taken), `name`, `client_id`), `key_packages` (`remaining`, `last_resort_uses`), `tokens` (`available`, `next_allowance_at`) |
//! | `published` | `count` (of those that are claimed once each), `last_resort` (`true`: there always is one beside them) |
//! | `friendship-code` | `code` |
//! | `claimed` | `packages` (a list of `key_package_ref`, `last_resort`, `user_name`) |
//! | `sent` | `devices` (how many of the friend's devices get it); `unreachable` (how many do not), if there are any |
//! | `message` | `from` (a user name), `text`, `sequence` (grows; the same again is the same message again) |
//! | `unreadable` | `count` (of what had come and could not be opened, or was of nobody to be trusted) |
//! | `storage-key` | `fingerprint` |
//! | `password-changed` | |
//! | `audit` | `entries` (a list of `sequence`, `at` (RFC 3339, UTC), `action`, `outcome`, newest first), `chain` (`intact`, `altered`, `unknown`) |
//! | `unlocked` | `user_name` |
//! | `tokens` | `available`, `next_allowance_at` (RFC 3339, UTC; `null` if it is now) |
//! | `account-deleted` | `user_name`, `pseudonym_left` (whether the queuing service still has what only another device could delete) |
//! | `code` | `words`, `digits`, `uri`, `expires_at` (RFC 3339, UTC) |
//! | `peer-joined` | |
//! | `secured` | |
//! | `approval` | `user_name`, `device`: what there is to be decided, or was with `--yes` |
//! | `linked` | `user_name`, `client_id`, `device`; at the new device, stages follow |
//! | `aborted` | `reason`: of the connection `connection-ended`, `cancelled`, `peer-cancelled`, `expired`, `state-lost`, `tampered`, `relay-misbehaved`, `refused`; of the linking `declined`, `peer-declined`, `another-user`, `another-root`, `request-refused`, `credential-refused`, `key-package-refused`, `handover-refused`, `client-limit`, `approver-removed`, `not-confirmed`, `protocol-violation`, `failed` |
//! | `devices` | `devices` (a list of `name`, `client_id`, `added_at` (RFC 3339, UTC), `confirmed`, `this`) |
//! | `device-removed` | `name`, `client_id`, `keys` (what it knew is `rotated`, or that is still `pending`; `not-needed` without the queuing service) |
//! | `identity-reset` | `generation`, `removed` (`name`, `client_id`, `keys`; `null` if no device had to be) |
//! | `rotation-pending` | after `status`, if what a removed device knew is not replaced: `half_removed` (`name`, `client_id` of a device whose removal was interrupted, or `null`) |
//! | `error` | `problem` (a URN: the server's problem type or one of [`Error::urn`]'s), `detail` |
//!
//! If the supply is not known, `key_packages` is `null` and `key_packages_problem` says why, as an error's `problem` does; the
//! same goes for `device_changes` and `device_changes_problem`, `tokens` and `tokens_problem`. `connection_packages_problem` is
//! there if strangers may not be able to claim connection packages of this device. A device's `name` and `added_at` are `null`
//! before it has confirmed itself.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser as _;

use crate::client::{Client, Options};
use crate::error::{Error, local_urn};
use crate::home::HomeError;
use crate::password::PasswordUse;
use crate::server_url::ServerUrlError;

mod account;
mod arguments;
mod devices;
mod linking;
mod messages;
mod password;
mod places;
mod report;

use arguments::{Arguments, ChangePassword, Command, KeyPackages, OfUser, PasswordCommand, Register, StorageKey};
use linking::Questions;
pub use linking::ReadLine;
use password::PasswordPrompt;
use report::Report;
use vestibule_protocol::friendship::FriendshipCodeError;
use vestibule_protocol::name::{NameError, UserName};
use vestibule_protocol::opaque::Password;
use vestibule_protocol::rendezvous::PairingError;
use vestibule_test_messages::MessageTextError;
use zeroize::Zeroizing;

/// Room for a line that is typed, in bytes: one that fits leaves no copy behind.
const LINE_CAPACITY: usize = 4096;

/// What a command reads and writes.
pub struct Streams<'a> {
    /// Where `--password-stdin` reads.
    pub stdin: &'a mut (dyn BufRead + Send),
    /// Where results go.
    pub stdout: &'a mut (dyn Write + Send),
    /// Where errors go.
    pub stderr: &'a mut (dyn Write + Send),
    /// Whether somebody can be asked.
    pub can_ask: bool,
    /// Where the answers to questions come from, other than passwords.
    pub read_line: ReadLine,
    /// Whether somebody watches stderr: progress is then drawn there.
    pub is_watched: bool,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let (mut stdin, mut stdout, mut stderr) = (BufReader::new(io::stdin()), io::stdout(), io::stderr());
    let streams = Streams {
        can_ask: io::stdin().is_terminal(),
        read_line: Arc::new(read_line),
        is_watched: io::stderr().is_terminal(),
        stdin: &mut stdin,
        stdout: &mut stdout,
        stderr: &mut stderr,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
    ExitCode::from(runtime.block_on(run(std::env::args_os(), streams, |options| options)))
}

/// Reads a line of this process's input.
fn read_line() -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::with_capacity(LINE_CAPACITY));
    io::stdin().read_line(&mut line)?;
    Ok(line)
}

/// Runs a command line, the program's name first, and gives its exit code. `adjust` may change what the client is
/// opened with: its clock, its transport, a [`Fuse`](crate::Fuse).
pub async fn run(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    streams: Streams<'_>,
    adjust: impl FnOnce(Options) -> Options,
) -> u8 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(usage) => {
            let stream = if usage.use_stderr() { streams.stderr } else { streams.stdout };
            let _ = write!(stream, "{}", usage.render());
            return u8::try_from(usage.exit_code()).unwrap_or(2);
        }
    };
    let Streams { stdin, stdout, stderr, can_ask, read_line, is_watched } = streams;
    let mut report = Report::new(stdout, stderr, arguments.json, is_watched);
    let prompt = PasswordPrompt::new(stdin, can_ask, report.spinner());
    let questions = Questions { read_line, can_ask };
    match execute(arguments, &mut report, prompt, questions, adjust).await {
        Ok(()) => 0,
        Err(error) => {
            report.error(&error);
            1
        }
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Client(#[from] Error),
    #[error("'{text}' is not a user name: {reason}")]
    UserName { text: String, reason: NameError },
    #[error("'{text}' is not a server: {reason}")]
    Server { text: String, reason: ServerUrlError },
    #[error("a root credential's fingerprint is 43 characters of base64url")]
    TrustedRoot,
    #[error(transparent)]
    FriendshipCode(#[from] FriendshipCodeError),
    #[error(transparent)]
    MessageText(#[from] MessageTextError),
    #[error("the messages cannot be printed, and are kept: {0}")]
    Unprintable(io::Error),
    #[error(transparent)]
    Pairing(#[from] PairingError),
    #[error("the code that the new device shows is missing, and there is no terminal to ask for it on")]
    CodeMissing,
    #[error("{0} is not deleted: it was not confirmed")]
    NotDeleted(UserName),
    #[error("it is not known where your data belongs: name a directory with --home")]
    NoHome,
}

impl CommandError {
    fn urn(&self) -> String {
        match self {
            Self::Client(error) => error.urn(),
            Self::UserName { .. } => local_urn("invalid-user-name"),
            Self::Server { .. } => local_urn("invalid-server"),
            Self::TrustedRoot => local_urn("invalid-fingerprint"),
            Self::FriendshipCode(_) => local_urn("invalid-friendship-code"),
            Self::MessageText(_) => local_urn("invalid-message"),
            Self::Unprintable(_) => local_urn("output-failed"),
            Self::Pairing(_) => local_urn("invalid-rendezvous-code"),
            Self::CodeMissing => local_urn("nobody-to-ask"),
            Self::NotDeleted(_) => local_urn("not-confirmed"),
            Self::NoHome => local_urn("home-unusable"),
        }
    }
}

async fn execute(
    arguments: Arguments,
    report: &mut Report<'_>,
    prompt: PasswordPrompt<'_>,
    questions: Questions,
    adjust: impl FnOnce(Options) -> Options,
) -> Result<(), CommandError> {
    let home = arguments.home.clone().or_else(places::default_home).ok_or(CommandError::NoHome)?;
    let mut options = Options::new(&home);
    if let Some(server) = arguments.server()? {
        options = options.server(server);
    }
    // Each command is on the heap: there is much of some, and room for the largest of all would be taken for each.
    match arguments.command {
        Command::Register(register) => {
            if let Some(fingerprint) = register.trusted_root()? {
                options = options.trusted_root(fingerprint);
            }
            Box::pin(execute_register(&register, Client::open(adjust(options))?, report, prompt)).await
        }
        Command::Status => Box::pin(devices::execute_status(Client::open(adjust(options))?, report)).await,
        Command::Link(link) => {
            Box::pin(linking::execute_link(&link, adjust(options), questions, report, tokio::signal::ctrl_c())).await
        }
        Command::Approve(approve) => {
            Box::pin(linking::execute_approve(&approve, adjust(options), questions, report, tokio::signal::ctrl_c()))
                .await
        }
        Command::Devices(devices) => {
            Box::pin(devices::execute_devices(&devices, Client::open(adjust(options))?, report, prompt)).await
        }
        Command::Identity(command) => {
            Box::pin(devices::execute_identity(&command, Client::open(adjust(options))?, report, prompt)).await
        }
        Command::KeyPackages(KeyPackages::Publish(publish)) => {
            let count = publish.count()?;
            let published = Client::open(adjust(options))?.publish_key_packages(count).await?;
            report.published(&published);
            Ok(())
        }
        Command::KeyPackages(KeyPackages::Claim(claim)) => {
            let code = claim.code()?;
            let claimed = Client::open(adjust(options))?.claim_key_packages(&code).await?;
            report.claimed(&claimed);
            Ok(())
        }
        Command::FriendshipCode => {
            report.friendship_code(&Client::open(adjust(options))?.friendship_code()?);
            Ok(())
        }
        Command::Send(send) => messages::execute_send(&send, Client::open(adjust(options))?, report).await,
        Command::Receive(receive) => {
            messages::execute_receive(&receive, Client::open(adjust(options))?, report, tokio::signal::ctrl_c()).await
        }
        Command::StorageKey(StorageKey::Check(of_user)) => {
            let (user_name, mut client) = (of_user.user_name()?, Client::open(adjust(options))?);
            let password = ask_current(&of_user, user_name.as_ref(), &client, prompt)?;
            report.storage_key(&client.storage_key(user_name.as_ref(), password).await?);
            Ok(())
        }
        Command::Password(PasswordCommand::Change(change)) => {
            execute_change_password(&change, Client::open(adjust(options))?, report, prompt).await
        }
        Command::Audit(of_user) => {
            let (user_name, mut client) = (of_user.user_name()?, Client::open(adjust(options))?);
            let password = ask_current(&of_user, user_name.as_ref(), &client, prompt)?;
            report.audit(&client.audit_log(user_name.as_ref(), password).await?);
            Ok(())
        }
        Command::Tokens => account::execute_tokens(&Client::open(adjust(options))?, report),
        Command::Account(command) => {
            account::execute_account(&command, Client::open(adjust(options))?, questions, report, prompt).await
        }
        Command::Unlock(of_user) => execute_unlock(&of_user, adjust(options), report, prompt).await,
    }
}

/// Asks for the password of the user who is named, or else of this device's. Nobody is asked in vain.
fn ask_current(
    of_user: &OfUser,
    user_name: Option<&UserName>,
    client: &Client,
    mut prompt: PasswordPrompt<'_>,
) -> Result<Password, CommandError> {
    client.check_user_is_known(user_name)?;
    Ok(prompt.ask("Password: ", PasswordUse::Current, of_user.password_stdin).map_err(Error::from)?)
}

async fn execute_change_password(
    change: &ChangePassword,
    mut client: Client,
    report: &mut Report<'_>,
    mut prompt: PasswordPrompt<'_>,
) -> Result<(), CommandError> {
    client.status()?;
    let mut ask = |question, password_use| prompt.ask(question, password_use, change.password_stdin);
    let old_password = ask("Current password: ", PasswordUse::Current).map_err(Error::from)?;
    let new_password = ask("New password: ", PasswordUse::New).map_err(Error::from)?;
    client.change_password(old_password, new_password).await?;
    report.password_changed();
    Ok(())
}

async fn execute_unlock(
    of_user: &OfUser,
    options: Options,
    report: &mut Report<'_>,
    mut prompt: PasswordPrompt<'_>,
) -> Result<(), CommandError> {
    let user_name = of_user.user_name()?;
    match Client::open(options.clone()) {
        Err(Error::Home(HomeError::Locked(_))) => {}
        opened => {
            report.unlocked(opened?.status()?.user_name.as_str(), false);
            return Ok(());
        }
    }
    let user_name = user_name.ok_or(Error::UserNameNeeded)?;
    let password = prompt.ask("Password: ", PasswordUse::Current, of_user.password_stdin).map_err(Error::from)?;
    Client::unlock(options, &user_name, password).await?;
    report.unlocked(user_name.as_str(), true);
    Ok(())
}

async fn execute_register(
    register: &Register,
    mut client: Client,
    report: &mut Report<'_>,
    mut prompt: PasswordPrompt<'_>,
) -> Result<(), CommandError> {
    let user_name = register.user_name()?;
    let device_name = register.device.clone().unwrap_or_else(places::host_name);
    let password = |password_use| prompt.ask("Password: ", password_use, register.password_stdin);
    let registered = client.register(&user_name, &device_name, password, |progress| report.progress(progress)).await?;
    report.registered(&registered, &client.status()?);
    Ok(())
}

#[cfg(test)]
mod tests;

//! The command line's grammar. Its doc comments are what `--help` prints.

use std::fmt;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use vestibule_protocol::encoding;
use vestibule_protocol::friendship::FriendshipCode;
use vestibule_protocol::name::UserName;
use vestibule_protocol::signed::Fingerprint;

use super::CommandError;
use crate::error::Error;
use crate::queuing::DEFAULT_KEY_PACKAGES;
use crate::server_url::ServerUrl;

mod account;
mod devices;
mod messages;

pub(super) use account::{AccountCommand, DeleteAccount};
pub(super) use devices::{Approve, Devices, DevicesCommand, IdentityCommand, Link, Remove, Reset};
pub(super) use messages::{Receive, Send};

/// Brings you and your devices into a Vestibule, the entrance of an end-to-end-encrypted messenger.
///
/// Everything that a device keeps (its keys above all) is in its home directory, sealed and for you alone. A command
/// that was interrupted goes on where it stopped when it is run again.
#[derive(Debug, Parser)]
#[command(name = "vestibule", version, after_help = EXIT_CODES)]
pub(super) struct Arguments {
    /// Where the server is: an https:// URL, or http:// on this computer. By default where it was last time, at first
    /// http://127.0.0.1:8787, where `cargo dev` serves.
    #[arg(long, global = true, value_name = "URL", env = "VESTIBULE_SERVER", hide_env_values = true)]
    server: Option<String>,

    /// The directory in which this device keeps its state; one for each user. By default a directory of your own data,
    /// such as ~/.local/share/vestibule.
    #[arg(long, global = true, value_name = "DIR", env = "VESTIBULE_HOME", hide_env_values = true)]
    pub(super) home: Option<PathBuf>,

    /// Print one JSON object a line on stdout, for scripts, and nothing else there.
    #[arg(long, global = true)]
    pub(super) json: bool,

    #[command(subcommand)]
    pub(super) command: Command,
}

const EXIT_CODES: &str =
    "Exit codes: 0 done; 1 refused or failed, with one line on stderr that says why; 2 wrong usage.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Register a new user, with this device as the first.
    ///
    /// The password never leaves this device, and is not kept on it either: the server can check it without ever
    /// seeing it. If the command is interrupted, run it again.
    Register(Register),

    /// Show who this device is, until when its credential is valid, what has changed among your devices since the last time,
    /// how many KeyPackages friends can still claim, and how many tokens are left.
    ///
    /// A credential that ends soon is renewed; if the KeyPackages are few, fresh ones are published, and if the tokens are
    /// few, more are taken. A linked device that the queuing service does not know yet is made known to it. If a service
    /// cannot be reached, the rest is shown.
    Status,

    /// Publish your KeyPackages, or claim those of a friend.
    #[command(subcommand)]
    KeyPackages(KeyPackages),

    /// Print your friendship code: what a friend needs to claim your KeyPackages.
    ///
    /// Give it to friends alone, over a channel that you trust: whoever has it can use up your KeyPackages and sees whose
    /// they are.
    FriendshipCode,

    /// Send a text, end-to-end encrypted, to all devices of a friend.
    ///
    /// It costs a token for each device and one more. If the command is interrupted, run it again within a day: each device
    /// gets the text once.
    Send(Send),

    /// Print the messages that have come for this device.
    ///
    /// Each is printed once, unless the command was interrupted while it did so. What cannot be opened, or is of somebody who
    /// cannot be trusted, is counted.
    Receive(Receive),

    /// Make this device, which is new, one of a user's: show a code that is typed into a device the user has, and wait.
    ///
    /// To read the code is to be let in, so show it to nobody. Before anything is shared you are asked whether the user is
    /// the right one. If the command is interrupted, run it again; Ctrl-C gives up.
    Link(Link),

    /// Let a new device, which shows a code, become one of yours.
    ///
    /// It gets full access to your account, so you are asked whether it is in your hands. A code can be used once: if the
    /// words are wrong, the new device needs another one. If the command is interrupted, run it again; Ctrl-C gives up.
    Approve(Approve),

    /// List your devices, or remove one of them.
    Devices(Devices),

    /// Look after your identity: the group that your devices form.
    #[command(subcommand)]
    Identity(IdentityCommand),

    /// Look after your storage key: the key that only your password opens.
    #[command(subcommand)]
    StorageKey(StorageKey),

    /// Look after your password.
    #[command(subcommand)]
    Password(PasswordCommand),

    /// Show what was done with your storage key and your password, newest first, and whether the log was altered since
    /// this device last saw it.
    Audit(OfUser),

    /// Show how many tokens this device has to pay with at the queuing service, and when it can take more.
    ///
    /// A token says that somebody was given it, and not who. `vestibule status` takes more when they are few.
    Tokens,

    /// Look after your account.
    #[command(subcommand)]
    Account(AccountCommand),

    /// Open this device's home with your password, if its device key was lost.
    ///
    /// What the home holds is sealed. The device key opens it without asking you; your password does with the key server's
    /// help, and makes a new device key. Name the server with --server: the home cannot say where it is.
    Unlock(OfUser),
}

#[derive(Debug, Subcommand)]
pub(super) enum StorageKey {
    /// Fetch your storage key with your password, and print its fingerprint: the same on every device. The key itself is
    /// shown to nobody, and not kept.
    Check(OfUser),
}

#[derive(Debug, Subcommand)]
pub(super) enum PasswordCommand {
    /// Change your password. Your storage key stays the same.
    Change(ChangePassword),
}

#[derive(Debug, Args)]
pub(super) struct OfUser {
    /// The user name, such as alice@example.org. By default that of the user of this device.
    #[arg(value_name = "USER")]
    user_name: Option<String>,

    /// Read the password from the first line of stdin, instead of asking for it.
    #[arg(long)]
    pub(super) password_stdin: bool,
}

#[derive(Debug, Args)]
pub(super) struct ChangePassword {
    /// Read the old password from the first line of stdin and the new one from the second, instead of asking for them.
    #[arg(long)]
    pub(super) password_stdin: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyPackages {
    /// Publish fresh KeyPackages in place of those that are left, and a last-resort one.
    Publish(Publish),

    /// Claim a KeyPackage of each of a friend's devices, and check that they are the friend's.
    ///
    /// What was claimed is gone. If the answer is lost, so are its KeyPackages.
    Claim(Claim),
}

#[derive(Debug, Args)]
pub(super) struct Publish {
    /// How many, at most 100. By default 100.
    #[arg(long, value_name = "N")]
    count: Option<String>,
}

#[derive(Args)]
pub(super) struct Claim {
    /// The friend's friendship code.
    #[arg(value_name = "CODE")]
    code: String,
}

/// Without the code, which is a secret.
impl fmt::Debug for Claim {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Claim")
    }
}

#[derive(Debug, Args)]
pub(super) struct Register {
    /// The user name wanted, such as alice@example.org.
    user_name: String,

    /// What to call this device; by default this computer's name.
    #[arg(long, value_name = "NAME")]
    pub(super) device: Option<String>,

    /// Read the password from the first line of stdin, instead of asking for it.
    #[arg(long)]
    pub(super) password_stdin: bool,

    /// The fingerprint of the deployment's root credential, if you were told it. By default the root that the server
    /// shows first is trusted from then on.
    #[arg(long, value_name = "FINGERPRINT")]
    trusted_root: Option<String>,
}

// Values are read here and not by clap, so that a wrong one is an error like any other: one line, and an event.

impl Arguments {
    pub(super) fn server(&self) -> Result<Option<ServerUrl>, CommandError> {
        let parse = |text: &String| {
            text.parse().map_err(|reason| CommandError::Server { text: crate::text::one_line(text), reason })
        };
        self.server.as_ref().map(parse).transpose()
    }
}

impl Publish {
    pub(super) fn count(&self) -> Result<usize, CommandError> {
        let parse = |text: &String| text.parse().map_err(|_| Error::KeyPackageCount.into());
        self.count.as_ref().map_or(Ok(DEFAULT_KEY_PACKAGES), parse)
    }
}

impl Claim {
    pub(super) fn code(&self) -> Result<FriendshipCode, CommandError> {
        Ok(self.code.parse()?)
    }
}

impl OfUser {
    pub(super) fn user_name(&self) -> Result<Option<UserName>, CommandError> {
        self.user_name.as_ref().map(|text| parse_user_name(text)).transpose()
    }
}

impl Register {
    pub(super) fn user_name(&self) -> Result<UserName, CommandError> {
        parse_user_name(&self.user_name)
    }

    pub(super) fn trusted_root(&self) -> Result<Option<Fingerprint>, CommandError> {
        let parse = |text: &String| {
            let bytes = encoding::decode(text).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            bytes.map(Fingerprint::from).ok_or(CommandError::TrustedRoot)
        };
        self.trusted_root.as_ref().map(parse).transpose()
    }
}

fn parse_user_name(text: &str) -> Result<UserName, CommandError> {
    text.parse().map_err(|reason| CommandError::UserName { text: crate::text::one_line(text), reason })
}

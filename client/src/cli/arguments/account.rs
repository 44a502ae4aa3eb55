//! The grammar of the commands about a user's account.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum AccountCommand {
    /// Delete your account for good, on all devices: your pseudonym with the KeyPackages and queues of all devices, your
    /// storage key, and you. Nobody else can have your user name after that.
    ///
    /// That takes your password. If the command is interrupted, run it again.
    Delete(DeleteAccount),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DeleteAccount {
    /// Read the password from the first line of stdin, instead of asking for it.
    #[arg(long)]
    pub(in crate::cli) password_stdin: bool,

    /// Do not ask whether you are sure: for scripts.
    #[arg(long)]
    pub(in crate::cli) yes: bool,
}

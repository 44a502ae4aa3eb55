//! The grammar of the commands about a user's devices.

use std::fmt;

use clap::{Args, Subcommand};
use vestibule_protocol::name::UserName;
use vestibule_protocol::rendezvous::Pairing;
use zeroize::Zeroizing;

use super::parse_user_name;
use crate::cli::CommandError;

#[derive(Debug, Args)]
pub(in crate::cli) struct Link {
    /// What to call this device: 1 to 64 printable characters. Your other devices show it.
    #[arg(value_name = "DEVICE-NAME")]
    pub(in crate::cli) device_name: String,

    /// The user whose device this is to become, such as alice@example.org. Nothing is shared with another one's device.
    #[arg(long = "as", value_name = "USER")]
    user_name: Option<String>,

    /// Do not ask, become the device of whoever typed the code: for scripts.
    #[arg(long)]
    pub(in crate::cli) yes: bool,
}

impl Link {
    pub(in crate::cli) fn user_name(&self) -> Result<Option<UserName>, CommandError> {
        self.user_name.as_ref().map(|text| parse_user_name(text)).transpose()
    }
}

#[derive(Args)]
pub(in crate::cli) struct Approve {
    /// The code: number and words, digits, or what the QR code says; in any case, with spaces or hyphens in between,
    /// words cut short as far as they are the only ones that begin so. By default you are asked for it.
    #[arg(value_name = "CODE", num_args = 1..)]
    code: Vec<Zeroizing<String>>,

    /// Do not ask, approve whatever device shows the code: for scripts.
    #[arg(long)]
    pub(in crate::cli) yes: bool,
}

/// Without the code, which is a secret.
impl fmt::Debug for Approve {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Approve")
    }
}

impl Approve {
    /// The code, if it was given.
    pub(in crate::cli) fn pairing(&self) -> Result<Option<Pairing>, CommandError> {
        if self.code.is_empty() {
            return Ok(None);
        }
        let length = self.code.iter().map(|part| part.len() + 1).sum();
        let mut code = Zeroizing::new(String::with_capacity(length));
        for part in &self.code {
            code.push_str(part);
            code.push(' ');
        }
        Ok(Some(code.parse()?))
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Devices {
    #[command(subcommand)]
    pub(in crate::cli) command: Option<DevicesCommand>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum DevicesCommand {
    /// Remove one of your devices, for good: it is refused by the server from then on.
    ///
    /// That takes your password.
    Remove(Remove),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Remove {
    /// The device's name, or its client id if several have the name.
    #[arg(value_name = "NAME")]
    pub(in crate::cli) device: String,

    /// Read the password from the first line of stdin, instead of asking for it.
    #[arg(long)]
    pub(in crate::cli) password_stdin: bool,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum IdentityCommand {
    /// Start the group of your devices over, for the case that it is stuck: that one of them has made a change which the
    /// others cannot follow. That device is removed; the others join by themselves, at their next `vestibule status`.
    ///
    /// That takes your password.
    Reset(Reset),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Reset {
    /// Read the password from the first line of stdin, instead of asking for it.
    #[arg(long)]
    pub(in crate::cli) password_stdin: bool,
}

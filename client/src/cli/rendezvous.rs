//! `vestibule rendezvous`: whether two devices find each other, tried out with a line each way.

use std::fmt;
use std::io;

use clap::{Args, Subcommand};
use vestibule_protocol::rendezvous::{EndReason, Pairing, Role};
use zeroize::Zeroizing;

use super::CommandError;
use super::report::Report;
use crate::client::{Client, Options};
use crate::error::Error;
use crate::rendezvous::{Incoming, PeerPresence, Rendezvous, RendezvousError};
use crate::text::one_line;

#[derive(Debug, Subcommand)]
pub(super) enum RendezvousCommand {
    /// Show a code, wait for the device that joins it, and exchange a line with it.
    ///
    /// Needs no account. To read the code is to be let in, so show it to nobody. Ctrl-C gives up.
    New,

    /// Join the device that shows a code, and exchange a line with it.
    ///
    /// A code can be joined once: if the words are wrong, the other device needs another one. Ctrl-C gives up.
    Join(Join),
}

#[derive(Args)]
pub(super) struct Join {
    /// The code: number and words, digits, or what the QR code says; in any case, with spaces or hyphens in between,
    /// words cut short as far as they are the only ones that begin so.
    #[arg(value_name = "CODE", required = true, num_args = 1..)]
    code: Vec<Zeroizing<String>>,
}

/// Without the code, which is a secret.
impl fmt::Debug for Join {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Join")
    }
}

impl Join {
    fn pairing(&self) -> Result<Pairing, CommandError> {
        let parts: Vec<&str> = self.code.iter().map(|part| part.as_str()).collect();
        Ok(Zeroizing::new(parts.join(" ")).parse()?)
    }
}

/// Runs the command, until it is done or `interrupted` is.
pub(super) async fn execute(
    command: &RendezvousCommand,
    options: Options,
    report: &mut Report<'_>,
    interrupted: impl Future<Output = io::Result<()>> + Send,
) -> Result<(), CommandError> {
    let outcome = match command {
        RendezvousCommand::New => meet_as_new_device(options, report, interrupted).await,
        RendezvousCommand::Join(join) => {
            // What is mistyped must not use up the code.
            let pairing = join.pairing()?;
            meet_as_existing_device(options, &pairing, report, interrupted).await
        }
    };
    if let Err(Error::Rendezvous(RendezvousError::Ended(reason))) = &outcome {
        report.aborted(reason);
    }
    Ok(outcome?)
}

async fn meet_as_new_device(
    options: Options,
    report: &mut Report<'_>,
    interrupted: impl Future<Output = io::Result<()>> + Send,
) -> Result<(), Error> {
    let mut client = Client::open(options)?;
    if let Some(mut leftover) = client.resume_rendezvous()? {
        if leftover.role() == Role::NewDevice && !leftover.is_ended() {
            return converse(&mut leftover, report, interrupted).await;
        }
        leftover.cancel().await?;
    }
    let mut rendezvous = client.create_rendezvous().await?;
    if let Some(pairing) = rendezvous.pairing() {
        report.code(pairing, rendezvous.expires_at());
    }
    converse(&mut rendezvous, report, interrupted).await
}

async fn meet_as_existing_device(
    options: Options,
    pairing: &Pairing,
    report: &mut Report<'_>,
    interrupted: impl Future<Output = io::Result<()>> + Send,
) -> Result<(), Error> {
    let mut client = Client::open(options)?;
    if let Some(mut leftover) = client.resume_rendezvous()? {
        if leftover.role() == Role::ExistingDevice && leftover.code() == pairing.code {
            return converse(&mut leftover, report, interrupted).await;
        }
        leftover.cancel().await?;
    }
    let mut rendezvous = client.join_rendezvous(pairing).await?;
    converse(&mut rendezvous, report, interrupted).await
}

async fn converse(
    rendezvous: &mut Rendezvous<'_>,
    report: &mut Report<'_>,
    interrupted: impl Future<Output = io::Result<()>> + Send,
) -> Result<(), Error> {
    tokio::select! {
        biased;
        outcome = exchange_lines(rendezvous, report) => return outcome,
        _ = interrupted => {}
    }
    rendezvous.cancel().await?;
    Err(RendezvousError::Ended(EndReason::Cancelled).into())
}

async fn exchange_lines(rendezvous: &mut Rendezvous<'_>, report: &mut Report<'_>) -> Result<(), Error> {
    let line = match rendezvous.role() {
        Role::NewDevice => "Hello from the new device!",
        Role::ExistingDevice => "Hello from the existing device!",
    };
    let mut has_joined = false;
    let mut channel = rendezvous
        .secured(|presence| {
            // After a reconnection it arrives again.
            if presence == PeerPresence::Arrived && !std::mem::replace(&mut has_joined, true) {
                report.peer_joined();
            }
        })
        .await?;
    report.secured();
    if channel.remembered().is_empty() {
        // Refused only by a channel that is over, which the next call says.
        let _ = channel.send(line.as_bytes());
        channel.remember(b"said");
    }
    loop {
        match channel.receive().await? {
            Incoming::Message(message) => {
                report.message(&one_line(&String::from_utf8_lossy(message.as_bytes())));
                // Closed already if the other device closed first.
                let _ = channel.close();
            }
            Incoming::PeerClosed => {
                let _ = channel.close();
            }
            Incoming::Finished => {
                report.finished();
                return Ok(());
            }
        }
    }
}

//! `vestibule send` and `vestibule receive`.

use std::io;

use super::CommandError;
use super::arguments::{Receive, Send};
use super::report::Report;
use crate::client::Client;
use crate::messages::Received;

/// Sends a text.
pub(super) async fn execute_send(send: &Send, mut client: Client, report: &mut Report<'_>) -> Result<(), CommandError> {
    let (code, text) = (send.code()?, send.text()?);
    Ok(client.send_message(&code, text, |sent| report.sent(sent)).await?)
}

/// Prints what has come and, if it is to follow, what comes until `interrupted`. What was not printed is not acknowledged.
pub(super) async fn execute_receive(
    receive: &Receive,
    mut client: Client,
    report: &mut Report<'_>,
    interrupted: impl Future<Output = io::Result<()>>,
) -> Result<(), CommandError> {
    let mut has_printed = false;
    let print = |received: &Received| {
        has_printed = true;
        report.received(received).map_err(CommandError::Unprintable)
    };
    if receive.follow {
        tokio::select! {
            Err(error) = client.follow(print) => return Err(error),
            _ = interrupted => return Ok(()),
        }
    }
    client.receive_all(print).await?;
    if !has_printed {
        report.nothing_received();
    }
    Ok(())
}

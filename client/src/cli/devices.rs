//! `vestibule devices` and `vestibule identity`, and what `vestibule status` does about the devices.

use super::CommandError;
use super::arguments::{Devices, DevicesCommand, IdentityCommand, Remove, Reset};
use super::password::PasswordPrompt;
use super::report::Report;
use crate::client::Client;
use crate::error::Error;
use crate::password::PasswordUse;

/// Lists the devices, or removes one.
pub(super) async fn execute_devices(
    devices: &Devices,
    mut client: Client,
    report: &mut Report<'_>,
    mut prompt: PasswordPrompt<'_>,
) -> Result<(), CommandError> {
    match &devices.command {
        None => report.devices(&client.devices().await?),
        Some(DevicesCommand::Remove(Remove { device, password_stdin })) => {
            client.status()?;
            let password = prompt.ask("Password: ", PasswordUse::Current, *password_stdin).map_err(Error::from)?;
            report.device_removed(&client.remove_device(device, password).await?);
        }
    }
    Ok(())
}

/// Starts the identity over.
pub(super) async fn execute_identity(
    command: &IdentityCommand,
    mut client: Client,
    report: &mut Report<'_>,
    mut prompt: PasswordPrompt<'_>,
) -> Result<(), CommandError> {
    let IdentityCommand::Reset(Reset { password_stdin }) = command;
    client.status()?;
    let password = prompt.ask("Password: ", PasswordUse::Current, *password_stdin).map_err(Error::from)?;
    report.identity_reset(&client.reset_identity(password).await?);
    Ok(())
}

/// What the home says is shown whatever becomes of the rest; but a device that was removed has no more to expect.
pub(super) async fn execute_status(mut client: Client, report: &mut Report<'_>) -> Result<(), CommandError> {
    client.status()?;
    let changes = client.catch_up().await;
    let supply = client.refill_key_packages().await;
    let connection_packages = client.refill_connection_packages().await;
    // The credential may have been renewed.
    report.status(&client.status()?, &changes, &supply, connection_packages.as_ref().err());
    match changes {
        Err(error @ Error::DeviceRemoved(_)) => Err(error.into()),
        _ => Ok(()),
    }
}

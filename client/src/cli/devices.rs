//! `vestibule devices` and `vestibule identity`, and what `vestibule status` does about the devices.

use super::CommandError;
use super::arguments::{Devices, DevicesCommand, IdentityCommand, Remove, Reset};
use super::password::PasswordPrompt;
use super::report::Report;
use crate::client::Client;
use crate::error::Error;
use crate::identity::KeyRotation;
use crate::password::PasswordUse;
use crate::queuing::KeyPackageSupply;

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
    let is_over = matches!(changes, Err(Error::DeviceRemoved(_) | Error::AccountDeleted(_)));
    let connection_packages = if is_over { None } else { client.refill_connection_packages().await.err() };
    let supply = if is_over { client.key_package_supply().await } else { refill_key_packages(&mut client).await };
    let tokens = if is_over { client.tokens() } else { client.refill_tokens().await };
    // The credential may have been renewed.
    report.status(&client.status()?, &changes, &supply, &tokens, connection_packages.as_ref());
    if client.key_rotation()? == KeyRotation::Pending {
        report.rotation_pending(client.half_removed_device()?.as_ref());
    }
    match changes {
        Err(error) if is_over => Err(error.into()),
        _ => Ok(()),
    }
}

/// A device that was linked may not be known to the queuing service yet.
async fn refill_key_packages(client: &mut Client) -> Result<KeyPackageSupply, Error> {
    client.join_queuing_service(|_| ()).await?;
    client.refill_key_packages().await
}

//! What `vestibule devices` and `vestibule identity` say.

use serde::Serialize;

use super::Report;
use crate::error::Error;
use crate::identity::{Device, DeviceChange, IdentityReset, KeyRotation, Removal};
use crate::text::rfc_3339;

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Event<'a> {
    Devices { devices: Vec<ListedDevice<'a>> },
    DeviceRemoved { name: Option<&'a str>, client_id: String, keys: &'static str },
    IdentityReset { generation: u64, removed: Option<RemovedDevice<'a>> },
    RotationPending { half_removed: Option<NamedDevice<'a>> },
}

#[derive(Serialize)]
struct ListedDevice<'a> {
    name: Option<&'a str>,
    client_id: String,
    added_at: Option<String>,
    confirmed: bool,
    this: bool,
}

impl<'a> ListedDevice<'a> {
    fn of(device: &'a Device) -> Self {
        Self {
            name: device.name.as_ref().map(|name| name.as_str()),
            client_id: device.client_id.to_string(),
            added_at: device.added_at.map(rfc_3339),
            confirmed: device.is_confirmed,
            this: device.is_this,
        }
    }
}

#[derive(Serialize)]
struct NamedDevice<'a> {
    name: Option<&'a str>,
    client_id: String,
}

impl<'a> NamedDevice<'a> {
    fn of(device: &'a Device) -> Self {
        Self { name: device.name.as_ref().map(|name| name.as_str()), client_id: device.client_id.to_string() }
    }
}

#[derive(Serialize)]
struct RemovedDevice<'a> {
    name: Option<&'a str>,
    client_id: String,
    keys: &'static str,
}

impl<'a> RemovedDevice<'a> {
    fn of(removal: &'a Removal) -> Self {
        let NamedDevice { name, client_id } = NamedDevice::of(&removal.device);
        Self { name, client_id, keys: keys_name(removal.keys) }
    }
}

/// A change, for scripts.
#[derive(Serialize)]
pub(super) struct ListedChange<'a> {
    change: &'static str,
    name: Option<&'a str>,
    client_id: String,
}

impl<'a> ListedChange<'a> {
    pub(super) fn of(change: &'a DeviceChange) -> Self {
        let NamedDevice { name, client_id } = NamedDevice::of(change.device());
        Self { change: change.name(), name, client_id }
    }
}

impl Report<'_> {
    /// The user's devices.
    pub(in crate::cli) fn devices(&mut self, devices: &[Device]) {
        if self.json {
            let devices = devices.iter().map(ListedDevice::of).collect();
            return self.event(&Event::Devices { devices });
        }
        let width = devices.iter().map(|device| shown_name(device).chars().count()).max().unwrap_or_default();
        for device in devices {
            let added_at = device.added_at.map_or_else(|| "at a time not known".to_owned(), rfc_3339);
            let mut line = format!("{:<width$}  added {added_at:<20}  {}", shown_name(device), device.client_id);
            if device.is_this {
                line += "  (this device)";
            }
            if !device.is_confirmed {
                line += "  (not confirmed yet)";
            }
            let _ = writeln!(self.stdout, "{line}");
        }
    }

    /// A device was removed.
    pub(in crate::cli) fn device_removed(&mut self, removal: &Removal) {
        if self.json {
            let RemovedDevice { name, client_id, keys } = RemovedDevice::of(removal);
            return self.event(&Event::DeviceRemoved { name, client_id, keys });
        }
        let _ = writeln!(self.stdout, "Removed {}.", removal.device);
        self.keys_rotated(removal.keys);
    }

    fn keys_rotated(&mut self, keys: KeyRotation) {
        let _ = match keys {
            KeyRotation::NotNeeded => Ok(()),
            KeyRotation::Done => writeln!(
                self.stdout,
                "What it knew is of no use any more: friends need your new friendship code (`vestibule friendship-code`)."
            ),
            KeyRotation::Pending => writeln!(
                self.stdout,
                "What it knew at the queuing service could not be replaced yet: `vestibule status` tries again."
            ),
        };
    }

    /// What a removed device knew is not replaced yet, or it is not removed.
    pub(in crate::cli) fn rotation_pending(&mut self, half_removed: Option<&Device>) {
        if self.json {
            let half_removed = half_removed.map(NamedDevice::of);
            return self.event(&Event::RotationPending { half_removed });
        }
        let _ = match half_removed {
            Some(device) => writeln!(
                self.stdout,
                "The removal of {device} was interrupted: complete it with `vestibule devices remove`. Until then your \
                 friendship code is of no use."
            ),
            None => writeln!(
                self.stdout,
                "What a removed device knew at the queuing service could not be replaced yet: the next `vestibule status` \
                 tries again."
            ),
        };
    }

    /// The identity was started over.
    pub(in crate::cli) fn identity_reset(&mut self, reset: &IdentityReset) {
        let IdentityReset { generation, removed } = reset;
        if self.json {
            let removed = removed.as_ref().map(RemovedDevice::of);
            return self.event(&Event::IdentityReset { generation: *generation, removed });
        }
        if let Some(Removal { device, keys }) = removed {
            let _ = writeln!(self.stdout, "Removed {}, which had made a change that nobody can follow.", device);
            self.keys_rotated(*keys);
        }
        let _ = writeln!(
            self.stdout,
            "Your identity has started over (generation {generation}). Your other devices join at their next \
             `vestibule status`."
        );
    }
}

/// What `vestibule status` says of the devices, in a line.
pub(super) fn changes_in_words(changes: &Result<Vec<DeviceChange>, Error>) -> String {
    match changes {
        Ok(changes) if changes.is_empty() => "nothing has changed since the last time".to_owned(),
        Ok(changes) => {
            let in_words = |change: &DeviceChange| {
                let what = match change {
                    DeviceChange::Added(_) => "was added",
                    DeviceChange::Confirmed(_) => "has joined",
                    DeviceChange::Removed(_) => "was removed",
                    DeviceChange::Unreadable(_) => "has told of keys that this device cannot take",
                };
                format!("{} {what}", change.device())
            };
            changes.iter().map(in_words).collect::<Vec<_>>().join("; ")
        }
        Err(error) => format!("not known: {error}"),
    }
}

/// What has become of keys, for scripts.
fn keys_name(keys: KeyRotation) -> &'static str {
    match keys {
        KeyRotation::NotNeeded => "not-needed",
        KeyRotation::Done => "rotated",
        KeyRotation::Pending => "pending",
    }
}

fn shown_name(device: &Device) -> &str {
    device.name.as_ref().map_or("(no name)", |name| name.as_str())
}

//! The user's devices: the members of the identity, with what the user calls them.

use std::fmt;

use vestibule_identity::Member;
use vestibule_protocol::device_label::{DeviceLabel, DeviceName};
use vestibule_protocol::name::{ClientId, ClientUuid};
use vestibule_protocol::time::Timestamp;

use crate::error::Error;
use crate::home::{Account, IdentityState, SeenDevice};
use crate::session::Session;

/// One of the user's devices.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// Its client.
    pub client_id: ClientId,
    /// What the user calls it. None before it has confirmed itself.
    pub name: Option<DeviceName>,
    /// When it was added, by its own clock. None before it has confirmed itself.
    pub added_at: Option<Timestamp>,
    /// Whether it has taken its place among the user's devices. One that does not within an hour never will.
    pub is_confirmed: bool,
    /// Whether it is this one.
    pub is_this: bool,
}

impl fmt::Display for Device {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(formatter, "'{name}' ({})", self.client_id),
            None => self.client_id.fmt(formatter),
        }
    }
}

/// What has happened among the user's other devices since the user was last told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DeviceChange {
    /// A device is there that was not.
    Added(Device),
    /// A device that was there has confirmed itself.
    Confirmed(Device),
    /// A device that was there is not any more.
    Removed(Device),
    /// What a device has told of the keys that all share cannot be read, or not be taken: it was left aside.
    Unreadable(Device),
}

impl DeviceChange {
    /// The change's name, for scripts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Added(_) => "added",
            Self::Confirmed(_) => "confirmed",
            Self::Removed(_) => "removed",
            Self::Unreadable(_) => "unreadable",
        }
    }

    /// Whom it is about.
    pub fn device(&self) -> &Device {
        match self {
            Self::Added(device) | Self::Confirmed(device) | Self::Removed(device) | Self::Unreadable(device) => device,
        }
    }
}

impl Device {
    fn of(member: &Member, this: ClientUuid, identity: &IdentityState) -> Self {
        let Member { client_id, is_confirmed, .. } = member;
        let label = label_of(member, identity);
        let (name, added_at) = label.map(|label| (label.name, label.added_at)).unzip();
        // A label under a key that this device has not heard of yet does not take the name away.
        let seen = identity.seen.iter().find(|seen| seen.client_uuid == client_id.uuid);
        let name = name.or_else(|| seen?.name.clone());
        Self {
            client_id: client_id.clone(),
            name,
            added_at,
            is_confirmed: *is_confirmed,
            is_this: client_id.uuid == this,
        }
    }

    /// A device that the user was told of and that is not in the identity.
    fn absent(account: &Account, seen: SeenDevice) -> Self {
        let SeenDevice { client_uuid, name, is_confirmed } = seen;
        let client_id = ClientId { user_name: account.user_name.clone(), uuid: client_uuid };
        Self { client_id, name, added_at: None, is_confirmed, is_this: false }
    }

    /// A device that the user was never told of: one that has just entered is in nobody's list yet.
    pub(super) fn unknown(client_id: ClientId) -> Self {
        Self { client_id, name: None, added_at: None, is_confirmed: true, is_this: false }
    }

    /// The device with this client, if it is in the identity.
    pub(crate) fn in_identity(account: &Account, client_uuid: ClientUuid) -> Option<Self> {
        list(account).into_iter().find(|device| device.client_id.uuid == client_uuid)
    }

    fn is_seen_as(&self) -> SeenDevice {
        let Self { client_id, name, is_confirmed, .. } = self;
        SeenDevice { client_uuid: client_id.uuid, name: name.clone(), is_confirmed: *is_confirmed }
    }
}

/// What a device's label says, if there is a key that it opens under.
pub(super) fn label_of(member: &Member, identity: &IdentityState) -> Option<DeviceLabel> {
    let encrypted = member.encrypted_device_label.as_ref()?;
    identity.device_label_keys().find_map(|key| DeviceLabel::open(&encrypted.0, &member.client_id, key).ok())
}

/// The user's devices as this client knows them: the members of the identity, and those that have yet to enter after it was
/// started over.
pub(crate) fn list(account: &Account) -> Vec<Device> {
    let Some(identity) = &account.identity else { return Vec::new() };
    let IdentityState { member: Some(member), seen, excluded, .. } = identity else { return Vec::new() };
    let follower = member.follower();
    let members = follower.members();
    let members = members.iter().map(|member| Device::of(member, account.client_uuid, identity));
    let may_enter = follower.may_enter().into_iter().filter(|client_uuid| !excluded.contains(client_uuid));
    let absent = may_enter.filter_map(|client_uuid| {
        let seen = seen.iter().find(|seen| seen.client_uuid == client_uuid)?;
        Some(Device::absent(account, seen.clone()))
    });
    members.chain(absent).collect()
}

/// Every client that the user is known to have or to have had.
pub(crate) fn known_client_uuids(account: &Account) -> Vec<ClientUuid> {
    let Some(identity) = &account.identity else { return vec![account.client_uuid] };
    let members = list(account).into_iter().map(|device| device.client_id.uuid);
    let seen = identity.seen.iter().map(|seen| seen.client_uuid);
    members.chain(seen).chain(identity.leaving.iter().copied()).chain([account.client_uuid]).collect()
}

/// Lets there be no news: the devices that there are now were there from the beginning.
pub(crate) fn see_all(account: &mut Account) {
    let others = list(account).into_iter().filter(|device| !device.is_this);
    let seen = others.map(|device| device.is_seen_as()).collect();
    if let Some(identity) = &mut account.identity {
        identity.seen = seen;
    }
}

/// What is new since the last time, which this is from now on.
pub(crate) fn find_changes(session: &mut Session<'_>) -> Result<Vec<DeviceChange>, Error> {
    let account = session.account();
    let Some(identity) = &account.identity else { return Ok(Vec::new()) };
    let others: Vec<_> = list(account).into_iter().filter(|device| !device.is_this).collect();
    let changes = changes(account, &identity.seen, &others);
    if !changes.is_empty() {
        let seen = others.iter().map(Device::is_seen_as).collect();
        session.change_account(|account| {
            let identity = account.identity.as_mut().expect("it is there");
            identity.seen = seen;
            identity.sharing.unreadable.clear();
        })?;
    }
    Ok(changes)
}

fn changes(account: &Account, seen: &[SeenDevice], others: &[Device]) -> Vec<DeviceChange> {
    let mut changes = Vec::new();
    for device in others {
        match seen.iter().find(|seen| seen.client_uuid == device.client_id.uuid) {
            None => changes.push(DeviceChange::Added(device.clone())),
            Some(seen) if device.is_confirmed && !seen.is_confirmed => {
                changes.push(DeviceChange::Confirmed(device.clone()));
            }
            Some(_) => {}
        }
    }
    let is_gone = |seen: &&SeenDevice| !others.iter().any(|device| device.client_id.uuid == seen.client_uuid);
    let gone = seen.iter().filter(is_gone).cloned();
    changes.extend(gone.map(|seen| DeviceChange::Removed(Device::absent(account, seen))));
    let unreadable = account.identity.iter().flat_map(|identity| &identity.sharing.unreadable);
    let listed = unreadable.filter_map(|uuid| others.iter().find(|device| device.client_id.uuid == *uuid));
    changes.extend(listed.map(|device| DeviceChange::Unreadable(device.clone())));
    changes
}

/// Notes what has become of a device by this one's own doing, which is no news then.
pub(crate) fn note(account: &mut Account, client_uuid: ClientUuid) {
    let device = Device::in_identity(account, client_uuid);
    if let Some(identity) = &mut account.identity {
        identity.seen.retain(|seen| seen.client_uuid != client_uuid);
        identity.seen.extend(device.as_ref().map(Device::is_seen_as));
    }
}

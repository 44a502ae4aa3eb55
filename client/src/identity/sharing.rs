//! How the user's clients tell each other what they share: with every commit of the identity, for the members of the epoch
//! after it. The highest rotation holds.

use vestibule_identity::{Change, Follower, Identity, IdentityError, PreparedCommit};
use vestibule_protocol::encoding::{Bytes, SecretBytes as _};
use vestibule_protocol::name::ClientUuid;
use vestibule_protocol::randomness::Randomness;
use vestibule_protocol::symmetric::{SYMMETRIC_SECRET_LENGTH, UserSecretsKey};
use vestibule_protocol::user_secrets::{EXPORTER_LABEL, IdentityEpoch, UserSecrets as ToldSecrets};

use super::IdentityFailure;
use crate::error::Error;
use crate::home::{Account, IdentityState, NextSecrets, PendingChange, Sharing, UserSecrets};

/// By how much more a rotation may be than the one before. A device that counts as high as it can would leave no higher
/// number for those who remove it.
const LARGEST_STEP: u64 = 1 << 20;

/// The secrets that a commit which leads to `next` tells the others, if it ends the rotation under way: the queuing service
/// has them, and nobody is there any more who is not to know them.
pub(super) fn told_with<'s>(state: &'s IdentityState, next: &Follower) -> Option<&'s NextSecrets> {
    let rotation = state.sharing.rotation.as_ref()?;
    let is_shut_out = rotation.against.iter().all(|client| next.member(*client).is_none());
    rotation.next.as_ref().filter(|secrets| secrets.is_accepted && is_shut_out)
}

/// As which rotation a change that leads to `next` makes the secrets of the rotation under way those of all, if it does.
pub(super) fn rotates_to(account: &Account, next: &Follower) -> Option<u64> {
    told_with(account.identity.as_ref()?, next)?;
    // Somebody may have told others meanwhile.
    Some(account.shared_secrets().map_or(0, |secrets| secrets.rotation).saturating_add(1))
}

/// The change that sends a commit, with what it tells the others.
pub(super) fn tell_with(
    account: &Account,
    prepared: PreparedCommit,
    randomness: &mut Randomness,
) -> Result<PendingChange, Error> {
    let state = account.identity.as_ref().expect("there is an identity to change");
    let rotates_to = rotates_to(account, prepared.next.follower());
    let secrets = match told_with(state, prepared.next.follower()).zip(rotates_to) {
        Some((next, rotation)) => {
            let secrets = next.user_secrets.clone().counted(rotation);
            Some(secrets.to_tell(&next.device_label_key))
        }
        None => account.shared_secrets().map(|secrets| secrets.to_tell(&state.device_label_key)),
    };
    let key = key_of(&prepared.next).map_err(IdentityFailure::NotMade)?;
    let encrypted = ToldSecrets::seal(secrets.as_ref(), &epoch_of(&prepared.next), &key, randomness);
    Ok(PendingChange::commit(prepared, encrypted, rotates_to))
}

/// Makes the secrets of the rotation under way this client's own.
pub(super) fn adopt_next(account: &mut Account, rotation: u64) {
    let state = account.identity.as_mut().expect("there is an identity");
    let Some(next) = state.sharing.rotation.take().and_then(|rotation| rotation.next) else { return };
    state.replace_device_label_key(next.device_label_key);
    account.set_shared_secrets(next.user_secrets.counted(rotation));
}

/// Takes up what came with a commit of another client that was just followed. With older commits nothing came.
pub(super) fn hear(account: &mut Account, change: &Change, encrypted: Option<&Bytes>) {
    let Some(encrypted) = encrypted else { return };
    let state = account.identity.as_ref().expect("it was followed");
    match open(state.member(), encrypted) {
        None => note_unreadable(account, change.committer.client_id.uuid),
        Some(told) => compare(account, change.committer.client_id.uuid, told),
    }
}

fn open(member: &Identity, encrypted: &Bytes) -> Option<Option<ToldSecrets>> {
    let key = key_of(member).ok()?;
    ToldSecrets::open(&encrypted.0, &epoch_of(member), &key).ok()
}

fn compare(account: &mut Account, teller: ClientUuid, told: Option<ToldSecrets>) {
    let own = account.shared_secrets().map(|own| (own.rotation, own.qs_user_id()));
    match (told, own) {
        (None, own) => sharing(account).must_tell |= own.is_some(),
        (Some(told), None) => adopt(account, told),
        (Some(told), Some((_, qs_user_id))) if told.qs_user_id != qs_user_id => note_unreadable(account, teller),
        (Some(told), Some((rotation, _))) if told.rotation < rotation => sharing(account).must_tell = true,
        // Whoever had older ones has heard it too.
        (Some(told), Some((rotation, _))) if told.rotation == rotation => sharing(account).must_tell = false,
        (Some(told), Some((rotation, _))) if told.rotation - rotation <= LARGEST_STEP => adopt(account, told),
        _ => note_unreadable(account, teller),
    }
}

fn adopt(account: &mut Account, told: ToldSecrets) {
    let state = account.identity.as_mut().expect("it was followed");
    state.replace_device_label_key(told.device_label_key.clone());
    state.sharing.must_tell = false;
    account.set_shared_secrets(UserSecrets::told(told));
}

fn note_unreadable(account: &mut Account, teller: ClientUuid) {
    let unreadable = &mut sharing(account).unreadable;
    if !unreadable.contains(&teller) {
        unreadable.push(teller);
    }
}

fn sharing(account: &mut Account) -> &mut Sharing {
    &mut account.identity.as_mut().expect("it was followed").sharing
}

pub(super) fn epoch_of(identity: &Identity) -> IdentityEpoch {
    let follower = identity.follower();
    let (generation, epoch) = (follower.generation(), follower.epoch());
    IdentityEpoch { user_name: follower.user_name().clone(), generation, epoch }
}

pub(super) fn key_of(identity: &Identity) -> Result<UserSecretsKey, IdentityError> {
    let key = identity.export_secret(EXPORTER_LABEL, b"", SYMMETRIC_SECRET_LENGTH)?;
    UserSecretsKey::from_secret_bytes(&key).ok_or(IdentityError::Failed)
}

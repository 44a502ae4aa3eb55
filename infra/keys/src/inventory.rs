//! What is published of a deployment's keys, in words.

use vestibule_backend::authentication_service::public_credentials;
use vestibule_backend::queuing_service::public_keys;
use vestibule_protocol::encoding::{Bytes, encode};
use vestibule_protocol::endpoint::GetCredentialsResponse;
use vestibule_protocol::signed::Fingerprint;
use vestibule_protocol::time::{DAY, ExpirationData, Timestamp};

use crate::agreement::disagreements;
use crate::authentication_service::{intermediate_under, root_of};
use crate::queuing_service::validity_of;
use crate::{AuthenticationServiceKeysError, KeyFiles, PublicItem};

/// A line for each credential and key that is published, newest first, with its name and how long it has, and one for each
/// item that is not what the secret beside it has, or cannot be read.
///
/// # Errors
/// [`AuthenticationServiceKeysError`] if a credential does not hold.
pub fn inventory(files: &KeyFiles, now: Timestamp) -> Result<Vec<String>, AuthenticationServiceKeysError> {
    let mut lines = Vec::new();
    if let Some(published) = files.item(PublicItem::Credentials).and_then(public_credentials::read_item) {
        lines.extend(credentials(&published, now)?);
    }
    for keys in files.item(PublicItem::QsKeys).and_then(public_keys::read_item).unwrap_or_default() {
        let validity = validity_of(&keys).map_or_else(|| "unreadable".to_owned(), |validity| words(validity, now));
        lines.push(line("keys of the queuing service", "", &validity));
    }
    for key in files.item(PublicItem::TokenKeys).and_then(public_keys::read_token_keys_item).unwrap_or_default() {
        lines.push(line("token key", &encode(&key.public_key.0), &words(key.validity, now)));
    }
    let is_readable = |kind, item| match kind {
        PublicItem::Credentials => public_credentials::read_item(item).is_some(),
        PublicItem::QsKeys => public_keys::read_item(item).is_some(),
        PublicItem::TokenKeys => public_keys::read_token_keys_item(item).is_some(),
    };
    let unreadable = files.items.iter().filter(|(kind, item)| !is_readable(*kind, item));
    lines.extend(unreadable.map(|(kind, _)| format!("attention: {} cannot be read", kind.what())));
    lines.extend(disagreements(files, now).into_iter().map(|reason| format!("attention: {reason}")));
    Ok(lines)
}

fn credentials(
    published: &GetCredentialsResponse,
    now: Timestamp,
) -> Result<Vec<String>, AuthenticationServiceKeysError> {
    let mut revoked = published.revoked_fingerprints.clone();
    let mut with_revocation = |fingerprint: &[u8; 32], validity| {
        let count = revoked.len();
        revoked.retain(|one| one.0 != fingerprint);
        if revoked.len() < count { format!("{}, revoked", words(validity, now)) } else { words(validity, now) }
    };
    let mut lines = Vec::new();
    for bytes in &published.as_credentials {
        let root = root_of(bytes)?;
        let (fingerprint, validity) = (root.fingerprint(), root.payload().expiration_data);
        lines.push(line("root", &fingerprint.to_string(), &with_revocation(fingerprint.as_bytes(), validity)));
        let signed_by_it = |bytes: &Bytes| intermediate_under(bytes, &root).ok();
        for intermediate in published.as_intermediate_credentials.iter().filter_map(signed_by_it) {
            let (fingerprint, validity) = (intermediate.fingerprint(), intermediate.payload().expiration_data);
            let state = with_revocation(fingerprint.as_bytes(), validity);
            lines.push(line("intermediate", &fingerprint.to_string(), &state));
        }
    }
    lines.extend(revoked.iter().map(|fingerprint| line("a client's credential", &encode(&fingerprint.0), "revoked")));
    Ok(lines)
}

/// What each fingerprint names that is to be revoked.
///
/// # Errors
/// [`AuthenticationServiceKeysError`] if a credential does not hold.
pub fn names(
    fingerprints: &[Fingerprint],
    published: &GetCredentialsResponse,
    now: Timestamp,
) -> Result<Vec<String>, AuthenticationServiceKeysError> {
    let roots = published.as_credentials.iter().map(root_of).collect::<Result<Vec<_>, _>>()?;
    let under_any = |bytes: &Bytes| roots.iter().find_map(|root| intermediate_under(bytes, root).ok());
    let intermediates: Vec<_> = published.as_intermediate_credentials.iter().filter_map(under_any).collect();
    let named = |fingerprint: &Fingerprint| match intermediates
        .iter()
        .find(|intermediate| intermediate.fingerprint() == *fingerprint)
    {
        Some(one) => line("intermediate", &fingerprint.to_string(), &words(one.payload().expiration_data, now)),
        None => line("unknown here", &fingerprint.to_string(), "taken for a client's credential"),
    };
    Ok(fingerprints.iter().map(named).collect())
}

/// The day in UTC, as in `2026-11-22`.
pub(crate) fn date(time: Timestamp) -> String {
    let mut text = time.rfc_3339().to_string();
    text.truncate(text.find('T').unwrap_or(text.len()));
    text
}

fn line(what: &str, name: &str, state: &str) -> String {
    format!("{what:<28} {name:<43}  {state}")
}

fn words(ExpirationData { not_before, not_after }: ExpirationData, now: Timestamp) -> String {
    let days = |from: Timestamp, to: Timestamp| to.saturating_since(from).as_secs() / DAY.as_secs();
    if not_after <= now {
        format!("ended {} days ago", days(not_after, now))
    } else if now < not_before {
        format!("begins in {} days, ends in {}", days(now, not_before), days(now, not_after))
    } else {
        format!("ends in {} days", days(now, not_after))
    }
}

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
/// item that is not what the secret beside it has.
///
/// # Errors
/// [`AuthenticationServiceKeysError`] if a credential does not hold.
pub fn inventory(files: &KeyFiles, now: Timestamp) -> Result<Vec<String>, AuthenticationServiceKeysError> {
    let item = |wanted| files.item(wanted);
    let mut lines = Vec::new();
    if let Some(published) = item(PublicItem::Credentials).and_then(public_credentials::read_item) {
        lines.extend(credentials(&published, now)?);
    }
    for keys in item(PublicItem::QsKeys).and_then(public_keys::read_item).unwrap_or_default() {
        let validity = validity_of(&keys).map_or_else(|| "unreadable".to_owned(), |validity| words(validity, now));
        lines.push(line("keys of the queuing service", "", &validity));
    }
    for key in item(PublicItem::TokenKeys).and_then(public_keys::read_token_keys_item).unwrap_or_default() {
        lines.push(line("token key", &encode(&key.public_key.0), &words(key.validity, now)));
    }
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
    // Days are counted from 1 March of the year 0, so that a leap day is the last of its year.
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let days = time.seconds() / DAY.as_secs() + 719_468;
    let (era, day_of_era) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
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

//! What belongs together: documents that functions can use, and items that publish exactly what is in them. Checked before the
//! first upload too, since a key that was made under a wrong document could not be taken back.

use vestibule_backend::authentication_service::public_credentials;
use vestibule_backend::dynamodb::Item;
use vestibule_backend::queuing_service::public_keys;
use vestibule_backend::secret::{
    AsSigningDocument, OpaqueDocument, QsDocument, SealingAsDocument, SealingKsDocument, SealingQsDocument,
    SealingRsDocument, SecretDocument, read_document,
};
use vestibule_protocol::credential::AsCredential;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::GetCredentialsResponse;
use vestibule_protocol::name::Domain;
use vestibule_protocol::time::{DAY, Timestamp};
use vestibule_tokens::IssuerKeysDocument;

use crate::authentication_service::{intermediate_under, is_revoked, root_of, validity_of};
use crate::queuing_service::{is_in_use, keys_under};
use crate::{KeyFiles, PublicItem, SecretDocumentJson, SuccessionError};

/// The secret and the item that publishes it.
const PAIRS: [(&str, PublicItem); 3] = [
    (AsSigningDocument::PURPOSE, PublicItem::Credentials),
    (QsDocument::PURPOSE, PublicItem::QsKeys),
    (IssuerKeysDocument::PURPOSE, PublicItem::TokenKeys),
];

/// Opens a document as the functions will that read it.
pub(crate) fn check_usable(next: &SecretDocumentJson, domain: &Domain, now: Timestamp) -> Result<(), SuccessionError> {
    let open = match next.purpose {
        AsSigningDocument::PURPOSE => open::<AsSigningDocument>,
        OpaqueDocument::PURPOSE => open::<OpaqueDocument>,
        SealingAsDocument::PURPOSE => open::<SealingAsDocument>,
        SealingKsDocument::PURPOSE => open::<SealingKsDocument>,
        SealingRsDocument::PURPOSE => open::<SealingRsDocument>,
        QsDocument::PURPOSE => open::<QsDocument>,
        SealingQsDocument::PURPOSE => open::<SealingQsDocument>,
        _ => open::<IssuerKeysDocument>,
    };
    let unusable = |reason| SuccessionError::Unusable { what: next.purpose, reason };
    open(&next.json, domain, now).map_err(unusable)
}

fn open<D: SecretDocument>(json: &str, domain: &Domain, now: Timestamp) -> Result<(), String> {
    let opened = read_document::<D>(json)?.open(domain, now);
    opened.map(drop).map_err(str::to_owned)
}

/// Checks that every item which is in `next`, or whose secret is, will publish what its secret has, and nothing more that is
/// new. What is not in `next` stays as in `present`.
pub(crate) fn check_agreement(next: &KeyFiles, present: &KeyFiles, now: Timestamp) -> Result<(), SuccessionError> {
    let credentials = next.item(PublicItem::Credentials).or(present.item(PublicItem::Credentials));
    for (purpose, kind) in PAIRS {
        let (next_secret, next_item) = (next.secret(purpose), next.item(kind));
        if next_secret.is_none() && next_item.is_none() {
            continue;
        }
        let missing = |what: &str| SuccessionError::Alone { there: kind.what(), missing: what.to_owned() };
        let secret = next_secret.or(present.secret(purpose)).ok_or_else(|| missing(purpose))?;
        let item = next_item
            .or(present.item(kind))
            .ok_or_else(|| SuccessionError::Alone { there: purpose, missing: kind.file_name().to_owned() })?;
        let disagreement = disagreement(kind, secret, item, present.item(kind), credentials, now)?;
        if let Some(reason) = disagreement {
            return Err(SuccessionError::Disagreement { what: kind.what(), reason });
        }
    }
    Ok(())
}

/// For each item whose secret is there as well: what of the one is not in the other.
pub(crate) fn disagreements(files: &KeyFiles, now: Timestamp) -> Vec<String> {
    let credentials = files.item(PublicItem::Credentials);
    let of_pair = |(purpose, kind): (&str, PublicItem)| {
        let (secret, item) = (files.secret(purpose)?, files.item(kind)?);
        match disagreement(kind, secret, item, None, credentials, now) {
            Ok(reason) => reason.map(|reason| format!("{}: {reason}", kind.what())),
            Err(error) => Some(error.to_string()),
        }
    };
    PAIRS.into_iter().filter_map(of_pair).collect()
}

/// What the matter is with `item` beside `secret`, if anything. What was in `before` may have lost its private key: it is
/// public for good.
fn disagreement(
    kind: PublicItem,
    secret: &str,
    item: &Item,
    before: Option<&Item>,
    credentials: Option<&Item>,
    now: Timestamp,
) -> Result<Option<&'static str>, SuccessionError> {
    let what = kind.what();
    let unreadable = |reason: String| SuccessionError::Unreadable { what, reason };
    let malformed = || unreadable("it is not such an item".to_owned());
    match kind {
        PublicItem::Credentials => {
            let published = public_credentials::read_item(item).ok_or_else(malformed)?;
            let before = before.and_then(public_credentials::read_item);
            let document = read_document::<AsSigningDocument>(secret).map_err(unreadable)?;
            Ok(of_credentials(&document, &published, before.as_ref(), now))
        }
        PublicItem::QsKeys => {
            let published = public_keys::read_item(item).ok_or_else(malformed)?;
            let before = before.and_then(public_keys::read_item).unwrap_or_default();
            let document = read_document::<QsDocument>(secret).map_err(unreadable)?;
            let roots = credentials.and_then(public_credentials::read_item);
            let roots = roots.map(|published| published.as_credentials).unwrap_or_default();
            let roots: Vec<AsCredential> = roots.iter().filter_map(|bytes| root_of(bytes).ok()).collect();
            Ok(of_qs_keys(&document, &published, &before, &roots, now))
        }
        PublicItem::TokenKeys => {
            let published = public_keys::read_token_keys_item(item).ok_or_else(malformed)?;
            let before = before.and_then(public_keys::read_token_keys_item).unwrap_or_default();
            let own = read_document::<IssuerKeysDocument>(secret).map_err(unreadable)?.published();
            let is_unknown = |key: &_| !own.contains(key) && !before.contains(key);
            Ok(if own.iter().any(|key| now < key.validity.not_after && !published.contains(key)) {
                Some("it lacks a key of the secret tokens: rotate-tokens with what is there now writes one that has it")
            } else if published.iter().any(|key| now < key.validity.not_after && is_unknown(key)) {
                Some("it has a key that is not in the secret tokens")
            } else {
                None
            })
        }
    }
}

fn of_credentials(
    document: &AsSigningDocument,
    published: &GetCredentialsResponse,
    before: Option<&GetCredentialsResponse>,
    now: Timestamp,
) -> Option<&'static str> {
    let Some(root) =
        root_of(&document.as_credential).ok().filter(|_| published.as_credentials.contains(&document.as_credential))
    else {
        return Some("it does not have the root of the secret as-signing");
    };
    for own in &document.intermediates {
        let Ok(credential) = intermediate_under(&own.credential, &root) else {
            return Some("an intermediate in the secret as-signing is not of its root");
        };
        if credential.payload().verifying_key != own.signing_key.verifying_key() {
            return Some("an intermediate's private key in the secret as-signing is not its credential's");
        }
    }
    let has_ended = |bytes: &Bytes| validity_of(bytes).is_some_and(|validity| validity.not_after <= now);
    let signs = |bytes: &Bytes| document.intermediates.iter().any(|own| own.credential == *bytes);
    let is_public = |bytes: &Bytes| published.as_intermediate_credentials.contains(bytes);
    if document.intermediates.iter().any(|own| !has_ended(&own.credential) && !is_public(&own.credential)) {
        return Some(
            "it lacks an intermediate of the secret as-signing: rotate-intermediate with what is there now writes one that has it",
        );
    }
    let was_public = |bytes: &Bytes| before.is_some_and(|before| before.as_intermediate_credentials.contains(bytes));
    for bytes in published.as_intermediate_credentials.iter().filter(|bytes| !was_public(bytes)) {
        let roots = published.as_credentials.iter().filter_map(|root| root_of(root).ok());
        if !roots.into_iter().any(|root| intermediate_under(bytes, &root).is_ok()) {
            return Some("it has an intermediate of another root");
        }
        if !has_ended(bytes) && !signs(bytes) && !is_revoked(bytes, &root, &published.revoked_fingerprints) {
            return Some("it has an intermediate that is not in the secret as-signing and not revoked");
        }
    }
    let is_good = |bytes: &&Bytes| {
        let is_valid = validity_of(bytes).is_some_and(|validity| validity.contains(now));
        is_valid && signs(bytes) && !is_revoked(bytes, &root, &published.revoked_fingerprints)
    };
    let is_any_good = published.as_intermediate_credentials.iter().any(|bytes| is_good(&bytes));
    (!is_any_good).then_some("no intermediate in it is valid now, not revoked and in the secret as-signing")
}

fn of_qs_keys(
    document: &QsDocument,
    published: &[Bytes],
    before: &[Bytes],
    roots: &[AsCredential],
    now: Timestamp,
) -> Option<&'static str> {
    let (verifying_key, queue_config_key) =
        (document.signing_key.verifying_key(), document.queue_config_key.public_key());
    let mut is_any_valid = false;
    for bytes in published.iter().filter(|bytes| is_in_use(bytes, now)) {
        let Some(keys) = roots.iter().find_map(|root| keys_under(bytes, root)) else {
            if before.contains(bytes) {
                continue;
            }
            return Some("it has keys that are not certified by the published root");
        };
        let payload = keys.payload();
        if payload.verifying_key == verifying_key && payload.queue_config_key == queue_config_key {
            is_any_valid |= payload.expiration_data.contains(now);
        } else if !before.contains(bytes) {
            return Some("it has keys that are not those of the secret qs");
        }
    }
    (!is_any_valid).then_some("it has no keys of the secret qs that are valid now")
}

/// Whether an intermediate that is valid now has at least another day.
pub(crate) fn has_another_day(bytes: &Bytes, now: Timestamp) -> bool {
    validity_of(bytes).is_some_and(|validity| validity.contains(now) && now.saturating_add(DAY) <= validity.not_after)
}

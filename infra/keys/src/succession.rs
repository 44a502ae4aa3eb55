//! What may take the place of what: no upload takes away what somebody still needs, whatever directory was taken by mistake.

use vestibule_backend::authentication_service::public_credentials;
use vestibule_backend::dynamodb::Item;
use vestibule_backend::queuing_service::public_keys;
use vestibule_backend::secret::{AsSigningDocument, SecretDocument, read_document};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::time::Timestamp;
use vestibule_protocol::token_key::PublishedTokenKey;
use vestibule_tokens::IssuerKeysDocument;

use crate::authentication_service::{is_revoked, root_of, validity_of};
use crate::queuing_service::is_in_use;
use crate::{PublicItem, SecretDocumentJson};

/// Why something must not take the place of what is there.
#[derive(Debug, thiserror::Error)]
pub enum SuccessionError {
    /// What was given is not what it should be.
    #[error("{what} cannot be read: {reason}")]
    Unreadable {
        /// The file's name without its ending.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// The functions that read it would stop.
    #[error("{what} is of no use: {reason}")]
    Unusable {
        /// The file's name without its ending.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// A secret and the item that publishes it would not be of each other.
    #[error("{what} does not belong to its secret: {reason}")]
    Disagreement {
        /// The item's file's name without its ending.
        what: &'static str,
        /// How.
        reason: &'static str,
    },
    /// An item without its secret, or the other way round.
    #[error("{there} alone is of no use: {missing} is neither here nor in the deployment")]
    Alone {
        /// The file's name without its ending.
        there: &'static str,
        /// What else is wanted.
        missing: String,
    },
    /// What is there is needed for as long as the deployment lives.
    #[error("the deployment has another {0} already, and what was made under it would be lost")]
    Final(&'static str),
    /// Something that is in use would be gone.
    #[error("{what} would lose {lost}: begin with what is there now (download)")]
    Lost {
        /// The file's name without its ending.
        what: &'static str,
        /// What is in use.
        lost: &'static str,
    },
}

/// Checks that a secret document may be replaced. `credentials` is the item that will be published: what it revokes, may go.
pub(crate) fn check_secret(
    present: &str,
    next: &SecretDocumentJson,
    credentials: Option<&Item>,
    now: Timestamp,
) -> Result<(), SuccessionError> {
    let what = next.purpose;
    let unreadable = |reason| SuccessionError::Unreadable { what, reason };
    let lost = |lost| Err(SuccessionError::Lost { what, lost });
    match what {
        AsSigningDocument::PURPOSE => {
            let present = read_document::<AsSigningDocument>(present).map_err(unreadable)?;
            let next = read_document::<AsSigningDocument>(&next.json).map_err(unreadable)?;
            if next.as_credential != present.as_credential {
                return Err(SuccessionError::Final("root"));
            }
            let is_kept = |bytes: &Bytes| next.intermediates.iter().any(|kept| kept.credential == *bytes);
            let is_over = |bytes: &Bytes| validity_of(bytes).is_some_and(|validity| validity.not_after <= now);
            let revoked =
                credentials.and_then(public_credentials::read_item).map(|published| published.revoked_fingerprints);
            let (revoked, root) = (revoked.unwrap_or_default(), root_of(&present.as_credential).ok());
            let is_revoked = |bytes: &Bytes| root.as_ref().is_some_and(|root| is_revoked(bytes, root, &revoked));
            let mut present_ones = present.intermediates.iter().map(|intermediate| &intermediate.credential);
            match present_ones.all(|bytes| is_kept(bytes) || is_over(bytes) || is_revoked(bytes)) {
                true => Ok(()),
                false => lost("an intermediate that signs and is not revoked"),
            }
        }
        IssuerKeysDocument::PURPOSE => {
            let present = read_document::<IssuerKeysDocument>(present).map_err(unreadable)?;
            let next = read_document::<IssuerKeysDocument>(&next.json).map_err(unreadable)?;
            let mut in_use = present.keys.iter().filter(|key| now < key.validity.not_after);
            match in_use.all(|key| next.keys.iter().any(|kept| kept.key_id == key.key_id)) {
                true => Ok(()),
                false => lost("a key whose tokens are good"),
            }
        }
        _ => Err(SuccessionError::Final(what)),
    }
}

/// Checks that a public item may be replaced. `secret` is the document it belongs to: a key of which that knows nothing, after
/// two operators crossed each other, may go.
pub(crate) fn check_item(
    kind: PublicItem,
    present: &Item,
    next: &Item,
    secret: Option<&str>,
    now: Timestamp,
) -> Result<(), SuccessionError> {
    let what = kind.what();
    let unreadable = |whose: &str| SuccessionError::Unreadable { what, reason: format!("{whose} is not such an item") };
    let (theirs, ours) = (|| unreadable("the one in the table"), || unreadable("the new one"));
    let lost = match kind {
        PublicItem::Credentials => {
            let present = public_credentials::read_item(present).ok_or_else(theirs)?;
            let next = public_credentials::read_item(next).ok_or_else(ours)?;
            let keeps = |present: &[Bytes], next: &[Bytes]| present.iter().all(|one| next.contains(one));
            if !keeps(&present.as_credentials, &next.as_credentials) {
                Some("a root")
            } else if !keeps(&present.as_intermediate_credentials, &next.as_intermediate_credentials) {
                Some("an intermediate")
            } else if !keeps(&present.revoked_fingerprints, &next.revoked_fingerprints) {
                Some("a revocation")
            } else {
                None
            }
        }
        PublicItem::QsKeys => {
            let present = public_keys::read_item(present).ok_or_else(theirs)?;
            let next = public_keys::read_item(next).ok_or_else(ours)?;
            let mut in_use = present.iter().filter(|keys| is_in_use(keys, now));
            (!in_use.all(|keys| next.contains(keys))).then_some("keys that are in use")
        }
        PublicItem::TokenKeys => {
            let present = public_keys::read_token_keys_item(present).ok_or_else(theirs)?;
            let next = public_keys::read_token_keys_item(next).ok_or_else(ours)?;
            let own = secret.and_then(|json| read_document::<IssuerKeysDocument>(json).ok());
            let own = own.map(|document| document.published());
            let is_usable = |key: &PublishedTokenKey| own.as_ref().is_none_or(|own| own.contains(key));
            let mut in_use = present.iter().filter(|key| now < key.validity.not_after && is_usable(key));
            (!in_use.all(|key| next.contains(key))).then_some("a key whose tokens are good")
        }
    };
    lost.map_or(Ok(()), |lost| Err(SuccessionError::Lost { what, lost }))
}

//! Listening: a client that waits for messages is told over a WebSocket that there is something, and no more
//! (docs/protocol.md, section 26).
//!
//! A handshake has no body and no room for the fields of a request signature: a browser, say, sets no header but
//! `Sec-WebSocket-Protocol`. So what the client signs travels there, as a structure of its own.

use serde::{Deserialize, Serialize};
use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use super::QsClientId;
use crate::credential::ProtocolVersion;
use crate::encoding;
use crate::keys::{QsClientRecordKey, SigningKey};
use crate::limits::{CLOCK_TOLERANCE, MAX_SIGNED_STRUCTURE_LENGTH};
use crate::name::Domain;
use crate::signed::{SignedPayload, Unverified, Verified};
use crate::time::Timestamp;

/// The WebSocket subprotocol (RFC 6455, section 1.9) that clients ask for and the queuing service agrees to.
pub const LISTEN_SUBPROTOCOL: &str = "vestibule.listen.1";

/// How the second subprotocol begins, which is not one: it brings the request.
const REQUEST_SUBPROTOCOL_PREFIX: &str = "vestibule.listen-request.";

/// Payload of a [`ListenRequest`].
#[derive(Clone, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ListenRequestPayload {
    /// The protocol's version.
    pub version: ProtocolVersion,
    /// The deployment.
    pub domain: Domain,
    /// Who wants to listen, to its own queue.
    pub qs_client_id: QsClientId,
    /// When the client signed it: it is good for [`CLOCK_TOLERANCE`] before and after.
    pub created: Timestamp,
}

impl SignedPayload for ListenRequestPayload {
    const TYPE_NAME: &'static str = "ListenRequest";
    type Signer = QsClientRecordKey;
}

impl ListenRequestPayload {
    /// Checks that it is for this deployment and of this moment.
    ///
    /// # Errors
    /// [`ListenRequestError`].
    pub fn check(&self, domain: &Domain, now: Timestamp) -> Result<(), ListenRequestError> {
        if self.domain != *domain {
            return Err(ListenRequestError::ForeignDomain);
        }
        if self.created.seconds().abs_diff(now.seconds()) > CLOCK_TOLERANCE.as_secs() {
            return Err(ListenRequestError::Stale);
        }
        Ok(())
    }
}

/// Why a well-formed request to listen is refused, whoever signed it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ListenRequestError {
    /// It is for another deployment.
    #[error("the request to listen is for another deployment")]
    ForeignDomain,
    /// It is too old, or of the future.
    #[error("the request to listen was not signed within 5 minutes of the server's time")]
    Stale,
}

/// What lets a client listen, signed with the key of its record. Whoever sees it can listen in its place for some minutes:
/// it is no secret, but nothing for a log either.
pub type ListenRequest = Verified<ListenRequestPayload>;

impl ListenRequest {
    /// Asks to listen.
    pub fn issue(
        domain: Domain,
        qs_client_id: QsClientId,
        created: Timestamp,
        key: &SigningKey<QsClientRecordKey>,
    ) -> Self {
        let version = ProtocolVersion::Vestibule1;
        Self::sign(ListenRequestPayload { version, domain, qs_client_id, created }, key)
    }

    /// The `Sec-WebSocket-Protocol` header with which a client connects: [`LISTEN_SUBPROTOCOL`], to which the service
    /// agrees, and the request. Not in the URL, because URLs end up in logs.
    pub fn to_subprotocols(&self) -> String {
        format!("{LISTEN_SUBPROTOCOL}, {REQUEST_SUBPROTOCOL_PREFIX}{}", encoding::encode(&self.to_bytes().0))
    }

    /// The request in a `Sec-WebSocket-Protocol` header, its signature not checked yet; `None` if the header does not ask
    /// for [`LISTEN_SUBPROTOCOL`] and bring exactly one well-formed request.
    pub fn from_subprotocols(header: &str) -> Option<Unverified<ListenRequestPayload>> {
        let subprotocols = header.split(',').map(str::trim);
        let asks_to_listen = subprotocols.clone().any(|subprotocol| subprotocol == LISTEN_SUBPROTOCOL);
        let mut requests = subprotocols.filter_map(|text| text.strip_prefix(REQUEST_SUBPROTOCOL_PREFIX));
        let request = requests.next()?;
        if !asks_to_listen || requests.next().is_some() || request.len() > 2 * MAX_SIGNED_STRUCTURE_LENGTH {
            return None;
        }
        Unverified::from_bytes(&encoding::decode(request)?).ok()
    }
}

/// What the queuing service says to a client that listens: JSON in a WebSocket text frame. A client ignores fields and
/// types that it does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ListenNotice {
    /// There is something in the client's queue that was not there before. How much, and from whom, it does not say.
    Messages {},
    /// A notice of a later version of the service, or what is none.
    #[serde(other)]
    Unknown,
}

impl ListenNotice {
    /// The notice's JSON.
    pub fn to_json(self) -> String {
        serde_json::to_string(&self).expect("a notice has nothing that JSON has not")
    }

    /// Reads a notice.
    pub fn from_json(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or(Self::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::queue_config::QueueConfig;
    use crate::signed::SignedError;
    use crate::symmetric::PushTokenKey;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn domain() -> Domain {
        "example.org".parse().unwrap()
    }

    fn signed(seed: u64) -> (SigningKey<QsClientRecordKey>, ListenRequest) {
        let key = SigningKey::generate(&mut StdRng::seed_from_u64(seed));
        let request = ListenRequest::issue(domain(), QsClientId::of(&key.verifying_key()), NOW, &key);
        (key, request)
    }

    #[test]
    fn a_request_travels_beside_the_subprotocol() {
        let (key, request) = signed(1);
        let header = request.to_subprotocols();
        assert!(header.starts_with("vestibule.listen.1, vestibule.listen-request."));
        let read = ListenRequest::from_subprotocols(&header).unwrap();
        assert_eq!(read.claim(), request.payload());
        assert_eq!(read.verify(&key.verifying_key()).unwrap().payload(), request.payload());
        let text = header.rsplit('.').next().unwrap();
        for refused in [
            String::new(),
            "vestibule.listen.1".to_owned(),
            format!("vestibule.listen-request.{text}"),
            format!("vestibule.relay.1, vestibule.listen-request.{text}"),
            format!("vestibule.listen.1, vestibule.ticket.{text}"),
            format!("vestibule.listen.1, vestibule.listen-request.{}", &text[4..]),
            format!("vestibule.listen.1, vestibule.listen-request.{}", &text[..text.len() - 4]),
            format!("vestibule.listen.1, vestibule.listen-request.{text}AAAA"),
            format!("{header}, vestibule.listen-request.{text}"),
        ] {
            assert!(ListenRequest::from_subprotocols(&refused).is_none(), "{refused}");
        }
    }

    #[test]
    fn the_longest_request_is_read() {
        let (key, request) = signed(1);
        let longest = [["a"; 63].concat(), ["b"; 63].concat(), ["c"; 63].concat(), ["d"; 61].concat()].join(".");
        let payload = ListenRequestPayload { domain: longest.parse().unwrap(), ..request.payload().clone() };
        let request = ListenRequest::sign(payload, &key);
        assert!(ListenRequest::from_subprotocols(&request.to_subprotocols()).is_some());
    }

    #[test]
    fn it_is_for_one_deployment_and_some_minutes() {
        let (_, request) = signed(1);
        let check = |domain: &Domain, now| request.payload().check(domain, now);
        for now in [NOW, NOW.saturating_add(CLOCK_TOLERANCE), NOW.saturating_sub(CLOCK_TOLERANCE)] {
            assert_eq!(check(&domain(), now), Ok(()));
        }
        let beyond = std::time::Duration::from_secs(CLOCK_TOLERANCE.as_secs() + 1);
        for now in [NOW.saturating_add(beyond), NOW.saturating_sub(beyond), Timestamp::from_seconds(u64::MAX)] {
            assert_eq!(check(&domain(), now), Err(ListenRequestError::Stale));
        }
        assert_eq!(check(&"example.com".parse().unwrap(), NOW), Err(ListenRequestError::ForeignDomain));
    }

    #[test]
    fn nothing_else_that_the_key_signs_and_nobody_elses_request_passes_for_one() {
        let (key, request) = signed(1);
        let (other_key, _) = signed(2);
        let read = |bytes: &[u8]| Unverified::<ListenRequestPayload>::from_bytes(bytes);
        let invalid = Some(SignedError::SignatureInvalid);
        assert_eq!(read(&request.to_bytes().0).unwrap().verify(&other_key.verifying_key()).err(), invalid);
        let push_token_key = PushTokenKey::generate(&mut StdRng::seed_from_u64(3));
        let config = QueueConfig::issue(request.payload().qs_client_id, &push_token_key, &key);
        // Were the bytes of one the bytes of the other, the label would still tell them apart.
        assert!(read(&config.to_bytes().0).map(|request| request.verify(&key.verifying_key())).is_err());
    }

    #[test]
    fn a_notice_says_that_there_is_something_and_a_later_one_is_passed_over() {
        assert_eq!(ListenNotice::Messages {}.to_json(), r#"{"type":"messages"}"#);
        assert_eq!(ListenNotice::from_json(r#"{"type":"messages","more":1}"#), ListenNotice::Messages {});
        for text in ["", "{}", "[]", r#"{"type":"maintenance"}"#, r#"{"message":"Forbidden","connectionId":"a"}"#] {
            assert_eq!(ListenNotice::from_json(text), ListenNotice::Unknown, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_altered_request_is_its_clients(position in 0..256usize, bit in 0..8u8) {
            let (key, request) = signed(1);
            let mut bytes = request.to_bytes().0;
            let position = position % bytes.len();
            bytes[position] ^= 1 << bit;
            let verified = Unverified::<ListenRequestPayload>::from_bytes(&bytes)
                .and_then(|altered| altered.verify(&key.verifying_key()));
            prop_assert!(verified.is_err());
        }
    }
}

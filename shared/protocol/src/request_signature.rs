//! Signed requests: HTTP message signatures (RFC 9421) with Ed25519, over the content's digest (RFC 9530).
//!
//! The server fixes what is covered, and in which order: `@method`, `@path`, `@query`, `content-digest` and, where the
//! request carries one, `authorization`. The signature's parameters are `created`, `nonce`, `keyid` and `tag`, all of
//! them, in any order; the request carries one signature, labelled `sig`.

use rand::{CryptoRng, RngCore};
use sfv::{BareItem, DictSerializer, Dictionary, InnerList, KeyRef, ListEntry, ListSerializer, Parser, StringRef};
use sha2::{Digest, Sha256};

use crate::keys::{KeyPurpose, SigningKey, VerifyingKey};
use crate::limits::{CLOCK_TOLERANCE, MAX_REQUEST_NONCE_LENGTH};
use crate::name::Domain;
use crate::time::Timestamp;

/// The label of the one signature.
const LABEL: &str = "sig";

/// A service of the deployment, as request signatures name it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Service {
    /// The authentication service.
    Authentication,
    /// The key server.
    KeyServer,
    /// The queuing service.
    Queuing,
    /// The rendezvous service.
    Rendezvous,
}

impl Service {
    /// The `tag` of requests to this service of the deployment `domain`: `vestibule:<service>:<domain>`.
    pub fn tag(self, domain: &Domain) -> String {
        format!("vestibule:{}:{domain}", self.short_name())
    }

    /// The service's name in paths, tags and origins.
    pub const fn short_name(self) -> &'static str {
        match self {
            Self::Authentication => "as",
            Self::KeyServer => "ks",
            Self::Queuing => "qs",
            Self::Rendezvous => "rs",
        }
    }
}

/// The parts of a request that its signature covers.
#[derive(Clone, Copy, Debug)]
pub struct CoveredRequest<'a> {
    /// The method, in upper case.
    pub method: &'a str,
    /// The path, beginning with `/`.
    pub path: &'a str,
    /// The query, without its `?`; empty if there is none.
    pub query: &'a str,
    /// The `Authorization` header, if the request carries one.
    pub authorization: Option<&'a str>,
    /// The body's bytes.
    pub body: &'a [u8],
}

/// The header fields that sign a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignatureFields<'a> {
    /// `Content-Digest` (RFC 9530).
    pub content_digest: std::borrow::Cow<'a, str>,
    /// `Signature-Input` (RFC 9421, section 4.1).
    pub signature_input: std::borrow::Cow<'a, str>,
    /// `Signature` (RFC 9421, section 4.2).
    pub signature: std::borrow::Cow<'a, str>,
}

/// Why a request's signature is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RequestSignatureError {
    /// A header field does not parse as the RFC says.
    #[error("Content-Digest, Signature-Input or Signature is not a well-formed structured field with the label 'sig'")]
    Malformed,
    /// Something that must be covered is not, or something else is.
    #[error(
        "the signature must cover @method, @path, @query, content-digest and, if it is sent, authorization, in this order, with the parameters created, nonce, keyid and tag"
    )]
    CoverageInsufficient,
    /// The digest is not the body's.
    #[error("Content-Digest is not the SHA-256 digest of the body")]
    DigestMismatch,
    /// The signature is too old, or from the future.
    #[error("the signature was created more than 5 minutes from the server's time")]
    Stale,
    /// The signature is for another service or deployment.
    #[error("the signature's tag names another service or deployment")]
    TagMismatch,
    /// The signature is not the key's over this request.
    #[error("the signature does not fit the request and the key")]
    Invalid,
}

/// Signs a request with `key`, naming it `key_id`.
pub fn sign<P: KeyPurpose>(
    request: CoveredRequest<'_>,
    key: &SigningKey<P>,
    key_id: &str,
    tag: &str,
    created: Timestamp,
    rng: &mut (impl RngCore + CryptoRng),
) -> SignatureFields<'static> {
    let mut nonce = [0; 16];
    rng.fill_bytes(&mut nonce);
    let content_digest = content_digest(request.body);
    let parameters = signature_parameters(&request, key_id, tag, created, &crate::encoding::encode(&nonce));
    let base = signature_base(&request, &content_digest, &parameters);
    let signature = key.sign(base.as_bytes());
    let mut signature_field = DictSerializer::new();
    let _ = signature_field.bare_item(label(), signature.as_slice());
    SignatureFields {
        content_digest: content_digest.into(),
        signature_input: format!("{LABEL}={parameters}").into(),
        signature: signature_field.finish().expect("one member").into(),
    }
}

/// A request signature whose form, coverage, time, tag and digest are right. Whose it is, [`RequestSignature::verify`]
/// tells.
#[derive(Debug)]
pub struct RequestSignature {
    base: String,
    signature: [u8; 64],
    key_id: String,
}

impl RequestSignature {
    /// Checks everything about a request's signature but the signature itself.
    ///
    /// # Errors
    /// [`RequestSignatureError`], all but `Invalid`.
    pub fn check(
        request: CoveredRequest<'_>,
        fields: &SignatureFields<'_>,
        tag: &str,
        now: Timestamp,
    ) -> Result<Self, RequestSignatureError> {
        let input = parse_only_member(&fields.signature_input)?;
        let ListEntry::InnerList(input) = input else { return Err(RequestSignatureError::Malformed) };
        let ListEntry::Item(signature) = parse_only_member(&fields.signature)? else {
            return Err(RequestSignatureError::Malformed);
        };
        let BareItem::ByteSequence(signature) = signature.bare_item else {
            return Err(RequestSignatureError::Malformed);
        };

        let parameters = Parameters::read(&input)?;
        if !covers(&input, &request) {
            return Err(RequestSignatureError::CoverageInsufficient);
        }
        if parameters.tag != tag {
            return Err(RequestSignatureError::TagMismatch);
        }
        let difference = parameters.created.seconds().abs_diff(now.seconds());
        if difference > CLOCK_TOLERANCE.as_secs() {
            return Err(RequestSignatureError::Stale);
        }
        check_content_digest(&fields.content_digest, request.body)?;

        let serialized_input = serialize_inner_list(&input);
        Ok(Self {
            base: signature_base(&request, &fields.content_digest, &serialized_input),
            signature: signature.try_into().map_err(|_| RequestSignatureError::Malformed)?,
            key_id: parameters.key_id,
        })
    }

    /// The signature base (RFC 9421, section 2.5): the text that is signed.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Which key is said to have signed.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`RequestSignatureError::Invalid`].
    pub fn verify<P>(&self, key: &VerifyingKey<P>) -> Result<(), RequestSignatureError> {
        if key.verifies(self.base.as_bytes(), &self.signature) { Ok(()) } else { Err(RequestSignatureError::Invalid) }
    }
}

struct Parameters {
    created: Timestamp,
    key_id: String,
    tag: String,
}

impl Parameters {
    /// Reads the parameters of a signature: exactly `created`, `nonce`, `keyid` and `tag`.
    fn read(input: &InnerList) -> Result<Self, RequestSignatureError> {
        let string = |name: &str| match input.params.get(name) {
            Some(BareItem::String(text)) => Ok(text.as_str().to_owned()),
            _ => Err(RequestSignatureError::CoverageInsufficient),
        };
        let created = match input.params.get("created") {
            Some(BareItem::Integer(seconds)) => u64::try_from(i64::from(*seconds)).ok(),
            _ => None,
        };
        let nonce = string("nonce")?;
        if input.params.len() != 4 || nonce.is_empty() || nonce.len() > MAX_REQUEST_NONCE_LENGTH {
            return Err(RequestSignatureError::CoverageInsufficient);
        }
        Ok(Self {
            created: Timestamp::from_seconds(created.ok_or(RequestSignatureError::CoverageInsufficient)?),
            key_id: string("keyid")?,
            tag: string("tag")?,
        })
    }
}

/// The components that the signature of `request` covers, with their values.
fn components<'a>(request: &CoveredRequest<'a>, content_digest: &'a str) -> Vec<(&'static str, String)> {
    let mut components = vec![
        ("@method", request.method.to_owned()),
        ("@path", request.path.to_owned()),
        ("@query", format!("?{}", request.query)),
        ("content-digest", content_digest.to_owned()),
    ];
    if let Some(authorization) = request.authorization {
        components.push(("authorization", authorization.to_owned()));
    }
    components
}

fn covers(input: &InnerList, request: &CoveredRequest<'_>) -> bool {
    let wanted = components(request, "");
    let is_component = |item: &sfv::Item, name: &str| {
        item.params.is_empty() && matches!(&item.bare_item, BareItem::String(text) if text.as_str() == name)
    };
    input.items.len() == wanted.len()
        && input.items.iter().zip(&wanted).all(|(item, (name, _))| is_component(item, name))
}

/// The signature base (RFC 9421, section 2.5).
fn signature_base(request: &CoveredRequest<'_>, content_digest: &str, parameters: &str) -> String {
    let mut base = String::new();
    for (name, value) in components(request, content_digest) {
        base.push_str(&format!("\"{name}\": {value}\n"));
    }
    base.push_str(&format!("\"@signature-params\": {parameters}"));
    base
}

fn signature_parameters(
    request: &CoveredRequest<'_>,
    key_id: &str,
    tag: &str,
    created: Timestamp,
    nonce: &str,
) -> String {
    let mut list = ListSerializer::new();
    let mut covered = list.inner_list();
    for (name, _) in components(request, "") {
        let _ = covered.bare_item(string_ref(name));
    }
    let created = i64::try_from(created.seconds()).expect("the year 292277026596 has not come");
    let _ = covered
        .finish()
        .parameter(key_ref("created"), sfv::Integer::try_from(created).expect("a time before the year 31690"))
        .parameter(key_ref("nonce"), string_ref(nonce))
        .parameter(key_ref("keyid"), string_ref(key_id))
        .parameter(key_ref("tag"), string_ref(tag));
    list.finish().expect("one member")
}

/// The strict serialization of what was received (RFC 9421, section 2.3: parameters keep their order).
fn serialize_inner_list(list: &InnerList) -> String {
    let mut serializer = ListSerializer::new();
    serializer.members([&ListEntry::InnerList(list.clone())]);
    serializer.finish().expect("one member")
}

/// Parses a dictionary whose one member is labelled `sig`.
fn parse_only_member(field: &str) -> Result<ListEntry, RequestSignatureError> {
    let mut dictionary: Dictionary = Parser::new(field).parse().map_err(|_| RequestSignatureError::Malformed)?;
    if dictionary.len() != 1 {
        return Err(RequestSignatureError::Malformed);
    }
    dictionary.swap_remove(LABEL).ok_or(RequestSignatureError::Malformed)
}

/// The `Content-Digest` of a body: its SHA-256 digest alone.
fn content_digest(body: &[u8]) -> String {
    let mut digest = DictSerializer::new();
    let _ = digest.bare_item(key_ref("sha-256"), Sha256::digest(body).as_slice());
    digest.finish().expect("one member")
}

/// A digest by another algorithm may stand beside SHA-256's, as RFC 9530 allows; SHA-256's must be there.
fn check_content_digest(field: &str, body: &[u8]) -> Result<(), RequestSignatureError> {
    let dictionary: Dictionary = Parser::new(field).parse().map_err(|_| RequestSignatureError::Malformed)?;
    let digest = dictionary.get("sha-256").ok_or(RequestSignatureError::Malformed)?;
    let ListEntry::Item(sfv::Item { bare_item: BareItem::ByteSequence(digest), .. }) = digest else {
        return Err(RequestSignatureError::Malformed);
    };
    if digest.as_slice() == Sha256::digest(body).as_slice() {
        Ok(())
    } else {
        Err(RequestSignatureError::DigestMismatch)
    }
}

fn string_ref(text: &str) -> &StringRef {
    StringRef::from_str(text).expect("names, tags and nonces are ASCII")
}

fn label() -> &'static KeyRef {
    key_ref(LABEL)
}

fn key_ref(name: &'static str) -> &'static KeyRef {
    KeyRef::from_str(name).expect("a constant key")
}

#[cfg(test)]
mod tests;

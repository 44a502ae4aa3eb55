//! HTTP API events (API Gateway payload format 2.0) as typed requests and responses.

use std::net::IpAddr;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use http::HeaderMap;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use vestibule_protocol::encoding::NOT_BASE64URL;
use vestibule_protocol::endpoint::{Description, Endpoint, Path as _};
use vestibule_protocol::problem::{PROBLEM_MEDIA_TYPE, Problem, ProblemType};
use vestibule_protocol::request_signature::{CoveredRequest, RequestSignature, RequestSignatureError, SignatureFields};
use vestibule_protocol::time::Timestamp;
use vestibule_tokens::http::www_authenticate;

/// A request that decodes: typed, and with what its signature covers still at hand.
pub struct EndpointRequest<E: Endpoint> {
    /// What the path names.
    pub path: E::Path,
    /// What the body says.
    pub body: E::Request,
    /// The SHA-256 hash of the body's bytes: how a repetition is known.
    pub body_hash: [u8; 32],
    /// Where it comes from.
    pub source: SourceAddress,
    raw: RawRequest,
}

struct RawRequest {
    method: String,
    path: String,
    query: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl<E: Endpoint> EndpointRequest<E> {
    /// Decodes an event.
    pub(crate) fn decode(event: ApiGatewayV2httpRequest) -> Result<Self, Problem> {
        let body = event_body(event.body, event.is_base64_encoded)?;
        let raw = RawRequest {
            method: event.request_context.http.method.to_string(),
            path: event.raw_path.unwrap_or_default(),
            query: event.raw_query_string.unwrap_or_default(),
            headers: event.headers,
            body,
        };
        let request = decode_body::<E>(&raw)?;
        let (of_path, of_query) = (&event.path_parameters, &event.query_string_parameters);
        // A parameter that is given twice is as good as none.
        let only = |name: &str| of_query.all(name).filter(|values| values.len() == 1).map(|values| values[0]);
        let path = E::Path::read(|name| of_path.get(name).map(String::as_str).or_else(|| only(name)))?;
        let source = SourceAddress::new(event.request_context.http.source_ip.as_deref());
        Ok(Self { path, body: request, body_hash: Sha256::digest(&raw.body).into(), source, raw })
    }

    /// The `Authorization` header, if there is one.
    pub(crate) fn authorization(&self) -> Option<&HeaderValue> {
        self.raw.headers.get(AUTHORIZATION)
    }

    /// All that says what is asked for: method, path, query and body.
    pub(crate) fn identifying_parts(&self) -> [&[u8]; 4] {
        let RawRequest { method, path, query, body, .. } = &self.raw;
        [method.as_bytes(), path.as_bytes(), query.as_bytes(), body]
    }

    /// Whether the request is signed, well or badly.
    pub fn is_signed(&self) -> bool {
        self.raw.headers.contains_key("signature-input") || self.raw.headers.contains_key("signature")
    }

    /// The request's signature, checked but for whose it is.
    ///
    /// # Errors
    /// The [`Problem`] to answer with.
    pub fn signature(&self, tag: &str, now: Timestamp) -> Result<RequestSignature, Problem> {
        let field = |name: &str| self.raw.headers.get(name).and_then(|value| value.to_str().ok());
        let (Some(content_digest), Some(signature_input), Some(signature)) =
            (field("content-digest"), field("signature-input"), field("signature"))
        else {
            let detail = "Content-Digest, Signature-Input and Signature (RFC 9421) are wanted";
            return Err(Problem::new(ProblemType::SignatureMissing, detail));
        };
        let covered = CoveredRequest {
            method: &self.raw.method,
            path: &self.raw.path,
            query: &self.raw.query,
            authorization: field("authorization"),
            body: &self.raw.body,
        };
        let fields = SignatureFields {
            content_digest: content_digest.into(),
            signature_input: signature_input.into(),
            signature: signature.into(),
        };
        RequestSignature::check(covered, &fields, tag, now).map_err(signature_problem)
    }
}

/// The problem that answers a request whose signature is not accepted.
pub fn signature_problem(error: RequestSignatureError) -> Problem {
    let problem_type = match error {
        RequestSignatureError::Malformed => ProblemType::SignatureMalformed,
        RequestSignatureError::CoverageInsufficient => ProblemType::SignatureCoverageInsufficient,
        RequestSignatureError::DigestMismatch => ProblemType::ContentDigestMismatch,
        RequestSignatureError::Stale => ProblemType::SignatureStale,
        RequestSignatureError::TagMismatch => ProblemType::SignatureForAnotherService,
        RequestSignatureError::Invalid => ProblemType::SignatureInvalid,
    };
    Problem::new(problem_type, error)
}

/// Where a request comes from, for rate limits alone: never stored or logged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SourceAddress(Option<IpAddr>);

impl SourceAddress {
    /// The source that API Gateway names; one that it does not name is a source of its own.
    pub(crate) fn new(source_ip: Option<&str>) -> Self {
        Self(source_ip.and_then(|address| address.parse().ok()))
    }

    /// What one household or server can be expected to have for itself: an IPv4 address, an IPv6 /56.
    pub fn prefix(&self) -> Vec<u8> {
        match self.0 {
            Some(IpAddr::V4(address)) => address.octets().to_vec(),
            Some(IpAddr::V6(address)) => match address.to_ipv4_mapped() {
                Some(address) => address.octets().to_vec(),
                None => address.octets()[..7].to_vec(),
            },
            None => Vec::new(),
        }
    }
}

fn event_body(body: Option<String>, is_base64_encoded: bool) -> Result<Vec<u8>, Problem> {
    let body = body.unwrap_or_default();
    if !is_base64_encoded {
        return Ok(body.into_bytes());
    }
    match Body::from_maybe_encoded(true, &body) {
        Body::Binary(bytes) => Ok(bytes),
        Body::Text(text) => Ok(text.into_bytes()),
        _ => Ok(Vec::new()),
    }
}

fn decode_body<E: Endpoint>(raw: &RawRequest) -> Result<E::Request, Problem> {
    let max_length = E::DESCRIPTION.max_request_length;
    if max_length == 0 {
        // Whatever came with it is not looked at.
        return serde_json::from_str("{}").map_err(|error| Problem::new(ProblemType::InternalError, error));
    }
    let is_json = raw
        .headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case("application/json"));
    if !is_json {
        let detail = "send the body with Content-Type: application/json";
        return Err(Problem::new(ProblemType::UnsupportedMediaType, detail));
    }
    if raw.body.len() > max_length {
        let detail = format!("the body may have {max_length} bytes and has {}", raw.body.len());
        return Err(Problem::new(ProblemType::BodyTooLarge, detail));
    }
    serde_json::from_slice(&raw.body).map_err(|error| json_problem(&raw.body, error))
}

/// The problem that answers a body which does not decode. serde_json's messages name fields and positions; of the
/// values themselves they repeat at most what is short and of the wrong type.
fn json_problem(body: &[u8], error: serde_json::Error) -> Problem {
    let detail = error.to_string();
    // The first wrong field may come before the first wrong character.
    let text = std::str::from_utf8(body);
    let is_json = text.is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
    let problem_type = if !is_json {
        ProblemType::MalformedJson
    } else if detail.starts_with(NOT_BASE64URL) {
        ProblemType::MalformedBase64
    } else {
        ProblemType::InvalidField
    };
    Problem::new(problem_type, detail)
}

/// The answer when all is well.
pub(crate) fn success_response<T: Serialize>(description: &Description, body: &T) -> ApiGatewayV2httpResponse {
    let mut headers = HeaderMap::new();
    let caching = match description.max_age {
        0 => HeaderValue::from_static("no-store"),
        seconds => {
            HeaderValue::try_from(format!("public, max-age={seconds}")).expect("digits are a valid header value")
        }
    };
    headers.insert(CACHE_CONTROL, caching);
    response(description.status, "application/json", headers, body)
}

/// The answer when something is wrong.
pub(crate) fn problem_response(problem: &Problem) -> ApiGatewayV2httpResponse {
    let status = problem.problem_type.status();
    let mut headers = HeaderMap::new();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = problem.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == 401 {
        let challenge = match &problem.token_challenge {
            Some(members) => {
                HeaderValue::try_from(www_authenticate(members)).expect("base64url is a valid header value")
            }
            None => HeaderValue::from_static("Signature"),
        };
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    response(status, PROBLEM_MEDIA_TYPE, headers, &problem.document())
}

fn response<T: Serialize>(
    status: u16,
    media_type: &'static str,
    mut headers: HeaderMap,
    body: &T,
) -> ApiGatewayV2httpResponse {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = i64::from(status);
    response.headers = headers;
    response.body = Some(Body::Text(serde_json::to_string(body).expect("our own types are JSON")));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_an_ipv4_address_or_an_ipv6_56() {
        let prefix = |address: &str| SourceAddress(address.parse().ok()).prefix();
        assert_ne!(prefix("192.0.2.1"), prefix("192.0.2.2"));
        assert_eq!(prefix("192.0.2.1"), prefix("::ffff:192.0.2.1"));
        assert_eq!(prefix("2001:db8:1:ab00::1"), prefix("2001:db8:1:abff:ffff::2"));
        assert_ne!(prefix("2001:db8:1:ab00::1"), prefix("2001:db8:1:ac00::1"));
        assert_eq!(prefix("nonsense"), Vec::<u8>::new());
    }
}

//! What the HTTP API and the WebSocket APIs have in common.

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use vestibule_protocol::time::Timestamp;

/// An id of a request, message or connection as API Gateway makes them: 11 random bytes in URL-safe Base64, such
/// as `JC1dgf9yoAMCK-g=`.
pub(crate) fn random_id() -> String {
    BASE64_URL_SAFE.encode(rand::random::<[u8; 11]>())
}

/// The Common Log Format's time, such as `12/Mar/2020:19:03:58 +0000`.
pub(crate) fn clf_time(now: Timestamp) -> String {
    let seconds = i64::try_from(now.seconds()).unwrap_or(i64::MAX);
    // "Thu, 12 Mar 2020 19:03:58 GMT" has the same parts.
    let http_date = DateTime::from_secs(seconds).fmt(Format::HttpDate).unwrap_or_default();
    let parts: Vec<&str> = http_date.split(' ').collect();
    match parts.as_slice() {
        [_, day, month, year, time, _] => format!("{day}/{month}/{year}:{time} +0000"),
        _ => String::new(),
    }
}

/// The first value of a header, empty if there is none.
pub(crate) fn header_text(headers: &HeaderMap, name: HeaderName) -> String {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).unwrap_or_default()
}

/// The parameters of a query in their order, decoded.
pub(crate) fn query_parameters(raw_query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let parameters = raw_query.split('&').filter(|parameter| !parameter.is_empty());
    let pairs = parameters.map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")));
    pairs.map(|(name, value)| (decode(name), decode(value))).collect()
}

/// What API Gateway's quota for headers counts: the request line and the values.
pub(crate) fn request_line_and_header_bytes(parts: &Parts) -> usize {
    let request_line = format!("{} {} {:?}", parts.method, parts.uri, parts.version);
    request_line.len() + parts.headers.values().map(HeaderValue::len).sum::<usize>()
}

//! Payload format 2.0: a request as a function sees it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use vestibule_protocol::time::Timestamp;

use crate::api_gateway::{clf_time, header_text, query_parameters};
use crate::arn::ACCOUNT_ID;
use crate::route::Route;

/// The id of the one HTTP API.
const API_ID: &str = "local";

/// A request that has found its route.
pub(super) struct RoutedRequest<'a> {
    pub(super) parts: &'a Parts,
    pub(super) body: &'a Bytes,
    pub(super) route: &'a Route,
    pub(super) path_parameters: &'a BTreeMap<String, String>,
    pub(super) peer: SocketAddr,
    pub(super) port: u16,
    pub(super) request_id: &'a str,
    pub(super) now: Timestamp,
}

impl RoutedRequest<'_> {
    /// The event. Members without a value are left out, as API Gateway leaves them out.
    pub(super) fn event(&self) -> Value {
        let raw_query = self.parts.uri.query().unwrap_or_default();
        let mut event = Map::new();
        event.insert("version".to_owned(), json!("2.0"));
        event.insert("routeKey".to_owned(), json!(self.route.key()));
        event.insert("rawPath".to_owned(), json!(self.path()));
        event.insert("rawQueryString".to_owned(), json!(raw_query));
        event.insert("headers".to_owned(), json!(self.headers()));
        event.insert("requestContext".to_owned(), self.request_context());
        let cookies = self.cookies();
        if !cookies.is_empty() {
            event.insert("cookies".to_owned(), json!(cookies));
        }
        let query = joined_query_parameters(raw_query);
        if !query.is_empty() {
            event.insert("queryStringParameters".to_owned(), json!(query));
        }
        if !self.path_parameters.is_empty() {
            event.insert("pathParameters".to_owned(), json!(self.path_parameters));
        }
        let text = text_body(&self.parts.headers, self.body);
        event.insert("isBase64Encoded".to_owned(), json!(text.is_none() && !self.body.is_empty()));
        if !self.body.is_empty() {
            let encoded = || BASE64_STANDARD.encode(self.body);
            event.insert("body".to_owned(), json!(text.map_or_else(encoded, str::to_owned)));
        }
        Value::Object(event)
    }

    fn request_context(&self) -> Value {
        let domain_name = header_text(&self.parts.headers, header::HOST);
        let domain_name = domain_name.rsplit_once(':').map_or(domain_name.as_str(), |(name, _)| name);
        json!({
            "accountId": ACCOUNT_ID,
            "apiId": API_ID,
            "domainName": domain_name,
            "domainPrefix": domain_name.split('.').next(),
            "http": {
                "method": self.parts.method.as_str(),
                "path": self.path(),
                "protocol": format!("{:?}", self.parts.version),
                "sourceIp": self.peer.ip().to_string(),
                "userAgent": header_text(&self.parts.headers, header::USER_AGENT),
            },
            "requestId": self.request_id,
            "routeKey": self.route.key(),
            "stage": "$default",
            "time": clf_time(self.now),
            "timeEpoch": self.now.seconds() * 1000,
        })
    }

    fn path(&self) -> String {
        percent_decode_str(self.parts.uri.path()).decode_utf8_lossy().into_owned()
    }

    /// The headers under lower-case names, those of one name joined by commas; cookies have a member of their own.
    fn headers(&self) -> BTreeMap<&str, String> {
        let mut headers: BTreeMap<&str, String> = BTreeMap::new();
        for (name, value) in &self.parts.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            match headers.get_mut(name.as_str()) {
                Some(values) => {
                    values.push(',');
                    values.push_str(&value);
                }
                None => {
                    headers.insert(name.as_str(), value.into_owned());
                }
            }
        }
        headers.remove(header::COOKIE.as_str());
        let client = self.peer.ip().to_string();
        let forwarded_for = headers.get("x-forwarded-for").map(|earlier| format!("{earlier}, {client}"));
        headers.insert("x-forwarded-for", forwarded_for.unwrap_or(client));
        headers.insert("x-forwarded-port", self.port.to_string());
        headers.insert("x-forwarded-proto", "http".to_owned());
        headers
    }

    fn cookies(&self) -> Vec<String> {
        let headers = self.parts.headers.get_all(header::COOKIE).iter();
        let headers: Vec<_> = headers.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let cookies = headers.iter().flat_map(|cookies| cookies.split(';'));
        cookies.map(|cookie| cookie.trim().to_owned()).filter(|cookie| !cookie.is_empty()).collect()
    }
}

/// The parameters of a query, those of one name joined by commas.
fn joined_query_parameters(raw_query: &str) -> BTreeMap<String, String> {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in query_parameters(raw_query) {
        let values = parameters.entry(name);
        values.and_modify(|values| *values = format!("{values},{value}")).or_insert(value);
    }
    parameters
}

/// The body if it goes into the event as it is. API Gateway takes very few types for text: `+json` types, forms and
/// bodies without a type are none, and a body that only claims to be text is none either.
fn text_body<'a>(headers: &HeaderMap, body: &'a Bytes) -> Option<&'a str> {
    let content_type = header_text(headers, header::CONTENT_TYPE).to_ascii_lowercase();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let is_text = media_type.starts_with("text/")
        || ["application/json", "application/javascript", "application/xml"].contains(&media_type);
    if is_text { std::str::from_utf8(body).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn event(route: &str, request: Request<&'static [u8]>) -> Value {
        let (parts, body) = request.into_parts();
        let route = Route::new(parts.method.as_str(), route).unwrap();
        let path_parameters = route.matches(parts.method.as_str(), parts.uri.path()).unwrap();
        RoutedRequest {
            parts: &parts,
            body: &Bytes::from_static(body),
            route: &route,
            path_parameters: &path_parameters,
            peer: "192.0.2.1:50000".parse().unwrap(),
            port: 8787,
            request_id: "id",
            now: Timestamp::from_seconds(1_583_348_638),
        }
        .event()
    }

    fn body_of(content_type: Option<&str>, body: &'static [u8]) -> (Value, Value) {
        let mut request = Request::post("/");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let event = event("/", request.body(body).unwrap());
        (event["body"].clone(), event["isBase64Encoded"].clone())
    }

    /// The example of "Create AWS Lambda proxy integrations for HTTP APIs", less what the local cloud has not: an
    /// authorizer, client certificates and stage variables.
    #[test]
    fn an_event_has_the_documented_shape() {
        let request = Request::post("/my/path?parameter1=value1&parameter1=value2&parameter2=value")
            .header("cookie", "cookie1; cookie2")
            .header("Header1", "value1")
            .header("Header2", "value1")
            .header("Header2", "value2")
            .header("content-type", "text/plain")
            .header("host", "id.execute-api.us-east-1.amazonaws.com")
            .header("user-agent", "agent")
            .body(&b"Hello from Lambda"[..])
            .unwrap();
        let expected = json!({
            "version": "2.0",
            "routeKey": "POST /my/{parameter1}",
            "rawPath": "/my/path",
            "rawQueryString": "parameter1=value1&parameter1=value2&parameter2=value",
            "cookies": ["cookie1", "cookie2"],
            "headers": {
                "content-type": "text/plain",
                "header1": "value1",
                "header2": "value1,value2",
                "host": "id.execute-api.us-east-1.amazonaws.com",
                "user-agent": "agent",
                "x-forwarded-for": "192.0.2.1",
                "x-forwarded-port": "8787",
                "x-forwarded-proto": "http",
            },
            "queryStringParameters": {"parameter1": "value1,value2", "parameter2": "value"},
            "requestContext": {
                "accountId": "000000000000",
                "apiId": "local",
                "domainName": "id.execute-api.us-east-1.amazonaws.com",
                "domainPrefix": "id",
                "http": {
                    "method": "POST",
                    "path": "/my/path",
                    "protocol": "HTTP/1.1",
                    "sourceIp": "192.0.2.1",
                    "userAgent": "agent",
                },
                "requestId": "id",
                "routeKey": "POST /my/{parameter1}",
                "stage": "$default",
                "time": "04/Mar/2020:19:03:58 +0000",
                "timeEpoch": 1_583_348_638_000_u64,
            },
            "body": "Hello from Lambda",
            "pathParameters": {"parameter1": "path"},
            "isBase64Encoded": false,
        });
        assert_eq!(event("/my/{parameter1}", request), expected);
    }

    #[test]
    fn a_bare_request_has_no_empty_members() {
        let event = event("/", Request::get("/").body(&b""[..]).unwrap());
        for member in ["body", "cookies", "pathParameters", "queryStringParameters"] {
            assert_eq!(event.get(member), None, "{member}");
        }
        assert_eq!((&event["rawQueryString"], &event["isBase64Encoded"]), (&json!(""), &json!(false)));
    }

    #[test]
    fn paths_and_queries_arrive_decoded() {
        let request = Request::get("/users/%61lice%40localhost?q=a%26b+c&flag").body(&b""[..]).unwrap();
        let event = event("/users/{user_name}", request);
        assert_eq!(event["rawPath"], "/users/alice@localhost");
        assert_eq!(event["pathParameters"], json!({"user_name": "alice@localhost"}));
        assert_eq!(event["rawQueryString"], "q=a%26b+c&flag");
        assert_eq!(event["queryStringParameters"], json!({"q": "a&b c", "flag": ""}));
    }

    #[test]
    fn a_body_is_text_for_few_content_types() {
        for content_type in ["application/json", "Application/JSON; charset=utf-8", "text/csv", "application/xml"] {
            assert_eq!(body_of(Some(content_type), b"{}"), (json!("{}"), json!(false)), "{content_type}");
        }
        for content_type in [
            None,
            Some("application/octet-stream"),
            Some("application/x-www-form-urlencoded"),
            Some("application/problem+json"),
        ] {
            assert_eq!(body_of(content_type, b"{}"), (json!("e30="), json!(true)), "{content_type:?}");
        }
        assert_eq!(body_of(Some("text/plain"), b"\xff"), (json!("/w=="), json!(true)));
    }

    #[test]
    fn the_client_is_the_last_of_the_forwarders() {
        let event = event("/", Request::get("/").header("x-forwarded-for", "198.51.100.7").body(&b""[..]).unwrap());
        assert_eq!(event["headers"]["x-forwarded-for"], "198.51.100.7, 192.0.2.1");
        assert_eq!(event["requestContext"]["http"]["sourceIp"], "192.0.2.1");
    }
}

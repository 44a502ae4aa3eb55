//! The events of a WebSocket API. Their shape is that of recorded ones.

use std::collections::BTreeMap;

use http::request::Parts;
use http::{HeaderName, header};
use serde_json::{Map, Value, json};

use super::WebSocketApi;
use super::connection::Connection;
use crate::api_gateway::{clf_time, query_parameters, random_id};
use crate::arn::api_host;
use crate::template::RouteKey;

/// Values by name: of a header or of a parameter of a query.
type Values = BTreeMap<String, Vec<String>>;

/// A client wants to connect.
pub(super) fn connect(api: &WebSocketApi, connection: &Connection, parts: &Parts) -> Value {
    let mut headers = Values::new();
    for (name, value) in parts.headers.iter().filter(|(name, _)| !is_hop_by_hop(name)) {
        headers.entry(canonical(name)).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    for (name, value) in [
        ("X-Forwarded-For", connection.source_ip.clone()),
        ("X-Forwarded-Port", api.port.to_string()),
        ("X-Forwarded-Proto", "http".to_owned()),
    ] {
        headers.insert(name.to_owned(), vec![value]);
    }
    let mut event = event(api, connection, RouteKey::Connect, &random_id(), Map::new());
    insert(&mut event, ["headers", "multiValueHeaders"], &headers);
    let mut query = Values::new();
    for (name, value) in query_parameters(parts.uri.query().unwrap_or_default()) {
        query.entry(name).or_default().push(value);
    }
    if !query.is_empty() {
        insert(&mut event, ["queryStringParameters", "multiValueQueryStringParameters"], &query);
    }
    event
}

/// A client sent a message.
pub(super) fn message(api: &WebSocketApi, connection: &Connection, body: &str, request_id: &str) -> Value {
    let mut context = Map::new();
    context.insert("messageId".to_owned(), json!(random_id()));
    let mut event = event(api, connection, RouteKey::Default, request_id, context);
    event["body"] = json!(body);
    event
}

/// A connection has ended.
pub(super) fn disconnect(api: &WebSocketApi, connection: &Connection, code: u16, reason: &str) -> Value {
    let mut context = Map::new();
    context.insert("disconnectStatusCode".to_owned(), json!(code));
    context.insert("disconnectReason".to_owned(), json!(reason));
    let mut event = event(api, connection, RouteKey::Disconnect, &random_id(), context);
    let headers = ["x-api-key", "X-Forwarded-For", "x-restapi"].map(|name| (name.to_owned(), vec![String::new()]));
    let host = ("Host".to_owned(), vec![api_host(&connection.api_id)]);
    insert(&mut event, ["headers", "multiValueHeaders"], &headers.into_iter().chain([host]).collect());
    event
}

fn event(
    api: &WebSocketApi,
    connection: &Connection,
    route: RouteKey,
    request_id: &str,
    more: Map<String, Value>,
) -> Value {
    let now = api.clock.now();
    let event_type = match route {
        RouteKey::Connect => "CONNECT",
        RouteKey::Default => "MESSAGE",
        RouteKey::Disconnect => "DISCONNECT",
    };
    let mut context = json!({
        "routeKey": route.name(),
        "eventType": event_type,
        "extendedRequestId": request_id,
        "requestTime": clf_time(now),
        "messageDirection": "IN",
        "stage": api.description.stage,
        "connectedAt": connection.connected_at.seconds() * 1000,
        "requestTimeEpoch": now.seconds() * 1000,
        "identity": {"sourceIp": connection.source_ip, "userAgent": connection.user_agent},
        "requestId": request_id,
        // With this and the stage, some functions make the URL of the @connections API.
        "domainName": api_host(&connection.api_id),
        "connectionId": connection.id,
        "apiId": connection.api_id,
    });
    if let Value::Object(context) = &mut context {
        context.extend(more);
    }
    json!({"requestContext": context, "isBase64Encoded": false})
}

/// Of several values of one name, the first member has the last and the second all.
fn insert(event: &mut Value, [single, multi_value]: [&str; 2], values: &Values) {
    let last: BTreeMap<_, _> = values.iter().map(|(name, values)| (name, values.last())).collect();
    event[single] = json!(last);
    event[multi_value] = json!(values);
}

/// These are about the way to API Gateway, which does not pass them on.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    [header::CONNECTION, header::UPGRADE].contains(name)
}

/// The name as it is usually written. A function that looks for it in lower case alone fails on AWS.
fn canonical(name: &HeaderName) -> String {
    let words = name.as_str().split('-').map(|word| match word.split_at_checked(1) {
        Some((first, rest)) => format!("{}{rest}", first.to_ascii_uppercase()),
        None => String::new(),
    });
    words.collect::<Vec<_>>().join("-").replace("Websocket", "WebSocket")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Request;
    use vestibule_backend::Clock;
    use vestibule_protocol::time::Timestamp;

    use super::*;
    use crate::lifeline::Life;
    use crate::limits::Limits;
    use crate::template;
    use crate::websocket_api::Registry;

    const NOW: Timestamp = Timestamp::from_seconds(1_583_348_638);

    fn api() -> WebSocketApi {
        let description = template::WebSocketApi {
            logical_id: "Sockets".to_owned(),
            id: "sockets".to_owned(),
            stage: "v1".to_owned(),
            routes: BTreeMap::new(),
        };
        WebSocketApi {
            registry: Arc::new(Registry::new(vec![description.clone()], 0)),
            description,
            routes: BTreeMap::new(),
            limits: Limits::default(),
            clock: Clock::manual(NOW),
            port: 8787,
            lifeline: Life::new().1,
        }
    }

    fn handshake() -> Parts {
        let request = Request::get("/sockets/v1?a=1&a=2&b=%26")
            .header("host", "127.0.0.1:8787")
            .header("connection", "upgrade")
            .header("sec-websocket-protocol", "ticket")
            .header("sec-websocket-protocol", "chat")
            .header("user-agent", "agent");
        request.body(()).unwrap().into_parts().0
    }

    fn connection(parts: &Parts) -> Connection {
        Connection::new("sockets", parts, "192.0.2.1:50000".parse().unwrap(), NOW).0
    }

    /// The context without what is random.
    fn context(event: &Value, connection: &Connection) -> Value {
        let mut context = event["requestContext"].as_object().unwrap().clone();
        assert_eq!(context.remove("connectionId"), Some(json!(connection.id)));
        for id in ["requestId", "extendedRequestId"] {
            assert!(context.remove(id).unwrap().is_string());
        }
        context.into()
    }

    #[test]
    fn a_connect_event_has_the_shape_of_a_recorded_one() {
        let parts = handshake();
        let connection = connection(&parts);
        let event = connect(&api(), &connection, &parts);
        let expected = json!({
            "routeKey": "$connect",
            "eventType": "CONNECT",
            "requestTime": "04/Mar/2020:19:03:58 +0000",
            "messageDirection": "IN",
            "stage": "v1",
            "connectedAt": 1_583_348_638_000_u64,
            "requestTimeEpoch": 1_583_348_638_000_u64,
            "identity": {"sourceIp": "192.0.2.1", "userAgent": "agent"},
            "domainName": "sockets.execute-api.us-east-1.amazonaws.com",
            "apiId": "sockets",
        });
        assert_eq!(context(&event, &connection), expected);
        let expected = json!({
            "Host": ["127.0.0.1:8787"],
            "Sec-WebSocket-Protocol": ["ticket", "chat"],
            "User-Agent": ["agent"],
            "X-Forwarded-For": ["192.0.2.1"],
            "X-Forwarded-Port": ["8787"],
            "X-Forwarded-Proto": ["http"],
        });
        assert_eq!(event["multiValueHeaders"], expected);
        assert_eq!(event["headers"]["Sec-WebSocket-Protocol"], "chat");
        assert_eq!(event["queryStringParameters"], json!({"a": "2", "b": "&"}));
        assert_eq!(event["multiValueQueryStringParameters"], json!({"a": ["1", "2"], "b": ["&"]}));
        assert_eq!(event["isBase64Encoded"], false);
    }

    #[test]
    fn a_message_event_has_no_headers_but_a_message_id() {
        let connection = connection(&handshake());
        let event = message(&api(), &connection, "hello", "id");
        assert_eq!((&event["body"], event.get("headers")), (&json!("hello"), None));
        let context = &event["requestContext"];
        assert_eq!((&context["eventType"], &context["requestId"]), (&json!("MESSAGE"), &json!("id")));
        assert!(context["messageId"].is_string());
    }

    #[test]
    fn a_disconnect_event_says_why() {
        let connection = connection(&handshake());
        let event = disconnect(&api(), &connection, 1001, "Going away");
        let context = &event["requestContext"];
        assert_eq!(
            (&context["disconnectStatusCode"], &context["disconnectReason"]),
            (&json!(1001), &json!("Going away"))
        );
        assert_eq!(event["headers"]["Host"], "sockets.execute-api.us-east-1.amazonaws.com");
    }
}

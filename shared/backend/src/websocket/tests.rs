use serde_json::{Value, json};

use super::*;

fn event(route: &str, headers: Value, disconnect: Value) -> ApiGatewayWebsocketProxyRequest {
    let event = json!({
        "headers": {"Host": "id.execute-api.us-east-1.amazonaws.com"},
        "multiValueHeaders": headers,
        "requestContext": {
            "routeKey": route,
            "connectionId": "AAAA1234=",
            "connectedAt": 1_707_503_007_396_u64,
            "requestTimeEpoch": 1_707_503_008_941_u64,
            "identity": {"sourceIp": "192.0.2.1"},
            "disconnectStatusCode": disconnect,
        },
        "body": "hello",
        "isBase64Encoded": false,
    });
    serde_json::from_value(event).unwrap()
}

#[test]
fn a_connect_event_has_the_subprotocols_offered_in_all_headers() {
    let headers = json!({"Sec-WebSocket-Protocol": ["ticket.abc, chat", "", "other"]});
    let connect: Connect = decode(event("$connect", headers, Value::Null)).unwrap();
    assert_eq!(connect.connection_id.as_str(), "AAAA1234=");
    assert_eq!(connect.source.prefix(), [192, 0, 2, 1]);
    assert_eq!(connect.subprotocols().collect::<Vec<_>>(), ["ticket.abc", "chat", "other"]);
    assert_eq!(connect.header(&SEC_WEBSOCKET_PROTOCOL), Some("ticket.abc, chat"));
}

#[test]
fn a_message_event_has_its_text() {
    let message: Message = decode(event("$default", json!({}), Value::Null)).unwrap();
    assert_eq!((message.connection_id.as_str(), message.body.as_str()), ("AAAA1234=", "hello"));
}

#[test]
fn a_disconnect_event_has_the_code_if_there_is_one() {
    for (code, expected) in [(json!(1001), Some(1001)), (Value::Null, None)] {
        let disconnect: Disconnect = decode(event("$disconnect", json!({}), code)).unwrap();
        assert_eq!(disconnect.code, expected);
    }
}

#[test]
fn an_event_of_another_route_is_refused() {
    assert!(decode::<Message>(event("$connect", json!({}), Value::Null)).is_err());
    assert!(decode::<Connect>(event("$disconnect", json!({}), Value::Null)).is_err());
    let mut nameless = event("$default", json!({}), Value::Null);
    nameless.request_context.connection_id = None;
    assert!(decode::<Message>(nameless).is_err());
}

#[test]
fn an_encoded_message_is_refused() {
    let mut encoded = event("$default", json!({}), Value::Null);
    encoded.is_base64_encoded = true;
    assert!(decode::<Message>(encoded).is_err());
}

#[test]
fn the_subprotocol_chosen_is_a_header_of_the_answer() {
    let response = serde_json::to_value(success_response(Accepted::with_subprotocol("chat"))).unwrap();
    assert_eq!(
        (&response["statusCode"], &response["headers"]),
        (&json!(200), &json!({"sec-websocket-protocol": "chat"}))
    );
    let response = serde_json::to_value(success_response(Accepted::without_subprotocol())).unwrap();
    assert_eq!((&response["statusCode"], &response["headers"]), (&json!(200), &json!({})));
}

#[test]
fn a_subprotocol_that_is_no_header_value_is_a_defect_of_ours() {
    assert_eq!(success_response(Accepted::with_subprotocol("a\nb")).status_code, 500);
}

#[test]
fn a_problem_is_answered_by_its_status() {
    let problem = Problem::new(ProblemType::SignatureInvalid, "no");
    assert_eq!(problem_response(&problem).status_code, i64::from(ProblemType::SignatureInvalid.status()));
}

use serde_json::Value;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::support::{Client, Seen, TEMPLATE, builder, cloud, limited};
use crate::limits::WebSocketLimits;

const KIB: usize = 1024;

/// A part of a text message that begins with the command `length`.
fn fragment(bytes: usize, is_first: bool, is_last: bool) -> Frame {
    let beginning = if is_first { "length " } else { "" };
    let payload = format!("{beginning}{}", "x".repeat(bytes - beginning.len()));
    let kind = if is_first { Data::Text } else { Data::Continue };
    Frame::Frame(frame::Frame::message(payload, OpCode::Data(kind), is_last))
}

#[test]
fn the_limits_are_those_that_aws_documents() {
    let WebSocketLimits { frame_bytes, message_bytes, idle_timeout, lifetime, integration_timeout, farewell: _ } =
        WebSocketLimits::default();
    assert_eq!((frame_bytes, message_bytes), (32 * KIB, 128 * KIB));
    assert_eq!((idle_timeout.as_secs(), lifetime.as_secs(), integration_timeout.as_secs()), (600, 7_200, 29));
}

#[tokio::test]
async fn a_binary_message_closes_the_connection() {
    let cloud = cloud().await;
    let mut client = Client::connect(&cloud).await;
    client.send_frame(Frame::binary(vec![1, 2, 3])).await;
    assert_eq!(client.next().await, Seen::Closed(1003));
}

#[tokio::test]
async fn a_frame_may_have_32_kib_and_no_more() {
    let cloud = cloud().await;
    let mut client = Client::connect(&cloud).await;
    client.send_frame(fragment(32 * KIB, true, true)).await;
    assert_eq!(client.text().await, (32 * KIB).to_string());
    client.send_frame(fragment(32 * KIB + 1, true, true)).await;
    assert_eq!(client.next().await, Seen::Closed(1009));
}

#[tokio::test]
async fn a_message_may_have_128_kib_and_no_more() {
    let cloud = cloud().await;
    let mut client = Client::connect(&cloud).await;
    for part in 0..4 {
        client.send_frame(fragment(32 * KIB, part == 0, part == 3)).await;
    }
    assert_eq!(client.text().await, (128 * KIB).to_string());
    for part in 0..4 {
        client.send_frame(fragment(32 * KIB, part == 0, false)).await;
    }
    client.send_frame(fragment(1, false, true)).await;
    assert_eq!(client.next().await, Seen::Closed(1009));
}

#[tokio::test]
async fn a_message_that_is_no_utf_8_closes_the_connection() {
    let cloud = cloud().await;
    let mut client = Client::connect(&cloud).await;
    let frame = frame::Frame::message(vec![0xff], OpCode::Data(Data::Text), true);
    client.send_frame(Frame::Frame(frame)).await;
    assert_eq!(client.next().await, Seen::Closed(1007));
}

#[tokio::test]
async fn pings_are_answered() {
    let cloud = cloud().await;
    let mut client = Client::connect(&cloud).await;
    client.send_frame(Frame::Ping("are you there?".into())).await;
    assert_eq!(client.next().await, Seen::Pong);
}

#[tokio::test]
async fn messages_of_one_connection_are_handled_at_the_same_time() {
    let cloud = cloud().await;
    let mut client = Client::connect(&cloud).await;
    client.send("wait").await;
    client.send("release").await;
    assert_eq!(client.text().await, "released");
}

#[tokio::test]
async fn two_connections_do_not_see_each_others_messages() {
    let cloud = cloud().await;
    let (mut alice, mut bob) = tokio::join!(Client::connect(&cloud), Client::connect(&cloud));
    for round in 0..20 {
        alice.send(format!("echo alice-{round}")).await;
        bob.send(format!("echo bob-{round}")).await;
        assert_eq!(alice.text().await, format!("alice-{round}"));
        assert_eq!(bob.text().await, format!("bob-{round}"));
    }
}

#[tokio::test]
async fn a_client_that_sends_before_it_reads_gets_every_answer() {
    let cloud = cloud().await;
    let mut client = Client::connect(&cloud).await;
    for number in 0..200 {
        client.send(format!("echo {number}")).await;
    }
    let mut answers: Vec<u32> = Vec::new();
    for _ in 0..200 {
        answers.push(client.text().await.parse().unwrap());
    }
    // In whatever order.
    answers.sort_unstable();
    assert_eq!(answers, (0..200).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_message_whose_function_fails_is_answered_by_the_gateway() {
    let cloud = limited(|limits| limits.websocket.integration_timeout = std::time::Duration::from_millis(500)).await;
    let mut client = Client::connect(&cloud).await;
    let id = client.ask("id").await;
    for (command, message) in [("panic", "Internal server error"), ("hang", "Endpoint request timed out")] {
        let answer: Value = serde_json::from_str(&client.ask(command).await).unwrap();
        assert_eq!((&answer["message"], &answer["connectionId"]), (&message.into(), &id.as_str().into()));
        assert!(answer["requestId"].is_string());
    }
    assert_eq!(client.ask("echo hello").await, "hello", "it goes on");
}

#[tokio::test]
async fn a_message_without_a_route_is_forbidden() {
    let template = TEMPLATE.replace("        $default: {FunctionArn: !GetAtt Relay.Arn}\n", "");
    let cloud = builder().template(template).start().await.unwrap();
    let mut client = Client::connect(&cloud).await;
    let answer: Value = serde_json::from_str(&client.ask("echo hello").await).unwrap();
    assert_eq!(answer["message"], "Forbidden");
}

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use vestibule_protocol::encoding::{SecretBytes as _, encode};

use super::*;

fn ticket() -> RendezvousTicket {
    RendezvousTicket::generate(&mut StdRng::seed_from_u64(1))
}

#[test]
fn a_relay_elsewhere_is_reached_under_tls_alone() {
    for text in
        ["wss://example.org/v1", "wss://example.org", "ws://127.0.0.1:1/v1", "ws://localhost:1/", "ws://[::1]:1/v1"]
    {
        assert!(text.parse::<RelayUrl>().is_ok(), "{text}");
    }
    for text in [
        "",
        "example.org",
        "https://example.org/v1",
        "http://127.0.0.1/v1",
        "ws://example.org/v1",
        "ws://localhost.example.org/",
        "ws://192.168.0.1/",
        "wss://user@example.org/",
        "wss://:password@example.org/",
        "wss://example.org/#fragment",
    ] {
        assert_eq!(text.parse::<RelayUrl>(), Err(RelayUrlError), "{text}");
    }
}

/// Connects to a relay that answers the handshake with `head`, in which `{accept}` stands for what RFC 6455 wants, and
/// then sends `frames`. Gives the request, and what the first frame was.
async fn exchange(head: &'static str, frames: Vec<u8>) -> (String, Result<Option<String>, RelayError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: RelayUrl = format!("ws://{}/v1", listener.local_addr().unwrap()).parse().unwrap();
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut arrived = Vec::new();
        while !arrived.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut arrived).await.unwrap(), 0);
        }
        let request = String::from_utf8(arrived).unwrap();
        let key = request.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).unwrap();
        let head = head.replace("{accept}", &derive_accept_key(key.as_bytes()));
        stream.write_all(head.as_bytes()).await.unwrap();
        // Who does not like the answer hangs up.
        let _ = stream.write_all(&frames).await;
        (request, stream)
    };
    let offer = WebSocketOffer::relay(&ticket());
    let receiving = async {
        let mut connection = WebSocketTransport.connect(&url, &offer).await?;
        connection.receive().await
    };
    let ((request, _stream), received) = tokio::join!(serving, receiving);
    (request, received)
}

const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
                      sec-websocket-accept: {accept}\r\nsec-websocket-protocol: vestibule.relay.1\r\n\r\n";

#[tokio::test]
async fn the_handshake_says_what_it_must_and_nothing_of_who_connects() {
    let (request, received) = exchange(AGREED, b"\x81\x02ok".to_vec()).await;
    assert_eq!(received, Ok(Some("ok".to_owned())));
    let mut lines: Vec<_> = request.lines().filter(|line| !line.is_empty() && !line.starts_with("host: ")).collect();
    assert_eq!(lines.remove(0), "GET /v1 HTTP/1.1");
    lines.retain(|line| !line.starts_with("sec-websocket-key: "));
    lines.sort_unstable();
    let ticket = format!("sec-websocket-protocol: {}", ticket().to_subprotocols().as_str());
    let wanted = [
        "accept: */*",
        "connection: Upgrade",
        ticket.as_str(),
        "sec-websocket-version: 13",
        "upgrade: websocket",
        "user-agent: vestibule",
    ];
    assert_eq!(lines, wanted);
}

#[tokio::test]
async fn an_answer_that_agrees_to_something_else_is_no_connection() {
    for (from, to) in [
        ("{accept}", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("vestibule.relay.1", "vestibule.relay.2"),
        ("sec-websocket-protocol: vestibule.relay.1\r\n", ""),
        ("upgrade: websocket\r\n", ""),
        ("\r\n\r\n", "\r\nsec-websocket-extensions: permessage-deflate\r\n\r\n"),
    ] {
        let head: &'static str = Box::leak(AGREED.replace(from, to).into_boxed_str());
        let error = exchange(head, Vec::new()).await.1.unwrap_err();
        assert!(matches!(&error, RelayError::Broken(_)), "{from}: {error:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_from_a_failure_that_may_pass() {
    for (head, status, may_pass) in [
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n", 403, false),
        ("HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", 307, false),
        ("HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n", 429, true),
        ("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", 503, true),
    ] {
        let error = exchange(head, Vec::new()).await.1.unwrap_err();
        assert_eq!((&error, error.may_pass()), (&RelayError::Refused(status), may_pass));
    }
}

#[tokio::test]
async fn a_frame_that_is_too_long_or_binary_breaks_the_connection() {
    let too_long = [b"\x81\x7e\x80\x01".as_slice(), &[b'a'; 32 * 1024 + 1]].concat();
    let longest = [b"\x81\x7e\x80\x00".as_slice(), &[b'a'; 32 * 1024]].concat();
    assert_eq!(exchange(AGREED, longest).await.1.unwrap().unwrap().len(), 32 * 1024);
    for frame in [too_long, b"\x82\x02ok".to_vec(), b"\x81\x02\xff\xff".to_vec()] {
        let error = exchange(AGREED, frame).await.1.unwrap_err();
        assert!(matches!(error, RelayError::Broken(_)));
    }
    assert_eq!(exchange(AGREED, b"\x88\x00".to_vec()).await.1, Ok(None));
}

#[tokio::test]
async fn no_error_has_the_ticket_in_it() {
    // Port 1 of the loopback interface: nobody listens there.
    let offer = WebSocketOffer::relay(&ticket());
    let unreachable = WebSocketTransport.connect(&"ws://127.0.0.1:1/".parse().unwrap(), &offer).await.err().unwrap();
    let refused = exchange("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", Vec::new()).await.1.unwrap_err();
    let secret = encode(&ticket().to_secret_bytes());
    for error in [unreachable, refused] {
        assert!(!format!("{error} {error:?}").contains(&secret));
    }
}

//! The same over real sockets.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use vestibule_protocol::rendezvous::{RELAY_SUBPROTOCOL, RendezvousTicket};

use super::*;
use crate::relay::{RelayUrl, WebSocketOffer, WebSocketTransport};

/// Leads a WebSocket to the relay in this process.
async fn lead(fake: Arc<FakeRendezvous>, url: RelayUrl, stream: TcpStream) {
    let mut ticket = None;
    #[allow(clippy::result_large_err, reason = "the callback's type is the library's")]
    let agree = |request: &Request, mut response: Response| {
        let header = request.headers()["sec-websocket-protocol"].to_str().unwrap();
        ticket = RendezvousTicket::from_subprotocols(header);
        response.headers_mut().insert("sec-websocket-protocol", RELAY_SUBPROTOCOL.parse().unwrap());
        Ok(response)
    };
    let mut socket = accept_hdr_async(stream, agree).await.unwrap();
    let mut connection = fake.connect(&url, &WebSocketOffer::relay(&ticket.unwrap())).await.unwrap();
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Text(text))) => connection.send(&text).await.unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return,
            },
            text = connection.receive() => match text {
                Ok(Some(text)) => socket.send(Message::text(text)).await.unwrap(),
                _ => return,
            },
        }
    }
}

#[tokio::test]
async fn two_devices_meet_over_web_sockets() {
    let pair = Pair::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/v1", listener.local_addr().unwrap());
    pair.fake.relay().url = url.clone();
    let (fake, url) = (pair.fake.clone(), url.parse::<RelayUrl>().unwrap());
    let serving = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(lead(fake.clone(), url.clone(), stream));
        }
    });
    let options = |side| {
        let options = pair.options(side).waiting(Waiting::real());
        options.relay_transport(Arc::new(WebSocketTransport))
    };
    let mut clients = [0, 1].map(|side| Client::open(options(side)).unwrap());
    let [new, existing] = &mut clients;
    let mut new = new.create_rendezvous().await.unwrap();
    let pairing = new.pairing().unwrap().clone();
    let mut existing = existing.join_rendezvous(&pairing).await.unwrap();
    let both = async { tokio::join!(pair.converse(&mut new), pair.converse(&mut existing)) };
    let (new, existing) = tokio::time::timeout(PATIENCE, both).await.expect("somebody waits for ever");
    pair.assert_both_finished(&[new.unwrap(), existing.unwrap()]);
    serving.abort();
    assert_eq!(pair.fake.outcome(), Some(MailboxOutcome::Linked));
}

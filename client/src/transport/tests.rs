use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// Sends a request to a server that answers with these bytes; gives what arrived there and what came back.
async fn exchange(answer: Vec<u8>) -> (String, Result<Response, TransportError>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server: ServerUrl = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let serving = tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut arrived = Vec::new();
        while !arrived.ends_with(b"{}") {
            assert_ne!(connection.read_buf(&mut arrived).await.unwrap(), 0);
        }
        // The client may hang up in the middle of an answer that is too long.
        let _ = connection.write_all(&answer).await;
        String::from_utf8(arrived).unwrap()
    });
    let request = Request {
        service: Service::Authentication,
        method: Method::Put,
        path: "/v1/as/users/alice@localhost".to_owned(),
        headers: vec![("content-type", "application/json".to_owned())],
        body: b"{}".to_vec(),
    };
    let response = HttpTransport::new(server).unwrap().send(&request).await;
    (serving.await.unwrap(), response)
}

#[tokio::test]
async fn a_request_says_what_it_must_and_nothing_of_who_sends_it() {
    let (request, response) = exchange(b"HTTP/1.1 201 Created\r\nX-A: b\r\ncontent-length: 2\r\n\r\nok".to_vec()).await;
    let response = response.unwrap();
    assert_eq!((response.status, response.header("x-a"), &response.body[..]), (201, Some("b"), &b"ok"[..]));

    let (head, _) = request.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.lines().filter(|line| !line.starts_with("host: ")).collect();
    assert_eq!(lines.remove(0), "PUT /v1/as/users/alice@localhost HTTP/1.1");
    lines.sort_unstable();
    assert_eq!(lines, ["accept: */*", "content-length: 2", "content-type: application/json", "user-agent: vestibule"]);
}

#[tokio::test]
async fn a_redirection_is_an_answer() {
    let elsewhere = b"HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec();
    assert_eq!(exchange(elsewhere).await.1.unwrap().status, 307);
}

#[tokio::test]
async fn an_endless_answer_is_cut_short() {
    let mut endless = b"HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n".to_vec();
    endless.resize(3 * MAX_RESPONSE_LENGTH, b'1');
    assert_eq!(exchange(endless).await.1.unwrap().body.len(), MAX_RESPONSE_LENGTH);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_none() {
    let broken = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345".to_vec();
    assert!(exchange(broken).await.1.is_err());
}

#[tokio::test]
async fn requests_share_a_connection_with_those_to_the_same_service_alone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server: ServerUrl = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut arrived = [0; 1024];
                while connection.read(&mut arrived).await.is_ok_and(|length| length > 0) {
                    connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                }
            });
        }
    });
    let transport = HttpTransport::new(server).unwrap();
    for (service, wanted) in [
        (Service::Authentication, 1),
        (Service::Authentication, 1),
        (Service::Queuing, 2),
        (Service::KeyServer, 3),
        (Service::Authentication, 3),
        (Service::Queuing, 3),
        (Service::KeyServer, 3),
    ] {
        let path = "/".to_owned();
        let request = Request { service, method: Method::Get, path, headers: Vec::new(), body: Vec::new() };
        transport.send(&request).await.unwrap();
        assert_eq!(connections.load(Ordering::SeqCst), wanted);
    }
}

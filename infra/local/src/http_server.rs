//! HTTP on a port of this machine.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use crate::lifeline::Lifeline;

/// Listens on a port of 127.0.0.1 and says which; 0 means any that is free.
pub(crate) async fn listen(port: u16) -> io::Result<(TcpListener, u16)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// Takes connections until the local cloud ends. A request whose answer is an error gets none: its connection breaks.
pub(crate) async fn serve<Answer, Answering, E>(listener: TcpListener, lifeline: Lifeline, answer: Answer)
where
    Answer: Fn(Request<Incoming>, SocketAddr) -> Answering + Clone + Send + 'static,
    Answering: Future<Output = Result<Response<Full<Bytes>>, E>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>> + Send + 'static,
{
    while let Some(accepted) = lifeline.run(listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => {
                let (answer, lifeline) = (answer.clone(), lifeline.clone());
                tokio::spawn(async move { lifeline.run(serve_connection(stream, peer, answer)).await });
            }
            // Most likely too many open files: without a pause this loop would only spin.
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_connection<Answer, Answering, E>(stream: TcpStream, peer: SocketAddr, answer: Answer)
where
    Answer: Fn(Request<Incoming>, SocketAddr) -> Answering,
    Answering: Future<Output = Result<Response<Full<Bytes>>, E>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("TCP_NODELAY could not be set: {error}");
    }
    let service = service_fn(move |request| answer(request, peer));
    let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.with_upgrades().await {
        tracing::debug!("a connection broke: {error}");
    }
}

//! How requests reach a server.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use vestibule_protocol::endpoint::Method;
use vestibule_protocol::request_signature::Service;

use crate::server_url::ServerUrl;

/// The largest answer that is read, in bytes: the largest that API Gateway lets a function give. The largest of ours are
/// pages of a queue or of an identity's history: a megabyte of items, in base64url.
const MAX_RESPONSE_LENGTH: usize = 6 * 1024 * 1024;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an attempt may take in all: a function has 10 seconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);

/// Every client calls itself the same, so that requests do not tell versions, and with them people, apart.
const USER_AGENT: &str = "vestibule";

/// A request, ready to be sent.
#[derive(Clone)]
pub struct Request {
    /// The service it is for: requests to different services never share a connection.
    pub service: Service,
    /// Its method.
    pub method: Method,
    /// Its path, beginning with `/`, and its query if it has one.
    pub path: String,
    /// Its header fields, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// Its body; empty if there is none.
    pub body: Vec<u8>,
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}, {} bytes", self.method.as_str(), self.path, self.body.len())
    }
}

/// An answer, as it came.
#[derive(Clone)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The header fields, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of the first header field with the (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, {} bytes", self.status, self.body.len())
    }
}

/// No answer came: whether the request had an effect is unknown.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct TransportError(pub String);

/// What [`Transport::send`] promises.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<Response, TransportError>> + Send + 'a>>;

/// Sends requests to one deployment, each once: when to try again is not its business.
pub trait Transport: Send + Sync {
    /// Sends `request` and waits for the answer.
    ///
    /// # Errors
    /// If no complete answer came, or none in time.
    fn send<'a>(&'a self, request: &'a Request) -> Sending<'a>;
}

/// HTTP, under TLS unless the server is on this computer. No cookies, no redirects, no retries; one connection pool
/// (and one TLS session cache) for each service, so that connections do not tell which AS user is which QS user.
#[derive(Debug)]
pub struct HttpTransport {
    server: ServerUrl,
    to_authentication_service: reqwest::Client,
    to_key_server: reqwest::Client,
    to_queuing_service: reqwest::Client,
}

impl HttpTransport {
    /// A transport to `server`. Nothing is connected yet.
    ///
    /// # Errors
    /// If the system's trusted certificates cannot be loaded.
    pub fn new(server: ServerUrl) -> Result<Self, TransportError> {
        Ok(Self {
            to_authentication_service: service_pool(&server)?,
            to_key_server: service_pool(&server)?,
            to_queuing_service: service_pool(&server)?,
            server,
        })
    }

    async fn exchange(&self, request: &Request) -> Result<Response, reqwest::Error> {
        let pool = match request.service {
            // The rendezvous service knows a client by the same credential as the authentication service does.
            Service::Authentication | Service::Rendezvous => &self.to_authentication_service,
            Service::KeyServer => &self.to_key_server,
            Service::Queuing => &self.to_queuing_service,
        };
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut outgoing = pool.request(method, self.server.join(&request.path));
        if !request.body.is_empty() {
            outgoing = outgoing.body(request.body.clone());
        }
        for (name, value) in &request.headers {
            outgoing = outgoing.header(*name, value);
        }

        let mut incoming = outgoing.send().await?;
        let mut response = Response {
            status: incoming.status().as_u16(),
            headers: incoming
                .headers()
                .iter()
                .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
                .collect(),
            body: Vec::new(),
        };
        while let Some(chunk) = incoming.chunk().await? {
            // What is cut off here does not decode, so that no one mistakes it for an answer.
            let room = MAX_RESPONSE_LENGTH - response.body.len();
            response.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                break;
            }
        }
        Ok(response)
    }
}

impl Transport for HttpTransport {
    fn send<'a>(&'a self, request: &'a Request) -> Sending<'a> {
        Box::pin(async { self.exchange(request).await.map_err(|error| TransportError(innermost_cause(&error))) })
    }
}

fn service_pool(server: &ServerUrl) -> Result<reqwest::Client, TransportError> {
    connection_pool(server.is_loopback(), server.is_encrypted(), |pool| pool.timeout(ATTEMPT_TIMEOUT))
}

/// What all connections have in common. `adjust` adds what is special about these.
pub(crate) fn connection_pool(
    is_loopback: bool,
    is_encrypted: bool,
    adjust: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
) -> Result<reqwest::Client, TransportError> {
    // Fails if the program has chosen a provider already, which is then the one to use.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut pool = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .referer(false)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT);
    if is_loopback {
        pool = pool.no_proxy();
    }
    if is_encrypted {
        pool = pool.https_only(true);
    } else {
        // Without TLS, the local cloud must not need the system's certificates.
        pool = pool.tls_certs_only([]);
    }
    adjust(pool).build().map_err(|error| TransportError(innermost_cause(&error)))
}

/// The cause at the bottom says what happened ("connection refused"); those above, where in the library.
pub(crate) fn innermost_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;

//! Calls to the endpoints of a service.

use std::sync::Arc;
use std::time::Duration;

use vestibule_protocol::clock::Clock;
use vestibule_protocol::endpoint::Endpoint;
use vestibule_protocol::endpoint::Path as _;
use vestibule_protocol::keys::{ClientCredentialKey, KeyPurpose, SigningKey};
use vestibule_protocol::name::Domain;
use vestibule_protocol::request_signature::{CoveredRequest, Service, sign};

use crate::fuse::Fuse;
use crate::server_url::ServerUrl;
use crate::text::one_line;
use crate::transport::{Request, Response, Transport};
use vestibule_protocol::randomness::Randomness;

mod error;
mod retry;

pub use error::ApiError;
pub use retry::{RetryPolicy, Waiting};

/// What calls to a service depend on.
#[derive(Clone)]
pub struct Connection {
    /// Where the server is: named in errors.
    pub server: ServerUrl,
    /// Sends the requests.
    pub transport: Arc<dyn Transport>,
    /// When requests are signed.
    pub clock: Clock,
    /// Where nonces and jitter come from.
    pub randomness: Randomness,
    /// When a request is sent again.
    pub retry_policy: RetryPolicy,
    /// How the time between attempts passes.
    pub waiting: Waiting,
    /// Stops before and after every attempt, if a test wants so.
    pub fuse: Fuse,
}

/// Who signs requests, and of which deployment.
#[derive(Clone)]
pub struct RequestSigner<'a, P> {
    /// The key.
    pub key: &'a SigningKey<P>,
    /// What the server knows the key by.
    pub key_id: String,
    /// The deployment.
    pub domain: Domain,
}

/// One service of a deployment, callable through its endpoint types.
#[derive(Clone)]
pub struct Api {
    service: Service,
    connection: Connection,
}

impl Api {
    /// The service `service` behind `connection`.
    pub fn new(service: Service, connection: Connection) -> Self {
        Self { service, connection }
    }

    /// The same service, but every request is sent at most `attempts` times.
    pub(crate) fn with_attempts(&self, attempts: u32) -> Self {
        let mut limited = self.clone();
        let policy = &mut limited.connection.retry_policy;
        policy.attempts = policy.attempts.min(attempts);
        limited
    }

    /// Calls an endpoint that takes no signature. `body` is the request's JSON, empty where the endpoint takes none;
    /// every attempt sends the same bytes.
    ///
    /// # Errors
    /// [`ApiError`], after as many attempts as the retry policy gives to answers that may change.
    pub async fn call<E: Endpoint>(&self, path: &E::Path, body: &[u8]) -> Result<E::Response, ApiError> {
        self.attempt_repeatedly::<E, ClientCredentialKey>(path, body, None).await
    }

    /// Calls an endpoint that takes a signature: as [`Api::call`], each attempt under a fresh one.
    ///
    /// # Errors
    /// As [`Api::call`].
    pub async fn call_signed<E: Endpoint, P: KeyPurpose>(
        &self,
        path: &E::Path,
        body: &[u8],
        signer: &RequestSigner<'_, P>,
    ) -> Result<E::Response, ApiError> {
        self.attempt_repeatedly::<E, P>(path, body, Some(signer)).await
    }

    async fn attempt_repeatedly<E: Endpoint, P: KeyPurpose>(
        &self,
        path: &E::Path,
        body: &[u8],
        signer: Option<&RequestSigner<'_, P>>,
    ) -> Result<E::Response, ApiError> {
        let mut attempts = 0;
        loop {
            let request = self.prepare::<E, P>(path, body, signer);
            let error = match self.attempt(&request).await.and_then(|response| self.read::<E>(&response)) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            attempts += 1;
            if !error.may_pass() {
                return Err(error);
            }
            let Connection { retry_policy, waiting, randomness, .. } = &self.connection;
            let retry_after = error.retry_after().map(Duration::from_secs);
            match retry_policy.wait_after(attempts, retry_after, &mut randomness.clone()) {
                Some(duration) => waiting.wait(duration).await,
                None => return Err(error),
            }
        }
    }

    fn prepare<E: Endpoint, P: KeyPurpose>(
        &self,
        path: &E::Path,
        body: &[u8],
        signer: Option<&RequestSigner<'_, P>>,
    ) -> Request {
        let method = E::DESCRIPTION.method;
        let (path, query) = (path.expand(E::DESCRIPTION.path), path.query());
        let mut headers = vec![("accept", "application/json, application/problem+json".to_owned())];
        if !body.is_empty() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        if let Some(RequestSigner { key, key_id, domain }) = signer {
            let covered =
                CoveredRequest { method: method.as_str(), path: &path, query: &query, authorization: None, body };
            let tag = self.service.tag(domain);
            let created = self.connection.clock.now();
            let fields = sign(covered, key, key_id, &tag, created, &mut self.connection.randomness.clone());
            headers.push(("content-digest", fields.content_digest.into_owned()));
            headers.push(("signature-input", fields.signature_input.into_owned()));
            headers.push(("signature", fields.signature.into_owned()));
        }
        let path = if query.is_empty() { path } else { format!("{path}?{query}") };
        Request { service: self.service, method, path, headers, body: body.to_vec() }
    }

    async fn attempt(&self, request: &Request) -> Result<Response, ApiError> {
        let Connection { server, transport, fuse, .. } = &self.connection;
        fuse.reach("before a request")?;
        let response = transport.send(request).await;
        fuse.reach("after a request")?;
        response.map_err(|error| ApiError::unreachable(server, &error))
    }

    fn read<E: Endpoint>(&self, response: &Response) -> Result<E::Response, ApiError> {
        if response.status != E::DESCRIPTION.status {
            return Err(ApiError::of_response(response, self.connection.clock.now()));
        }
        serde_json::from_slice(&response.body).map_err(|error| ApiError::UnexpectedAnswer {
            status: response.status,
            reason: one_line(&error.to_string()),
        })
    }
}

#[cfg(test)]
mod tests;

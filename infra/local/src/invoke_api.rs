//! Functions behind a Lambda Invoke API, such as `cargo lambda watch` or the Lambda service here.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use vestibule_backend::EventHandler;

/// The path of the operation Invoke, and what stands behind the name of the function.
pub(crate) const PATH: (&str, &str) = ("/2015-03-31/functions/", "/invocations");
/// The header that tells a function's error from its answer.
pub(crate) const FUNCTION_ERROR: &str = "x-amz-function-error";

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A client of an Invoke API.
pub(crate) struct InvokeApi {
    base_url: String,
    /// The URL without its path, which may be a secret.
    shown_url: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl InvokeApi {
    /// The API at a URL such as `http://127.0.0.1:9000`; nothing if it is none, or on another machine.
    pub(crate) fn at(url: &str) -> Option<Arc<Self>> {
        let base_url = url.trim_end_matches('/').to_owned();
        let uri: Uri = base_url.parse().ok()?;
        // There is neither TLS nor a signature here: this is for Lambda services on this machine.
        let is_here = matches!(uri.host()?, "127.0.0.1" | "localhost" | "[::1]");
        let authority = uri.authority()?;
        if !is_here || authority.as_str().contains('@') || uri.scheme_str() != Some("http") || uri.query().is_some() {
            return None;
        }
        let shown_url = format!("http://{authority}");
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Some(Arc::new(Self { base_url, shown_url, client: Client::builder(TokioExecutor::new()).build(connector) }))
    }

    /// Hands events to the function of this name.
    pub(crate) fn handler(self: &Arc<Self>, function: &str) -> EventHandler {
        let api = Arc::clone(self);
        let (before, after) = PATH;
        let url = format!("{}{before}{function}{after}", self.base_url);
        Arc::new(move |event| {
            let (api, url) = (Arc::clone(&api), url.clone());
            Box::pin(async move { api.invoke(&url, &event).await })
        })
    }

    async fn invoke(&self, url: &str, event: &Value) -> Result<Value, BoxError> {
        let request = Request::post(url).header(CONTENT_TYPE, "application/json");
        let request = request.body(Full::new(Bytes::from(event.to_string())))?;
        let failed = |error: hyper_util::client::legacy::Error| match error.is_connect() {
            true => format!("nothing answers at {}", self.shown_url),
            false => format!("{} breaks off instead of answering", self.shown_url),
        };
        let response = self.client.request(request).await.map_err(failed)?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await?.to_bytes();
        let is_answer = parts.status == StatusCode::OK && !parts.headers.contains_key(FUNCTION_ERROR);
        if is_answer {
            return Ok(serde_json::from_slice(&body)?);
        }
        let error: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = ["errorMessage", "Message", "message"].iter().find_map(|member| error[member].as_str());
        Err(message.map_or_else(|| format!("the Lambda service answers {}", parts.status), str::to_owned).into())
    }
}

impl fmt::Debug for InvokeApi {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("InvokeApi").field("url", &self.shown_url).finish_non_exhaustive()
    }
}

//! The services behind an endpoint, for functions that are processes of their own.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::net::TcpListener;

use super::answer::Answer;
use super::connector::{Connector, Services};
use crate::arn::api_host;
use crate::http_server;
use crate::lifeline::Lifeline;
use crate::template::Function;

/// Takes the calls that functions make from processes of their own, and lets each pass the seam as one that is made in this
/// process. A function names itself in the user agent; that it is one at all it shows by the access key, which whoever else
/// is on this machine does not know.
pub(crate) struct AwsEndpoint {
    callers: BTreeMap<String, Connector>,
    access_key_id: String,
}

impl AwsEndpoint {
    /// An endpoint for `functions`, with an access key of its own.
    pub(crate) fn new(services: &Arc<Services>, functions: &[Function]) -> Self {
        let connector = |function: &Function| services.connector_of_function(&function.name, function.policy.clone());
        let callers = functions.iter().map(|function| (function.name.clone(), connector(function))).collect();
        Self { callers, access_key_id: random_access_key_id() }
    }

    /// The variables with which an SDK finds an endpoint on this port and is let in.
    pub(crate) fn variables(&self, port: u16) -> [(String, String); 3] {
        [
            ("AWS_ACCESS_KEY_ID", self.access_key_id.clone()),
            ("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}")),
            // Signatures are not checked: the id is secret enough on a machine's own loopback device.
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }

    /// Takes calls until the local cloud ends.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, lifeline: Lifeline) {
        let answer = move |request, _| {
            let endpoint = Arc::clone(&self);
            async move { endpoint.answer(request).await }
        };
        http_server::serve(listener, lifeline, answer).await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
        let response = match self.caller(request.headers()) {
            Err(refusal) => refusal.into_response()?,
            Ok(caller) => {
                let (mut parts, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                if let Some(url) = url_on_aws(parts.uri.path()) {
                    parts.uri = url.parse()?;
                }
                let request = Request::from_parts(parts, SdkBody::from(body));
                caller.answer(HttpRequest::try_from(request)?).await?
            }
        };
        let body = response.body().bytes().ok_or("a streamed body")?;
        let mut answer = Response::builder().status(response.status().as_u16());
        for (name, value) in response.headers() {
            answer = answer.header(name, value);
        }
        Ok(answer.body(Full::new(Bytes::copy_from_slice(body)))?)
    }

    fn caller(&self, headers: &HeaderMap) -> Result<&Connector, Answer> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // AWS4-HMAC-SHA256 Credential=<access key id>/<date>/<region>/<service>/aws4_request, SignedHeaders=…
        let credential =
            text(AUTHORIZATION.as_str()).split_once("Credential=").map_or("", |(_, credential)| credential);
        if credential.split('/').next() != Some(&self.access_key_id) {
            let message = "The security token included in the request is invalid.";
            return Err(Answer::error(403, "UnrecognizedClientException", message));
        }
        let agents = [text("x-amz-user-agent"), text(USER_AGENT.as_str())];
        let name = agents.iter().flat_map(|agent| agent.split(' ')).find_map(|part| part.strip_prefix("app/"));
        let unknown = || Answer::error(403, "AccessDeniedException", "The user agent names no function (app/…).");
        name.and_then(|name| self.callers.get(name)).ok_or_else(unknown)
    }
}

impl fmt::Debug for AwsEndpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AwsEndpoint").finish_non_exhaustive()
    }
}

/// Where a call to the `@connections` API of a WebSocket API would go on AWS. Here it comes to `/<id of the API>/<stage>/…`.
fn url_on_aws(path: &str) -> Option<String> {
    let (api_id, rest) = path.strip_prefix('/')?.split_once('/')?;
    Some(format!("https://{}/{rest}", api_host(api_id)))
}

/// As long as one of IAM, and as hard to guess as a key.
fn random_access_key_id() -> String {
    let symbols =
        rand::random::<[u8; 32]>().map(|byte| char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[usize::from(byte % 32)]));
    symbols.into_iter().collect()
}

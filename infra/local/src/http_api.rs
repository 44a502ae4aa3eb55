//! An HTTP API that behaves like one of API Gateway.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::net::TcpListener;
use vestibule_backend::Clock;

pub(crate) mod answer;
mod description;
mod event;

use self::event::RoutedRequest;
use crate::api_gateway::{random_id, request_line_and_header_bytes};
use crate::http_server;
use crate::lambda::{InvocationError, Lambda};
use crate::lifeline::Lifeline;
use crate::limits::Limits;
use crate::route::Route;
use crate::template::RouteKey;
use crate::websocket_api::WebSocketApi;

/// How often the event of a request reaches its function. AWS promises at least once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Once, as nearly always.
    #[default]
    Once,
    /// Twice, one after the other; the client gets the first answer.
    TwiceWithFirstAnswer,
    /// Twice, one after the other; the client gets the second answer.
    TwiceWithSecondAnswer,
}

/// The API: routes that lead to functions. On its port are the WebSocket APIs too.
pub(crate) struct HttpApi {
    routes: Vec<(Route, Arc<Lambda>)>,
    websocket_apis: Vec<Arc<WebSocketApi>>,
    limits: Limits,
    clock: Clock,
    port: u16,
    delivery: Mutex<Delivery>,
}

impl HttpApi {
    pub(crate) fn new(
        routes: Vec<(Route, Arc<Lambda>)>,
        websocket_apis: Vec<Arc<WebSocketApi>>,
        limits: Limits,
        clock: Clock,
        port: u16,
    ) -> Self {
        Self { routes, websocket_apis, limits, clock, port, delivery: Mutex::default() }
    }

    pub(crate) fn set_delivery(&self, delivery: Delivery) {
        *self.delivery.lock().unwrap_or_else(PoisonError::into_inner) = delivery;
    }

    /// Takes requests until the local cloud ends.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, lifeline: Lifeline) {
        let answer = move |request, peer| {
            let api = Arc::clone(&self);
            async move { Ok::<_, Infallible>(api.answer(request, peer).await) }
        };
        http_server::serve(listener, lifeline, answer).await;
    }

    /// Answers a request and writes the one log line about it, which holds nothing that tells who it was.
    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
        let started = Instant::now();
        let method = request.method().clone();
        let request_id = random_id();
        let websocket_api = self.websocket_apis.iter().find(|api| api.is_at(request.uri().path()));
        let (mut response, route) = if let Some(api) = websocket_api {
            (Arc::clone(api).connect(request, peer).await, Some(RouteKey::Connect.name().to_owned()))
        } else {
            let route = self.route(request.method().as_str(), request.uri().path());
            let page = || description::answer(request.method(), request.uri().path());
            match route.is_none().then(page).flatten() {
                Some(page) => (page, None),
                None => {
                    let answer = self.answer_routed(request, peer, route.as_ref(), &request_id).await;
                    (answer.unwrap_or_else(|refusal| refusal.response()), route.map(|(route, ..)| route.key()))
                }
            }
        };
        if let Ok(id) = HeaderValue::from_str(&request_id) {
            response.headers_mut().insert("apigw-requestid", id);
        }
        let route = route.unwrap_or_else(|| "-".to_owned());
        let (status, duration) = (response.status().as_u16(), started.elapsed());
        tracing::info!(target: "vestibule_local::http", %method, route, status, ?duration);
        response
    }

    async fn answer_routed(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        route: Option<&(&Route, &Lambda, BTreeMap<String, String>)>,
        request_id: &str,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let (parts, body) = request.into_parts();
        if request_line_and_header_bytes(&parts) > self.limits.header_bytes {
            return Err(Refusal::HeadersTooLarge);
        }
        let body = read_body(body, self.limits.body_bytes).await?;
        let (route, lambda, path_parameters) = route.ok_or(Refusal::NoRoute)?;
        let (port, now) = (self.port, self.clock.now());
        let request = RoutedRequest { parts: &parts, body: &body, route, path_parameters, peer, port, request_id, now };
        let answer = tokio::time::timeout(self.limits.integration_timeout, self.deliver(lambda, request.event()));
        let answer = match answer.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                tracing::error!(function = lambda.name, "{error}");
                return Err(error.into());
            }
            Err(_) => return Err(Refusal::IntegrationTimeout),
        };
        answer::response(&answer).map_err(|malformed| {
            tracing::error!(function = lambda.name, "{malformed}");
            Refusal::FunctionError
        })
    }

    /// The most specific route for a request, its function and the values of its parameters.
    fn route(&self, method: &str, path: &str) -> Option<(&Route, &Lambda, BTreeMap<String, String>)> {
        let matching = self.routes.iter().filter_map(|(route, lambda)| {
            let parameters = route.matches(method, path)?;
            Some((route, lambda.as_ref(), parameters))
        });
        matching.max_by_key(|(route, ..)| route.specificity())
    }

    async fn deliver(&self, lambda: &Lambda, event: Value) -> Result<Value, InvocationError> {
        let delivery = *self.delivery.lock().unwrap_or_else(PoisonError::into_inner);
        if delivery == Delivery::Once {
            return lambda.invoke(event).await;
        }
        let first = lambda.invoke(event.clone()).await;
        let second = lambda.invoke(event).await;
        if delivery == Delivery::TwiceWithFirstAnswer { first } else { second }
    }
}

impl fmt::Debug for HttpApi {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HttpApi").field("port", &self.port).finish_non_exhaustive()
    }
}

/// Why API Gateway answers in place of a function.
enum Refusal {
    HeadersTooLarge,
    BodyTooLarge,
    BrokenBody,
    NoRoute,
    FunctionError,
    IntegrationTimeout,
}

impl Refusal {
    fn response(&self) -> Response<Full<Bytes>> {
        let (status, message) = match self {
            Self::HeadersTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "Request Header Fields Too Large"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
            Self::BrokenBody => (StatusCode::BAD_REQUEST, "Bad Request"),
            Self::NoRoute => (StatusCode::NOT_FOUND, "Not Found"),
            Self::FunctionError => (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
            Self::IntegrationTimeout => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        };
        answer::message(status, message)
    }
}

impl From<InvocationError> for Refusal {
    /// A function that Lambda stops at its own timeout has failed like any other; only a function that is still
    /// running when API Gateway's patience ends makes a 503.
    fn from(error: InvocationError) -> Self {
        match error {
            InvocationError::EventTooLarge(_) => Self::BodyTooLarge,
            InvocationError::AnswerTooLarge(_)
            | InvocationError::Failed(_)
            | InvocationError::Stopped
            | InvocationError::TimedOut(_)
            | InvocationError::UnknownFunction(_) => Self::FunctionError,
        }
    }
}

/// Reads a body of at most `limit` bytes. A larger one is read to its end too, for a client that is still sending
/// would not see the answer.
async fn read_body(mut body: Incoming, limit: usize) -> Result<Bytes, Refusal> {
    let mut collected = BytesMut::new();
    let mut is_too_large = false;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Refusal::BrokenBody)?;
        let Some(data) = frame.data_ref() else { continue };
        is_too_large |= collected.len() + data.len() > limit;
        if !is_too_large {
            collected.extend_from_slice(data);
        }
    }
    if is_too_large { Err(Refusal::BodyTooLarge) } else { Ok(collected.freeze()) }
}

#[cfg(test)]
mod tests;

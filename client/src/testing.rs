//! What the tests share: a deployment in this process, and clients of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use vestibule_protocol::clock::Clock;
use vestibule_protocol::opaque::Password;
use vestibule_protocol::time::Timestamp;

use crate::api::Waiting;
use crate::client::{Client, Options, Registered};
use crate::error::Error;
use crate::registration::{Progress, Stage, StageState};
use crate::transport::{Request, Response, Sending, Transport, TransportError};

mod fake_service;

pub(crate) use fake_service::FakeService;

/// When the tests take place.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// The password of every user.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// A transport that goes through a function, which sees the request and the answer and says what arrives.
struct Through<F> {
    service: Arc<FakeService>,
    change: F,
}

impl<F: Fn(&Request, Response) -> Result<Response, TransportError> + Send + Sync> Transport for Through<F> {
    fn send<'a>(&'a self, request: &'a Request) -> Sending<'a> {
        Box::pin(async { (self.change)(request, self.service.send(request).await?) })
    }
}

/// A transport in which a function answers some of the requests, which the service then never sees.
struct Instead<F> {
    service: Arc<FakeService>,
    answer: F,
}

impl<F: Fn(&Request) -> Option<Result<Response, TransportError>> + Send + Sync> Transport for Instead<F> {
    fn send<'a>(&'a self, request: &'a Request) -> Sending<'a> {
        match (self.answer)(request) {
            Some(answer) => Box::pin(async { answer }),
            None => self.service.send(request),
        }
    }
}

/// A device: a home and the deployment it talks to.
pub(crate) struct Device {
    pub(crate) home: TempDir,
    pub(crate) service: Arc<FakeService>,
    pub(crate) clock: Clock,
    passwords_asked: AtomicUsize,
}

/// What came of a registration.
pub(crate) struct Outcome {
    pub(crate) result: Result<Registered, Error>,
    pub(crate) progress: Vec<(Stage, StageState)>,
}

impl Outcome {
    /// The error, in words.
    pub(crate) fn error(&self) -> String {
        self.result.as_ref().expect_err("the registration should have failed").to_string()
    }
}

impl Device {
    pub(crate) fn new() -> Self {
        let clock = Clock::manual(NOW);
        Self::of(Arc::new(FakeService::new(1, clock.clone())), clock)
    }

    /// Another device of the same deployment.
    pub(crate) fn another(&self) -> Self {
        Self::of(self.service.clone(), self.clock.clone())
    }

    fn of(service: Arc<FakeService>, clock: Clock) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        Self { home, service, clock, passwords_asked: AtomicUsize::new(0) }
    }

    pub(crate) fn options(&self) -> Options {
        self.adjust(Options::new(self.home.path()))
    }

    /// Leads a client of some other making to this deployment.
    pub(crate) fn adjust(&self, options: Options) -> Options {
        options.transport(self.service.clone()).clock(self.clock.clone()).waiting(Waiting::skipped())
    }

    pub(crate) async fn register(&self, user_name: &str) -> Outcome {
        self.register_with(user_name, self.options()).await
    }

    pub(crate) async fn register_with(&self, user_name: &str, options: Options) -> Outcome {
        let mut progress = Vec::new();
        let password = || {
            self.passwords_asked.fetch_add(1, Ordering::SeqCst);
            Ok(Password::new(PASSWORD.to_owned()))
        };
        let observer = |event: Progress| progress.push((event.stage, event.state));
        let result = match Client::open(options) {
            Ok(mut client) => client.register(&user_name.parse().unwrap(), "laptop", password, observer).await,
            Err(error) => Err(error),
        };
        Outcome { result, progress }
    }

    /// How often a password was asked for.
    pub(crate) fn passwords_asked(&self) -> usize {
        self.passwords_asked.load(Ordering::SeqCst)
    }

    /// The same options, but answers go through `change`.
    pub(crate) fn through<F>(&self, change: F) -> Options
    where
        F: Fn(&Request, Response) -> Result<Response, TransportError> + Send + Sync + 'static,
    {
        self.options().transport(Arc::new(Through { service: self.service.clone(), change }))
    }

    /// The same options, but some requests are answered by `answer`.
    pub(crate) fn instead<F>(&self, answer: F) -> Options
    where
        F: Fn(&Request) -> Option<Result<Response, TransportError>> + Send + Sync + 'static,
    {
        self.options().transport(Arc::new(Instead { service: self.service.clone(), answer }))
    }
}

/// A `change` that replaces a field of the answers to requests whose path begins with `path`.
pub(crate) fn replacing(
    path: &'static str,
    field: &'static str,
    value: serde_json::Value,
) -> impl Fn(&Request, Response) -> Result<Response, TransportError> + Send + Sync + 'static {
    move |request, mut response| {
        if request.path.starts_with(path) {
            let mut body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
            body[field] = value.clone();
            response.body = serde_json::to_vec(&body).unwrap();
        }
        Ok(response)
    }
}

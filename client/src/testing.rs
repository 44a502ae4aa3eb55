//! What the tests share: a deployment in this process, and clients of it.

use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use vestibule_protocol::add_package::AddPackage;
use vestibule_protocol::clock::Clock;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::opaque::Password;
use vestibule_protocol::queuing::QsClientId;
use vestibule_protocol::randomness::Randomness;
use vestibule_protocol::time::Timestamp;

use crate::api::Waiting;
use crate::client::{Client, Options, Registered};
use crate::error::Error;
use crate::fuse::Fuse;
use crate::home::{Account, Home, HomeError};
use crate::password::PasswordUse;
use crate::registration::{Progress, Stage, StageState};
use crate::transport::{Request, Response, Sending, Transport, TransportError};

mod devices;
mod fake_mailbox;
mod fake_rendezvous;
mod fake_service;

pub(crate) use devices::{leave_queuing_service, link};
pub(crate) use fake_rendezvous::{FakeRendezvous, Mishap, Planned};
pub(crate) use fake_service::FakeService;

/// When the tests take place.
pub(crate) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// The password of every user.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// The same, as it is typed.
pub(crate) fn password() -> Password {
    Password::new(PASSWORD.to_owned())
}

/// How many ordinary KeyPackages every device publishes: few, so that tests are fast.
pub(crate) const KEY_PACKAGES: usize = 2;

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
    passwords_asked: Mutex<Vec<PasswordUse>>,
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
        Self::at(NOW, 1)
    }

    /// A device in the present, where openmls lives, which judges KeyPackages by the system's clock.
    pub(crate) fn of_today() -> Self {
        Self::of_deployment(1)
    }

    /// A device in the present, of a deployment of its own for every `seed`.
    pub(crate) fn of_deployment(seed: u64) -> Self {
        Self::at(Timestamp::now(), seed)
    }

    fn at(now: Timestamp, seed: u64) -> Self {
        let clock = Clock::manual(now);
        Self::of(Arc::new(FakeService::new(seed, clock.clone())), clock)
    }

    /// Another device of the same deployment.
    pub(crate) fn another(&self) -> Self {
        Self::of(self.service.clone(), self.clock.clone())
    }

    fn of(service: Arc<FakeService>, clock: Clock) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        Self { home, service, clock, passwords_asked: Mutex::default() }
    }

    pub(crate) fn options(&self) -> Options {
        self.adjust(Options::new(self.home.path()))
    }

    /// Leads a client of some other making to this deployment.
    pub(crate) fn adjust(&self, options: Options) -> Options {
        options
            .transport(self.service.clone())
            .relay_transport(self.service.clone())
            .clock(self.clock.clone())
            .waiting(Waiting::skipped())
            .key_packages(KEY_PACKAGES)
    }

    pub(crate) async fn register(&self, user_name: &str) -> Outcome {
        self.register_with(user_name, self.options()).await
    }

    pub(crate) async fn register_with(&self, user_name: &str, options: Options) -> Outcome {
        self.register_with_password(user_name, PASSWORD, options).await
    }

    pub(crate) async fn register_with_password(&self, user_name: &str, password: &str, options: Options) -> Outcome {
        let mut progress = Vec::new();
        let password = |password_use| {
            self.passwords_asked.lock().unwrap().push(password_use);
            Ok(Password::new(password.to_owned()))
        };
        let observer = |event: Progress| progress.push((event.stage, event.state));
        let result = match Client::open(options) {
            Ok(mut client) => client.register(&user_name.parse().unwrap(), "laptop", password, observer).await,
            Err(error) => Err(error),
        };
        Outcome { result, progress }
    }

    pub(crate) fn client(&self) -> Client {
        self.client_with(self.options())
    }

    pub(crate) fn client_with(&self, options: Options) -> Client {
        Client::open(options).unwrap()
    }

    /// The account as it is on disk.
    pub(crate) fn account(&self) -> Account {
        let home = Home::open(self.home.path(), Randomness::system(), Fuse::none()).unwrap().unwrap();
        home.load().unwrap().unwrap().account.unwrap()
    }

    /// Under what the queuing service knows this device.
    pub(crate) fn qs_client_id(&self) -> String {
        let pseudonym = self.account().pseudonym.expect("it is registered");
        QsClientId::of(&pseudonym.client_record_key.verifying_key()).to_string()
    }

    /// Tells this device that there is something in its queue, if it listens.
    pub(crate) fn notify(&self) {
        self.service.deployment().queuing.listening.notify(&self.qs_client_id());
    }

    /// What friends could claim of this device.
    pub(crate) fn published(&self) -> (u64, Vec<Bytes>) {
        let id = self.qs_client_id();
        let client = &self.service.deployment().queuing.clients[&id];
        let packages = client.packages.iter().chain(&client.last_resort);
        (client.generation, packages.cloned().collect())
    }

    /// Takes `count` packages away.
    pub(crate) fn use_up(&self, count: usize) {
        let id = self.qs_client_id();
        self.service.deployment().queuing.clients.get_mut(&id).unwrap().packages.drain(..count);
    }

    /// Asserts that of every package that friends could claim the private part is on disk.
    pub(crate) fn assert_private_parts_are_kept(&self) {
        let published = self.published().1;
        let client = self.client();
        for package in published {
            let reference = AddPackage::from_bytes(&package.0).unwrap().reference();
            let private = client.private_key_package(&reference).unwrap().expect("it is kept");
            let bundle = private.bundle().unwrap();
            let leaf_key = bundle.key_package().leaf_node().signature_key().as_slice();
            assert_eq!(leaf_key, private.signature_key.verifying_key().as_bytes());
        }
    }

    /// Asserts that the storage key, and nothing else, opens the home when its device key is lost.
    pub(crate) async fn assert_storage_key_opens_the_home(&self) {
        let user_name = self.account().user_name;
        let status = self.client().status().unwrap();
        std::fs::remove_file(self.home.path().join("device-key")).unwrap();
        assert!(matches!(Client::open(self.options()), Err(Error::Home(HomeError::Locked(_)))));
        let unlocked = Client::unlock(self.options(), &user_name, password()).await.unwrap();
        assert_eq!(unlocked.status().unwrap(), status);
        drop(unlocked);
        assert_eq!(self.client().status().unwrap(), status);
    }

    /// What passwords were asked for.
    pub(crate) fn passwords_asked(&self) -> Vec<PasswordUse> {
        self.passwords_asked.lock().unwrap().clone()
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

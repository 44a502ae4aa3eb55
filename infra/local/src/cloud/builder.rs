//! What a local cloud is to be like.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;

use vestibule_backend::Clock;
use vestibule_protocol::randomness::Randomness;

use super::hosting::Hosting;
use crate::functions::{FUNCTIONS, FunctionEntry};
use crate::limits::Limits;
use crate::operator::Operator;
use crate::snapshot::Snapshot;
use crate::template::TEMPLATE;

/// Describes a local cloud. By default it keeps its state in memory, listens on any free port and is made of this
/// repository's template and functions.
pub struct LocalCloudBuilder {
    pub(super) settings: Settings,
    pub(super) provision: Provision,
}

/// What a local cloud is made of.
pub(super) struct Settings {
    pub(super) state_directory: Option<PathBuf>,
    pub(super) snapshot: Option<Snapshot>,
    pub(super) dynamodb_endpoint: Option<String>,
    pub(super) port: u16,
    pub(super) clock: Clock,
    pub(super) randomness: Randomness,
    pub(super) template: String,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) functions: Vec<FunctionEntry>,
    pub(super) limits: Limits,
    pub(super) remembered_calls: usize,
    pub(super) hosting: Hosting,
}

pub(super) type Provision = Box<dyn FnOnce(Operator) -> Provisioning + Send>;
type Provisioning = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Default for LocalCloudBuilder {
    fn default() -> Self {
        let settings = Settings {
            state_directory: None,
            snapshot: None,
            dynamodb_endpoint: None,
            port: 0,
            clock: Clock::system(),
            randomness: Randomness::system(),
            template: TEMPLATE.to_owned(),
            parameters: Vec::new(),
            functions: FUNCTIONS.to_vec(),
            limits: Limits::default(),
            remembered_calls: 10_000,
            hosting: Hosting::InThisProcess { starts_on_demand: false },
        };
        Self { settings, provision: Box::new(|_| Box::pin(async { Ok(()) })) }
    }
}

impl LocalCloudBuilder {
    /// Keeps the state in memory.
    pub fn memory(mut self) -> Self {
        self.settings.state_directory = None;
        self.settings.snapshot = None;
        self
    }

    /// Keeps the state in a directory, where the next local cloud finds it.
    pub fn state_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.settings.state_directory = Some(directory.into());
        self.settings.snapshot = None;
        self
    }

    /// Keeps the state in memory, and begins with what another local cloud held, whose tables and secrets must be those of
    /// this one's template. Nothing is provisioned then.
    pub fn snapshot(mut self, snapshot: Snapshot) -> Self {
        self.settings.state_directory = None;
        self.settings.dynamodb_endpoint = None;
        self.settings.snapshot = Some(snapshot);
        self
    }

    /// Uses the DynamoDB behind this URL instead of the embedded one, with the credentials of the process
    /// (`AWS_ACCESS_KEY_ID` and so on) if it has any.
    pub fn dynamodb_endpoint(mut self, url: impl Into<String>) -> Self {
        self.settings.dynamodb_endpoint = Some(url.into());
        self.settings.snapshot = None;
        self
    }

    /// Listens on this port of 127.0.0.1; 0 means any that is free.
    pub fn port(mut self, port: u16) -> Self {
        self.settings.port = port;
        self
    }

    /// The clock that the functions read.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.settings.clock = clock;
        self
    }

    /// Where the functions get their random bytes.
    pub fn randomness(mut self, randomness: Randomness) -> Self {
        self.settings.randomness = randomness;
        self
    }

    /// Gives a parameter of the template another value than its default.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.parameters.push((name.into(), value.into()));
        self
    }

    /// Uses another template than this repository's.
    pub fn template(mut self, template: impl Into<String>) -> Self {
        self.settings.template = template.into();
        self
    }

    /// Uses other functions than this repository's.
    pub fn functions(mut self, functions: impl Into<Vec<FunctionEntry>>) -> Self {
        self.settings.functions = functions.into();
        self
    }

    /// Has `provision` provide the deployment's keys when the tables are there and before the functions start. It
    /// runs at every start, so it must leave alone what a state directory already has.
    pub fn provision<Work>(mut self, provision: impl FnOnce(Operator) -> Work + Send + 'static) -> Self
    where
        Work: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.provision = Box::new(|operator| Box::pin(provision(operator)));
        self
    }

    /// Keeps to other limits than AWS's.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// Starts each function when its first event comes, as Lambda does, and not before. One that does not start answers
    /// nothing then; without this the local cloud does not start either.
    pub fn start_functions_on_demand(mut self) -> Self {
        if let Hosting::InThisProcess { starts_on_demand } = &mut self.settings.hosting {
            *starts_on_demand = true;
        }
        self
    }

    /// Runs each function as a process of its own, from its binary in `directory`, as Lambda does: it is started when an
    /// event comes for which no process is idle, speaks the Runtime API, and has an environment of its own. Its clock and
    /// randomness are then the system's.
    pub fn processes(mut self, directory: impl Into<PathBuf>) -> Self {
        self.settings.hosting = Hosting::Processes(directory.into());
        self
    }

    /// Hands events to a Lambda Invoke API, such as that of `cargo lambda watch` at `http://127.0.0.1:9000`. Whoever runs
    /// the functions behind it gives them [`LocalCloud::process_environment`](crate::LocalCloud::process_environment).
    pub fn invoke(mut self, url: impl Into<String>) -> Self {
        self.settings.hosting = Hosting::InvokeApi(url.into());
        self
    }

    /// How many calls [`LocalCloud::calls`](crate::LocalCloud::calls) remembers. A process that runs for days should remember none.
    pub fn remembered_calls(mut self, number: usize) -> Self {
        self.settings.remembered_calls = number;
        self
    }
}

impl fmt::Debug for LocalCloudBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { state_directory, port, parameters, .. } = &self.settings;
        let mut debug = formatter.debug_struct("LocalCloudBuilder");
        debug.field("state_directory", state_directory).field("port", port).field("parameters", parameters);
        debug.finish_non_exhaustive()
    }
}

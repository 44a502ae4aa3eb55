//! Where the functions run: in this process, in processes of their own, or behind an Invoke API.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;
use vestibule_backend::{Environment, EventHandler};

use super::LocalCloudError;
use super::builder::Settings;
use super::start::listen;
use crate::api_gateway::random_id;
use crate::arn::function_arn;
use crate::aws::connector::Services;
use crate::aws::endpoint::AwsEndpoint;
use crate::functions::{FunctionEntry, Starting};
use crate::invoke_api::InvokeApi;
use crate::lambda::Lambda;
use crate::lambda_service::{LambdaService, Program};
use crate::lifeline::Lifeline;
use crate::template::{Function, Template};
use crate::websocket_api::Urls;

/// How long a function may take on Lambda at most.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// Where the functions are to run.
pub(super) enum Hosting {
    /// As part of this process.
    InThisProcess {
        /// When their first event comes, and not before.
        starts_on_demand: bool,
    },
    /// As processes, from binaries in this directory.
    Processes(PathBuf),
    /// Wherever the Invoke API at this URL has them.
    InvokeApi(String),
}

/// What is there for the functions to run.
pub(super) struct Host<'a> {
    services: &'a Arc<Services>,
    urls: &'a Urls,
    invoke_api: Option<Arc<InvokeApi>>,
    /// What runs the functions' processes.
    pub(super) lambda_service: Option<Arc<LambdaService>>,
    /// What functions behind an Invoke API need to know.
    pub(super) process_environment: Option<BTreeMap<String, String>>,
}

impl Settings {
    /// Makes ready what the functions need where they are to run.
    pub(super) async fn host<'a>(
        &self,
        template: &Template,
        services: &'a Arc<Services>,
        urls: &'a Urls,
        lifeline: &Lifeline,
    ) -> Result<Host<'a>, LocalCloudError> {
        let host = Host { services, urls, invoke_api: None, lambda_service: None, process_environment: None };
        match &self.hosting {
            Hosting::InThisProcess { .. } => Ok(host),
            Hosting::InvokeApi(url) => {
                let invoke_api = InvokeApi::at(url).ok_or_else(|| LocalCloudError::NoInvokeApi(url.clone()))?;
                let environment = self.environment_of_processes(&template.functions, &host, lifeline).await?;
                let process_environment = Some(environment.shared(&template.functions, urls)?);
                Ok(Host { invoke_api: Some(invoke_api), process_environment, ..host })
            }
            Hosting::Processes(directory) => {
                let environment = self.environment_of_processes(&template.functions, &host, lifeline).await?;
                let program = |function| self.program(function, directory, &environment, urls);
                let programs = template.functions.iter().map(program).collect::<Result<_, _>>()?;
                let (segment, payload_bytes) = (random_id(), self.limits.payload_bytes);
                let service = Arc::new(LambdaService::new(programs, &segment, payload_bytes, lifeline.clone()));
                let (listener, port) = listen(0).await?;
                tokio::spawn(Arc::clone(&service).serve(listener));
                let invoke_api = InvokeApi::at(&format!("http://127.0.0.1:{port}/{segment}"));
                Ok(Host { invoke_api, lambda_service: Some(service), ..host })
            }
        }
    }

    /// Starts the endpoint that processes call.
    async fn environment_of_processes(
        &self,
        functions: &[Function],
        host: &Host<'_>,
        lifeline: &Lifeline,
    ) -> Result<ProcessEnvironment, LocalCloudError> {
        if self.dynamodb_endpoint.is_some() {
            return Err(LocalCloudError::DynamoDbEndpoint);
        }
        let endpoint = Arc::new(AwsEndpoint::new(host.services, functions));
        let (listener, port) = listen(0).await?;
        let variables = endpoint.variables(port).into();
        tokio::spawn(endpoint.serve(listener, lifeline.clone()));
        Ok(ProcessEnvironment { endpoint_url: format!("http://127.0.0.1:{port}"), variables })
    }

    fn program(
        &self,
        function: &Function,
        directory: &Path,
        environment: &ProcessEnvironment,
        urls: &Urls,
    ) -> Result<Program, LocalCloudError> {
        let name = function.name.clone();
        // As cargo leaves it, or as `cargo lambda build` does.
        let files = [
            directory.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)),
            directory.join(&name).join("bootstrap"),
        ];
        let Some(file) = files.into_iter().find(|file| file.is_file()) else {
            return Err(LocalCloudError::NoBinary { function: name, directory: directory.to_owned() });
        };
        let mut variables = self.variables(function, urls);
        variables.extend(environment.of_function(function, urls));
        variables.insert("AWS_LAMBDA_LOG_STREAM_NAME".to_owned(), "local".to_owned());
        variables.extend(std::env::var("VESTIBULE_LOG").map(|level| ("VESTIBULE_LOG".to_owned(), level)));
        let arn = function_arn(&function.logical_id);
        Ok(Program { name, file, variables, arn, timeout: self.timeout(function) })
    }

    /// How long a function may take.
    fn timeout(&self, function: &Function) -> Duration {
        function.timeout.min(self.limits.function_timeout)
    }
}

/// What processes are given beside what every function is.
struct ProcessEnvironment {
    endpoint_url: String,
    variables: BTreeMap<String, String>,
}

impl ProcessEnvironment {
    fn of_function(&self, function: &Function, urls: &Urls) -> BTreeMap<String, String> {
        let localized = |value: &String| urls.localized_for_process(value, &self.endpoint_url);
        let own = function.variables.iter().map(|(name, value)| (name.clone(), localized(value)));
        own.chain(self.variables.clone()).collect()
    }

    /// The variables of all functions in one.
    fn shared(&self, functions: &[Function], urls: &Urls) -> Result<BTreeMap<String, String>, LocalCloudError> {
        let mut shared = BTreeMap::from([("AWS_REGION".to_owned(), crate::arn::REGION.to_owned())]);
        for (name, value) in functions.iter().flat_map(|function| self.of_function(function, urls)) {
            if shared.get(&name).is_some_and(|other| *other != value) {
                return Err(LocalCloudError::AmbiguousVariable(name));
            }
            shared.insert(name, value);
        }
        Ok(shared)
    }
}

impl Host<'_> {
    /// A function, started if it runs in this process.
    pub(super) async fn lambda(
        &self,
        settings: &Settings,
        function: &Function,
        code: &FunctionEntry,
        lifeline: &Lifeline,
    ) -> Result<Lambda, LocalCloudError> {
        let (handler, timeout) = match &self.invoke_api {
            None => (self.start_here(settings, function, code).await?, settings.timeout(function)),
            // Whoever runs it knows when its time is up, and that it had to be started first.
            Some(invoke_api) => (invoke_api.handler(&function.name), LONGEST_TIMEOUT),
        };
        let (name, payload_bytes) = (function.name.clone(), settings.limits.payload_bytes);
        Ok(Lambda { name, handler, timeout, payload_bytes, lifeline: lifeline.clone() })
    }

    async fn start_here(
        &self,
        settings: &Settings,
        function: &Function,
        code: &FunctionEntry,
    ) -> Result<EventHandler, LocalCloudError> {
        let sdk_config = self.services.sdk_config_of_function(&function.name, function.policy.clone());
        let environment = Environment::new(settings.variables(function, self.urls), sdk_config, settings.clock.clone())
            .with_randomness(settings.randomness.clone());
        let failed = |source| LocalCloudError::Start { function: function.name.clone(), source };
        match settings.hosting {
            Hosting::InThisProcess { starts_on_demand: true } => Ok(on_demand(code.start, environment)),
            _ => (code.start)(environment).await.map_err(failed),
        }
    }
}

/// A handler that starts the function for the first event.
fn on_demand(start: fn(Environment) -> Starting, environment: Environment) -> EventHandler {
    let handler = Arc::new(OnceCell::new());
    Arc::new(move |event| {
        let (handler, environment) = (Arc::clone(&handler), environment.clone());
        Box::pin(async move {
            let handler: &EventHandler = handler.get_or_try_init(|| start(environment)).await?;
            handler(event).await
        })
    })
}

//! The local cloud as a whole.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use vestibule_backend::{Clock, StartError};

mod builder;
mod hosting;
mod start;

pub use self::builder::LocalCloudBuilder;
use crate::aws::capacity::Capacity;
use crate::aws::connector::Services;
use crate::aws::dynamodb::DynamoDb;
use crate::aws::secrets::Secrets;
use crate::fault::Fault;
use crate::http_api::{Delivery, HttpApi};
use crate::lambda::{InvocationError, Lambda};
use crate::lambda_service::{ColdStart, LambdaService};
use crate::lifeline::Life;
use crate::operator::Operator;
use crate::service_call::ServiceCall;
use crate::snapshot::Snapshot;
use crate::state_directory::StateDirectory;
use crate::template::TemplateError;
use crate::websocket_api::{Disturbance, Transfer};

/// A running local cloud: everything that `template.yaml` describes, in this process. Dropping it stops it.
#[derive(Debug)]
pub struct LocalCloud {
    url: String,
    process_environment: Option<BTreeMap<String, String>>,
    lambda_service: Option<Arc<LambdaService>>,
    operator: Operator,
    services: Arc<Services>,
    lambdas: Vec<Arc<Lambda>>,
    http_api: Arc<HttpApi>,
    websocket_urls: BTreeMap<String, String>,
    _state_directory: Option<StateDirectory>,
    _life: Life,
}

/// Why a local cloud does not start, or an operator's wish cannot be granted.
#[derive(Debug, thiserror::Error)]
pub enum LocalCloudError {
    /// The template is wrong or says something that is not understood.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The template names a function that has no code.
    #[error("template.yaml names the function {0}, but there is no code for it")]
    FunctionWithoutCode(String),
    /// There is code for a function that the template does not name.
    #[error("there is code for the function {0}, but template.yaml does not name it")]
    FunctionWithoutResource(String),
    /// A function does not start.
    #[error("the function {function} does not start: {source}")]
    Start {
        /// Its name.
        function: String,
        /// Why.
        source: StartError,
    },
    /// There is no binary of a function.
    #[error("there is no binary of the function {function} in {}; build it with cargo build --workspace --bins", directory.display())]
    NoBinary {
        /// Its name.
        function: String,
        /// Where it should be.
        directory: PathBuf,
    },
    /// Functions that are to share an environment cannot.
    #[error(
        "the variable {0} has another value in one function than in another, and processes share their environment"
    )]
    AmbiguousVariable(String),
    /// The URL of an Invoke API is none.
    #[error("{0} is not the URL of a Lambda Invoke API on this machine, such as http://127.0.0.1:9000")]
    NoInvokeApi(String),
    /// What is said of functions in processes goes with the embedded DynamoDB only.
    #[error("functions in processes of their own use the embedded DynamoDB; unset AWS_ENDPOINT_URL_DYNAMODB")]
    DynamoDbEndpoint,
    /// Another process listens on the port.
    #[error("port {0} is taken by another process")]
    PortTaken(u16),
    /// The port cannot be listened on.
    #[error("cannot listen on port {port}: {source}")]
    Listen {
        /// The port.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
    /// Another local cloud uses the state directory.
    #[error("the state directory {} is used by another local cloud", directory.display())]
    StateInUse {
        /// The directory.
        directory: PathBuf,
    },
    /// Something that is kept on disk cannot be read or written.
    #[error("cannot use {what}: {source}")]
    State {
        /// What it is.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// The database does not open.
    #[error("the database does not open: {0}")]
    Database(String),
    /// DynamoDB refuses something.
    #[error("DynamoDB, table {table}: {reason}")]
    DynamoDb {
        /// The table.
        table: String,
        /// What DynamoDB says.
        reason: String,
    },
    /// The keys of the deployment cannot be provided.
    #[error("cannot provision the deployment: {0}")]
    Provision(Box<dyn std::error::Error + Send + Sync>),
}

impl LocalCloud {
    /// Describes a local cloud to start.
    pub fn builder() -> LocalCloudBuilder {
        LocalCloudBuilder::default()
    }

    /// The base URL of the HTTP API, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// With which variables functions behind an Invoke API find this local cloud, the same for all. One of them is an access
    /// key. None if the functions are not behind an Invoke API.
    pub fn process_environment(&self) -> Option<&BTreeMap<String, String>> {
        self.process_environment.as_ref()
    }

    /// Where clients connect to the WebSocket API of this logical id, such as `ws://127.0.0.1:8787/rswebsocketapi/v1`.
    pub fn websocket_url(&self, logical_id: &str) -> Option<&str> {
        self.websocket_urls.get(logical_id).map(String::as_str)
    }

    /// The clock that the functions read.
    pub fn clock(&self) -> &Clock {
        self.operator.clock()
    }

    /// The one who may do everything.
    pub fn operator(&self) -> &Operator {
        &self.operator
    }

    /// The secrets.
    pub fn secrets(&self) -> &Secrets {
        self.operator.secrets()
    }

    /// All items of a table as DynamoDB JSON, sorted by their keys.
    ///
    /// # Errors
    /// As [`Operator::items`].
    pub async fn items(&self, table: &str) -> Result<Vec<Value>, LocalCloudError> {
        self.operator.items(table).await
    }

    /// Puts an item into a table as the operator, not as a function.
    ///
    /// # Errors
    /// As [`Operator::put_item`].
    pub async fn put_item(&self, table: &str, item: Value) -> Result<(), LocalCloudError> {
        self.operator.put_item(table, item).await
    }

    /// What is in the tables and secrets now, to begin other local clouds with. None if DynamoDB is behind an endpoint.
    ///
    /// # Errors
    /// [`LocalCloudError`] if there is no room for it in the directory for temporary files.
    pub fn snapshot(&self) -> Result<Option<Snapshot>, LocalCloudError> {
        match &self.services.dynamodb {
            DynamoDb::Embedded(database) => Snapshot::take(database, self.secrets().all()).map(Some),
            DynamoDb::Endpoint(_) => Ok(None),
        }
    }

    /// Hands an event to a function without an API in between.
    ///
    /// # Errors
    /// [`InvocationError`] if there is no such function or it gives no answer.
    pub async fn invoke(&self, function: &str, event: Value) -> Result<Value, InvocationError> {
        let lambda = self.lambdas.iter().find(|lambda| lambda.name == function);
        lambda.ok_or_else(|| InvocationError::UnknownFunction(function.to_owned()))?.invoke(event).await
    }

    /// Starts a process of a function for one event, and ends it when it has answered, to see how long that takes.
    ///
    /// # Errors
    /// [`InvocationError`] if there is no such function, it is not run as a process, or it gives no answer.
    pub async fn cold_start(&self, function: &str, event: Value) -> Result<ColdStart, InvocationError> {
        let unknown = || InvocationError::UnknownFunction(function.to_owned());
        let service = self.lambda_service.as_ref().ok_or_else(unknown)?;
        service.cold_start(function, &event).await.ok_or_else(unknown)?
    }

    /// The calls of functions to services that IAM let through, oldest first. Only the latest are remembered: see
    /// [`LocalCloudBuilder::remembered_calls`].
    pub fn calls(&self) -> Vec<ServiceCall> {
        self.services.watch.calls()
    }

    /// Begins to add up the capacity that functions consume of the embedded DynamoDB, and gives what was added up before.
    pub fn measure_capacity(&self) -> BTreeMap<String, Capacity> {
        self.services.watch.measure_capacity()
    }

    /// Starts the list of calls anew.
    pub fn forget_calls(&self) {
        self.services.watch.forget_calls();
    }

    /// What was said of each call that IAM did not let through.
    pub fn denied(&self) -> Vec<String> {
        self.services.watch.denials()
    }

    /// From now on, asks `plan` of each call that IAM let through whether a fault happens to it.
    pub fn inject(&self, plan: impl Fn(&ServiceCall) -> Option<Fault> + Send + Sync + 'static) {
        self.services.watch.set_plan(Some(Arc::new(plan)));
    }

    /// Ends the faults.
    pub fn clear_faults(&self) {
        self.services.watch.set_plan(None);
    }

    /// From now on, asks `plan` of everything that goes over a WebSocket connection whether something happens to it.
    pub fn disturb(&self, plan: impl Fn(&Transfer) -> Option<Disturbance> + Send + Sync + 'static) {
        self.services.connections.set_plan(Some(Arc::new(plan)));
    }

    /// Ends the disturbances.
    pub fn clear_disturbances(&self) {
        self.services.connections.set_plan(None);
    }

    /// How often events of the HTTP API are delivered from now on. For those of WebSocket APIs see [`Self::disturb`].
    pub fn set_delivery(&self, delivery: Delivery) {
        self.http_api.set_delivery(delivery);
    }
}

#[cfg(test)]
mod tests;

//! The seam: every SDK call of every function passes here.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_types::SdkConfig;
use aws_types::region::Region;
use serde_json::Value;

use super::answer::Answer;
use super::capacity;
use super::connections;
use super::dynamodb::{self, DynamoDb};
use super::secrets::Secrets;
use super::watch::Watch;
use crate::arn::{ACCOUNT_ID, REGION};
use crate::fault::Fault;
use crate::policy::{Decision, IamRequest, Policy};
use crate::service_call::{Service, ServiceCall, Unreadable, iam_requests};
use crate::template::Table;
use crate::websocket_api::Registry;

/// The services that the calls lead to, and what watches over them.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) dynamodb: DynamoDb,
    pub(crate) secrets: Arc<Secrets>,
    pub(crate) connections: Arc<Registry>,
    pub(crate) tables: Vec<Table>,
    pub(crate) credentials: Credentials,
    pub(crate) watch: Watch,
}

impl Services {
    /// The SDK configuration of a function, whose calls are checked, remembered and made to fail.
    pub(crate) fn sdk_config_of_function(self: &Arc<Self>, name: &str, policy: Policy) -> SdkConfig {
        let function = CallingFunction { name: name.to_owned(), policy, calls: AtomicU64::new(0) };
        self.sdk_config(Some(Arc::new(function)))
    }

    /// What answers the calls that a function makes from a process of its own.
    pub(crate) fn connector_of_function(self: &Arc<Self>, name: &str, policy: Policy) -> Connector {
        let function = CallingFunction { name: name.to_owned(), policy, calls: AtomicU64::new(0) };
        Connector { services: Arc::clone(self), function: Some(Arc::new(function)), endpoint: None }
    }

    /// The SDK configuration of whoever runs the local cloud and may do everything.
    pub(crate) fn sdk_config_of_operator(self: &Arc<Self>) -> SdkConfig {
        self.sdk_config(None)
    }

    fn sdk_config(self: &Arc<Self>, function: Option<Arc<CallingFunction>>) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(SharedCredentialsProvider::new(self.credentials.clone()))
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .http_client(SharedHttpClient::new(Client { services: Arc::clone(self), function }))
            .build()
    }
}

#[derive(Debug)]
struct Client {
    services: Arc<Services>,
    function: Option<Arc<CallingFunction>>,
}

impl HttpClient for Client {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let endpoint = match &self.services.dynamodb {
            DynamoDb::Embedded(_) => None,
            DynamoDb::Endpoint(client) => Some(client.http_connector(settings, components)),
        };
        let services = Arc::clone(&self.services);
        SharedHttpConnector::new(Connector { services, function: self.function.clone(), endpoint })
    }
}

/// Answers the calls of one caller.
#[derive(Clone)]
pub(crate) struct Connector {
    services: Arc<Services>,
    function: Option<Arc<CallingFunction>>,
    endpoint: Option<SharedHttpConnector>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.clone();
        HttpConnectorFuture::new(async move { connector.answer(request).await })
    }
}

impl Connector {
    /// What comes of a call. An error is a connection that breaks.
    pub(crate) async fn answer(&self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let (service, operation, body) = read(&request)?;
        let Some(function) = &self.function else {
            return self.forward(request, service, operation, body).await;
        };
        let call = match function.authorize(service, operation, body, &self.services.tables) {
            Ok(call) => call,
            Err(denial) => {
                self.services.watch.deny(denial.to_string());
                return denial.answer().into_response();
            }
        };
        let fault = self.services.watch.pass(&call);
        if let Some(answer) = fault.and_then(|fault| fault.answer_instead(&call)) {
            return answer.into_response();
        }
        let ServiceCall { service, operation, .. } = call;
        let is_measured = service == Service::DynamoDb && self.services.watch.measures_capacity();
        let body = if is_measured { capacity::asking(call.body) } else { call.body };
        let response = self.forward(request, service, operation.clone(), body).await?;
        if is_measured {
            self.services.watch.add_capacity(&function.name, &operation, response.body().bytes().unwrap_or_default());
        }
        fault.and_then(Fault::error_afterwards).map_or(Ok(response), Err)
    }

    async fn forward(
        &self,
        request: HttpRequest,
        service: Service,
        operation: String,
        body: Value,
    ) -> Result<HttpResponse, ConnectorError> {
        match (service, &self.services.dynamodb, &self.endpoint) {
            (Service::ApiGatewayManagement, ..) => {
                connections::answer(&self.services.connections, &operation, &body).into_response()
            }
            (Service::SecretsManager, ..) => self.services.secrets.answer(&operation, &body).into_response(),
            (Service::DynamoDb, DynamoDb::Embedded(database), _) => {
                dynamodb::answer(database.clone(), operation, body).await.into_response()
            }
            (Service::DynamoDb, DynamoDb::Endpoint(_), Some(endpoint)) => endpoint.call(request).await,
            (Service::DynamoDb, DynamoDb::Endpoint(_), None) => Err(unusable("there is no connection to DynamoDB")),
        }
    }
}

fn read(request: &HttpRequest) -> Result<(Service, String, Value), ConnectorError> {
    let body = request.body().bytes().ok_or_else(|| unusable("a streamed body"))?;
    if let Some((service, operation)) = request.headers().get("x-amz-target").and_then(Service::of_target) {
        let body = serde_json::from_slice(body).map_err(|error| ConnectorError::user(error.into()))?;
        return Ok((service, operation.to_owned(), body));
    }
    let uri = request.uri().parse().map_err(|_| unusable("the URL is none"))?;
    let call = connections::read(request.method(), &uri, body);
    let (operation, call) = call.ok_or_else(|| unusable("the local cloud has no such service"))?;
    Ok((Service::ApiGatewayManagement, operation.to_owned(), call))
}

fn unusable(reason: &str) -> ConnectorError {
    ConnectorError::user(reason.into())
}

/// A function, to IAM.
#[derive(Debug)]
struct CallingFunction {
    name: String,
    policy: Policy,
    calls: AtomicU64,
}

impl CallingFunction {
    fn authorize(
        &self,
        service: Service,
        operation: String,
        body: Value,
        tables: &[Table],
    ) -> Result<ServiceCall, Denial> {
        let denial = |reason| Denial { function: self.name.clone(), service, reason };
        let iam_requests = iam_requests(service, &operation, &body, tables)
            .map_err(|unreadable| denial(DenialReason::Unreadable(operation.clone(), unreadable)))?;
        for request in &iam_requests {
            let decision = self.policy.decide(request);
            if decision != Decision::Allowed {
                return Err(denial(DenialReason::Policy(request.clone(), decision)));
            }
        }
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(ServiceCall { function: self.name.clone(), number, service, operation, body, iam_requests })
    }
}

/// Why a call is not let through.
struct Denial {
    function: String,
    service: Service,
    reason: DenialReason,
}

enum DenialReason {
    Policy(IamRequest, Decision),
    Unreadable(String, Unreadable),
}

impl Denial {
    fn answer(&self) -> Answer {
        let role = format!("arn:aws:sts::{ACCOUNT_ID}:assumed-role/{0}/{0}", self.function);
        let message = match &self.reason {
            DenialReason::Policy(IamRequest { action, resource, .. }, decision) => {
                let because = match decision {
                    Decision::ExplicitlyDenied => "with an explicit deny in an identity-based policy".to_owned(),
                    _ => format!("because no identity-based policy allows the {action} action"),
                };
                format!("User: {role} is not authorized to perform: {action} on resource: {resource} {because}")
            }
            DenialReason::Unreadable(..) => self.to_string(),
        };
        let status = if self.service == Service::ApiGatewayManagement { 403 } else { 400 };
        Answer::error(status, "com.amazon.coral.service#AccessDeniedException", &message)
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let function = &self.function;
        match &self.reason {
            DenialReason::Policy(IamRequest { action, resource, leading_keys }, decision) => {
                let resource = match self.service {
                    // API, stage and method, but not the connection.
                    Service::ApiGatewayManagement => {
                        resource.rsplit(':').next().and_then(|path| path.split("/@connections/").next())
                    }
                    Service::DynamoDb | Service::SecretsManager => resource.rsplit(['/', ':']).next(),
                }
                .unwrap_or(resource);
                let because = match decision {
                    Decision::ExplicitlyDenied => "a statement in template.yaml denies it",
                    _ => "no statement in template.yaml allows it",
                };
                write!(formatter, "function {function} may not call {action} on {resource}: {because}")?;
                if leading_keys.is_empty() {
                    return Ok(());
                }
                let kinds: Vec<String> = leading_keys.iter().map(|key| kind_of_key(key)).collect();
                write!(formatter, " (leading keys: {})", kinds.join(", "))
            }
            DenialReason::Unreadable(operation, Unreadable(reason)) => {
                write!(formatter, "function {function} may not call {operation} in the local cloud: {reason}")
            }
        }
    }
}

/// A key without what identifies a person in it: `USER#…`.
fn kind_of_key(key: &str) -> String {
    let is_constant = || key.chars().all(|symbol| symbol.is_ascii_uppercase() || symbol == '_');
    match key.split_once('#') {
        Some((kind, _)) => format!("{kind}#…"),
        None if is_constant() => key.to_owned(),
        None => "…".to_owned(),
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Connector").field("function", &self.function).finish_non_exhaustive()
    }
}

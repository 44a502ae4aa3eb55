//! How a local cloud starts.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use aws_credential_types::Credentials;
use tokio::net::TcpListener;
use vestibule_backend::Environment;

use super::builder::Settings;
use super::{LocalCloud, LocalCloudBuilder, LocalCloudError};
use crate::arn::REGION;
use crate::aws::connector::Services;
use crate::aws::dynamodb::DynamoDb;
use crate::aws::secrets::Secrets;
use crate::aws::watch::Watch;
use crate::functions::FunctionEntry;
use crate::http_api::HttpApi;
use crate::http_server;
use crate::lifeline::Life;
use crate::operator::Operator;
use crate::private_file;
use crate::snapshot::Snapshot;
use crate::state_directory::StateDirectory;
use crate::tables::provide_table;
use crate::template::{Function, Template};
use crate::websocket_api::{Registry, Urls, WebSocketApi};

const ENDPOINT_VARIABLE: &str = "AWS_ENDPOINT_URL_DYNAMODB";

impl LocalCloudBuilder {
    /// Starts it. It takes requests when this returns.
    ///
    /// # Errors
    /// [`LocalCloudError`] says what stands in the way.
    pub async fn start(self) -> Result<LocalCloud, LocalCloudError> {
        let Self { settings, provision } = self;
        let template = Arc::new(Template::parse(&settings.template, &settings.parameters)?);
        let functions = with_code(&template.functions, &settings.functions)?;
        let state_directory = settings.state_directory.as_deref().map(StateDirectory::open).transpose()?;
        // The port is taken early, to fail early, but nobody is let in before everything stands.
        let (listener, port) = listen(settings.port).await?;

        let services = Arc::new(settings.services(&template, state_directory.as_ref())?);
        let operator = settings.operator(&template, &services);
        if settings.snapshot.is_none() {
            for table in &template.tables {
                provide_table(&operator.dynamodb, table).await?;
            }
            provision(operator.clone()).await.map_err(LocalCloudError::Provision)?;
        }

        let (life, lifeline) = Life::new();
        let authority = format!("{}:{port}", Ipv4Addr::LOCALHOST);
        let urls = Urls::new(&template.websocket_apis, &authority);
        let host = settings.host(&template, &services, &urls, &lifeline).await?;
        let mut lambdas = Vec::new();
        let mut lambdas_by_id = BTreeMap::new();
        let mut routes = Vec::new();
        for (function, code) in functions {
            let lambda = Arc::new(host.lambda(&settings, function, code, &lifeline).await?);
            routes.extend(function.routes.iter().map(|route| (route.clone(), Arc::clone(&lambda))));
            lambdas_by_id.insert(function.logical_id.as_str(), Arc::clone(&lambda));
            lambdas.push(lambda);
        }
        let websocket_apis = template.websocket_apis.iter().map(|description| {
            // The template has made sure that each function is there.
            let lambda = |id: &String| lambdas_by_id.get(id.as_str()).cloned();
            let routes = description.routes.iter().filter_map(|(key, function)| Some((*key, lambda(function)?)));
            Arc::new(WebSocketApi {
                description: description.clone(),
                routes: routes.collect(),
                registry: Arc::clone(&services.connections),
                limits: settings.limits.clone(),
                clock: settings.clock.clone(),
                port,
                lifeline: lifeline.clone(),
            })
        });
        let websocket_apis = websocket_apis.collect();
        let http_api = Arc::new(HttpApi::new(routes, websocket_apis, settings.limits, settings.clock, port));
        tokio::spawn(Arc::clone(&http_api).serve(listener, lifeline));
        Ok(LocalCloud {
            url: format!("http://{authority}"),
            process_environment: host.process_environment,
            lambda_service: host.lambda_service,
            websocket_urls: urls.by_logical_id,
            operator,
            services,
            lambdas,
            http_api,
            _state_directory: state_directory,
            _life: life,
        })
    }
}

/// The functions of the template with their code; each must have the other.
fn with_code<'a>(
    functions: &'a [Function],
    entries: &'a [FunctionEntry],
) -> Result<Vec<(&'a Function, &'a FunctionEntry)>, LocalCloudError> {
    let is_named = |entry: &&FunctionEntry| functions.iter().any(|function| function.name == entry.name);
    if let Some(entry) = entries.iter().find(|entry| !is_named(entry)) {
        return Err(LocalCloudError::FunctionWithoutResource(entry.name.to_owned()));
    }
    let code = |function: &'a Function| entries.iter().find(|entry| entry.name == function.name);
    let without_code = |function: &Function| LocalCloudError::FunctionWithoutCode(function.name.clone());
    functions.iter().map(|function| Ok((function, code(function).ok_or_else(|| without_code(function))?))).collect()
}

pub(super) async fn listen(port: u16) -> Result<(TcpListener, u16), LocalCloudError> {
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => LocalCloudError::PortTaken(port),
        _ => LocalCloudError::Listen { port, source },
    };
    http_server::listen(port).await.map_err(refused)
}

impl Settings {
    fn services(&self, template: &Template, directory: Option<&StateDirectory>) -> Result<Services, LocalCloudError> {
        Ok(Services {
            dynamodb: self.dynamodb(directory)?,
            secrets: Arc::new(self.secrets(template, directory)?),
            connections: Arc::new(Registry::new(template.websocket_apis.clone(), self.limits.websocket.message_bytes)),
            tables: template.tables.clone(),
            credentials: self.credentials(),
            watch: Watch::new(self.remembered_calls),
        })
    }

    fn dynamodb(&self, directory: Option<&StateDirectory>) -> Result<DynamoDb, LocalCloudError> {
        if self.dynamodb_endpoint.is_some() {
            return Ok(DynamoDb::behind_endpoint());
        }
        if let Some(snapshot) = &self.snapshot {
            return snapshot.database().map(DynamoDb::Embedded);
        }
        let Some(directory) = directory else {
            return DynamoDb::in_memory().map_err(|error| LocalCloudError::Database(error.to_string()));
        };
        let file = directory.database();
        // SQLite gives its other files the permissions of this one.
        private_file::open(&file).map_err(|source| unusable("the database", source))?;
        DynamoDb::in_file(&file).map_err(|error| LocalCloudError::Database(error.to_string()))
    }

    fn secrets(&self, template: &Template, directory: Option<&StateDirectory>) -> Result<Secrets, LocalCloudError> {
        let declared = template.secrets.clone();
        let Some(directory) = directory else {
            let documents = self.snapshot.as_ref().map(Snapshot::secrets).unwrap_or_default();
            return Ok(Secrets::in_memory(declared, documents));
        };
        Secrets::in_file(declared, &directory.secrets()).map_err(|source| unusable("the secrets", source))
    }

    /// An endpoint may ask for real credentials. Everything else takes whatever the SDK signs with.
    fn credentials(&self) -> Credentials {
        let variable = |name| std::env::var(name).ok().filter(|_| self.dynamodb_endpoint.is_some());
        match (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
            (Some(id), Some(key)) => Credentials::new(id, key, variable("AWS_SESSION_TOKEN"), None, "environment"),
            _ => Credentials::new("local", "local", None, None, "vestibule-local"),
        }
    }

    fn operator(&self, template: &Arc<Template>, services: &Arc<Services>) -> Operator {
        let environment =
            Environment::new(self.endpoint_variable().collect(), services.sdk_config_of_operator(), self.clock.clone());
        Operator {
            template: Arc::clone(template),
            dynamodb: environment.dynamodb(),
            environment,
            secrets: Arc::clone(&services.secrets),
            state_directory: self.state_directory.clone(),
            clock: self.clock.clone(),
        }
    }

    /// The variables of the template and those that Lambda adds.
    pub(super) fn variables(&self, function: &Function, urls: &Urls) -> BTreeMap<String, String> {
        let by_lambda = [
            ("AWS_DEFAULT_REGION", REGION.to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory_mb.to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", function.name.clone()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", function.name)),
            ("AWS_REGION", REGION.to_owned()),
            ("TZ", ":UTC".to_owned()),
            ("_HANDLER", "bootstrap".to_owned()),
        ];
        let by_lambda = by_lambda.map(|(name, value)| (name.to_owned(), value));
        let by_template = function.variables.iter().map(|(name, value)| (name.clone(), urls.localized(value)));
        by_template.chain(by_lambda).chain(self.endpoint_variable()).collect()
    }

    fn endpoint_variable(&self) -> impl Iterator<Item = (String, String)> {
        self.dynamodb_endpoint.iter().map(|url| (ENDPOINT_VARIABLE.to_owned(), url.clone()))
    }
}

fn unusable(what: &str, source: io::Error) -> LocalCloudError {
    LocalCloudError::State { what: what.to_owned(), source }
}

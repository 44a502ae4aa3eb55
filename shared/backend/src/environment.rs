//! Where a function runs: its variables, its AWS clients, its clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_dynamodb::config::retry::RetryPartition;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::{
    HttpConnector as _, HttpConnectorSettings, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use aws_types::app_name::AppName;
use aws_types::region::Region;

use vestibule_protocol::name::{Domain, NameError};
use vestibule_protocol::randomness::Randomness;

use crate::Clock;

/// Variables that Lambda sets and its runtime panics without. A function says so in a line of its own.
const REQUIRED_BY_RUNTIME: [&str; 4] = [
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
];
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a function cannot start. It then answers nothing: a function without its keys or tables fails closed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An environment variable that `template.yaml` should set is missing.
    #[error("the environment variable {0} is not set")]
    MissingVariable(String),
    /// An environment variable has a value that makes no sense.
    #[error("the environment variable {variable} is unusable: {reason}")]
    UnusableVariable {
        /// Its name.
        variable: String,
        /// What is wrong with its value (never the value).
        reason: String,
    },
    /// A secret document could not be read.
    #[error("the secret named by {variable} could not be read: {reason}")]
    UnreadableSecret {
        /// The variable that holds the secret's ARN.
        variable: String,
        /// What went wrong (never the document).
        reason: String,
    },
}

/// Everything a function knows of where it runs. On Lambda it comes from the process; the local cloud makes one for
/// each function, whose SDK calls it can tell apart, forbid, count and break.
#[derive(Clone, Debug)]
pub struct Environment {
    variables: Arc<BTreeMap<String, String>>,
    sdk_config: SdkConfig,
    retry_quota: RetryPartition,
    clock: Clock,
    randomness: Randomness,
    /// What all the clients share, on Lambda.
    connector: Option<SharedHttpConnector>,
}

impl Environment {
    /// An environment with the given variables, SDK configuration (region, credentials, HTTP client) and clock.
    /// Retries and timeouts are set here, for every environment alike, and the function's name as the SDK's `app_name`: in
    /// each call's user agent CloudTrail and the local cloud see who calls.
    pub fn new(variables: BTreeMap<String, String>, sdk_config: SdkConfig, clock: Clock) -> Self {
        // DynamoDB answers in milliseconds: waiting a second before the first retry, the SDK's default, would spend
        // the caller's patience on nothing. Calls that are not idempotent switch retries off where they are made.
        let retries = RetryConfig::standard()
            .with_max_attempts(3)
            .with_initial_backoff(Duration::from_millis(25))
            .with_max_backoff(Duration::from_millis(400));
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(Duration::from_secs(2))
            .operation_timeout(Duration::from_secs(6))
            .build();
        let mut sdk_config = sdk_config.into_builder().retry_config(retries).timeout_config(timeouts);
        sdk_config.set_app_name(variables.get("AWS_LAMBDA_FUNCTION_NAME").and_then(|name| app_name(name)));
        let sdk_config = sdk_config.build();
        // By default all clients of a process share one quota of retries. On Lambda a process is one function; where
        // it is many, a failing one must not use up the retries of the others.
        let retry_quota = RetryPartition::custom("environment").build();
        let randomness = Randomness::system();
        Self { variables: Arc::new(variables), sdk_config, retry_quota, clock, randomness, connector: None }
    }

    /// The same environment with other randomness than the system's.
    pub fn with_randomness(self, randomness: Randomness) -> Self {
        Self { randomness, ..self }
    }

    /// The environment of a Lambda process. Lambda hands region and credentials over as variables and replaces the
    /// process before they expire, so no provider chain is needed.
    ///
    /// # Errors
    /// [`StartError::MissingVariable`] outside Lambda.
    pub fn of_lambda() -> Result<Self, StartError> {
        let variables: BTreeMap<String, String> = std::env::vars().collect();
        if let Some(missing) = REQUIRED_BY_RUNTIME.into_iter().find(|name| !variables.contains_key(*name)) {
            return Err(StartError::MissingVariable(missing.to_owned()));
        }
        Self::of_variables(variables)
    }

    /// The environment of an operator's tool, whose region and credentials stand in the same variables as on Lambda.
    ///
    /// # Errors
    /// [`StartError::MissingVariable`] if they do not.
    pub fn of_operator() -> Result<Self, StartError> {
        Self::of_variables(std::env::vars().collect())
    }

    fn of_variables(variables: BTreeMap<String, String>) -> Result<Self, StartError> {
        let variable =
            |name: &str| variables.get(name).cloned().ok_or_else(|| StartError::MissingVariable(name.to_owned()));
        let credentials = Credentials::new(
            variable("AWS_ACCESS_KEY_ID")?,
            variable("AWS_SECRET_ACCESS_KEY")?,
            variables.get("AWS_SESSION_TOKEN").cloned(),
            None,
            "lambda",
        );
        let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build();
        let connector = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::Ring));
        let connector = SharedHttpConnector::new(connector.connector_settings(settings).build());
        let shared = connector.clone();
        let sdk_config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(variable("AWS_REGION")?))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
            .http_client(http_client_fn(move |_, _| shared.clone()))
            .build();
        Ok(Self { connector: Some(connector), ..Self::new(variables, sdk_config, Clock::system()) })
    }

    /// Opens a connection to DynamoDB, for which the first request would otherwise wait: asks whether DynamoDB is well, which
    /// takes no permission. If that fails, the first request finds out.
    pub(crate) async fn connect_to_dynamodb(&self) {
        let region = self.sdk_config.region().map(Region::as_ref).unwrap_or_default();
        let url = self.endpoint_url("DYNAMODB").unwrap_or_else(|| dynamodb_url(region));
        let request = HttpRequest::get(format!("{}/ping", url.trim_end_matches('/')));
        if let (Some(connector), Ok(request)) = (&self.connector, request) {
            // Only when its answer was read to the end is a connection used again.
            let ping = async {
                let answer = connector.call(request).await.ok()?;
                ByteStream::new(answer.into_body()).collect().await.ok()
            };
            let _ = tokio::time::timeout(CONNECT_TIMEOUT, ping).await;
        }
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The source of random bytes.
    pub fn randomness(&self) -> &Randomness {
        &self.randomness
    }

    /// The value of an environment variable.
    ///
    /// # Errors
    /// [`StartError::MissingVariable`] if it is not set.
    pub fn variable(&self, name: &str) -> Result<&str, StartError> {
        self.variables.get(name).map(String::as_str).ok_or_else(|| StartError::MissingVariable(name.to_owned()))
    }

    /// The value of an environment variable that is a number of at least 1.
    ///
    /// # Errors
    /// [`StartError`] if it is not set or is no such number.
    pub fn positive_number(&self, name: &str) -> Result<u64, StartError> {
        let number = self.variable(name)?.parse().ok().filter(|number| *number > 0);
        number.ok_or_else(|| unusable(name, "it is not a number of at least 1"))
    }

    /// The deployment's domain, from the variable `DOMAIN`.
    ///
    /// # Errors
    /// [`StartError`] if it is not set or is no domain.
    pub fn domain(&self) -> Result<Domain, StartError> {
        self.variable("DOMAIN")?.parse().map_err(|error: NameError| unusable("DOMAIN", &error.to_string()))
    }

    /// A DynamoDB client; `AWS_ENDPOINT_URL_DYNAMODB` is honoured as the SDKs define it.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let mut config = aws_sdk_dynamodb::config::Builder::from(&self.sdk_config);
        config.set_endpoint_url(self.endpoint_url("DYNAMODB")).set_retry_partition(Some(self.retry_quota.clone()));
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    /// A Secrets Manager client; `AWS_ENDPOINT_URL_SECRETS_MANAGER` is honoured as the SDKs define it.
    pub fn secrets_manager(&self) -> aws_sdk_secretsmanager::Client {
        let mut config = aws_sdk_secretsmanager::config::Builder::from(&self.sdk_config);
        let endpoint_url = self.endpoint_url("SECRETS_MANAGER");
        config.set_endpoint_url(endpoint_url).set_retry_partition(Some(self.retry_quota.clone()));
        aws_sdk_secretsmanager::Client::from_conf(config.build())
    }

    /// A client for the connections of the WebSocket API whose `@connections` API is at the URL that `variable` holds.
    pub(crate) fn connections(&self, variable: &str) -> Result<aws_sdk_apigatewaymanagement::Client, StartError> {
        let url = self.variable(variable)?;
        if !url.starts_with("https://") && !is_on_this_machine(url) {
            return Err(unusable(variable, "it is no https:// URL"));
        }
        let mut config = aws_sdk_apigatewaymanagement::config::Builder::from(&self.sdk_config);
        config.set_endpoint_url(Some(url.to_owned())).set_retry_partition(Some(self.retry_quota.clone()));
        Ok(aws_sdk_apigatewaymanagement::Client::from_conf(config.build()))
    }

    fn endpoint_url(&self, service: &str) -> Option<String> {
        let of_service = self.variables.get(&format!("AWS_ENDPOINT_URL_{service}"));
        of_service.or_else(|| self.variables.get("AWS_ENDPOINT_URL")).cloned()
    }
}

/// Where DynamoDB is in a region. China's regions have a domain of their own.
fn dynamodb_url(region: &str) -> String {
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://dynamodb.{region}.{domain}")
}

/// The name of a function as the SDK takes it, which warns of names with more than 50 characters. Lambda's have up to 64.
fn app_name(function: &str) -> Option<AppName> {
    let name: String = function.chars().take(50).collect();
    AppName::new(name).ok()
}

/// Whether a URL leads to a port of 127.0.0.1, where the local cloud is. Nobody can listen in between.
fn is_on_this_machine(url: &str) -> bool {
    let port = url.strip_prefix("http://127.0.0.1:").and_then(|rest| rest.split('/').next());
    port.is_some_and(|port| port.parse::<u16>().is_ok())
}

fn unusable(variable: &str, reason: &str) -> StartError {
    StartError::UnusableVariable { variable: variable.to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
pub(crate) mod tests {
    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers every request of the first connection with `{}`, and gives the request lines when that is closed.
    async fn serve_one_connection(listener: TcpListener) -> Vec<String> {
        let mut stream = BufReader::new(listener.accept().await.unwrap().0);
        let mut requests = Vec::new();
        let (mut line, mut length) = (String::new(), 0);
        while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            } else if line.contains("HTTP/1.1") {
                requests.push(line.trim().to_owned());
            } else if line == "\r\n" {
                stream.read_exact(&mut vec![0; std::mem::take(&mut length)]).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
            }
            line.clear();
        }
        requests
    }

    pub(crate) fn environment_at(dynamodb_url: &str) -> Environment {
        let variables = [
            ("AWS_ACCESS_KEY_ID", "id"),
            ("AWS_SECRET_ACCESS_KEY", "key"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_url),
        ];
        Environment::of_variables(variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into()).unwrap()
    }

    #[tokio::test]
    async fn the_first_call_of_dynamodb_finds_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(serve_one_connection(listener));
        let environment = environment_at(&url);
        environment.connect_to_dynamodb().await;
        let client = environment.dynamodb();
        let key = aws_sdk_dynamodb::types::AttributeValue::S("a".to_owned());
        client.get_item().table_name("table").key("pk", key).send().await.unwrap();
        drop((client, environment));
        assert_eq!(server.await.unwrap(), ["GET /ping HTTP/1.1", "POST / HTTP/1.1"]);
    }

    #[tokio::test]
    async fn a_dynamodb_that_never_answers_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let environment = environment_at(&format!("http://{}", listener.local_addr().unwrap()));
        let silent = async {
            let _connection = listener.accept().await.unwrap();
            std::future::pending::<()>().await
        };
        let connecting = tokio::time::timeout(10 * CONNECT_TIMEOUT, environment.connect_to_dynamodb());
        tokio::select! {
            () = silent => unreachable!("it is silent for ever"),
            connected = connecting => connected.unwrap(),
        }
    }

    /// The SDK's own rules are the measure.
    #[tokio::test]
    async fn the_connection_that_is_opened_is_the_one_that_the_sdk_uses() {
        use aws_sdk_dynamodb::config::endpoint::{DefaultResolver, Params, ResolveEndpoint as _};

        for region in ["us-east-1", "eu-central-1", "us-gov-west-1", "cn-north-1", "cn-northwest-1"] {
            let params = Params::builder().region(region).build().unwrap();
            let endpoint = DefaultResolver::new().resolve_endpoint(&params).await.unwrap();
            assert_eq!(dynamodb_url(region), endpoint.url());
        }
    }

    #[test]
    fn a_function_name_that_is_too_long_for_the_sdk_is_cut() {
        assert_eq!(app_name("as-get-credentials").unwrap().as_ref(), "as-get-credentials");
        assert_eq!(app_name(&"f".repeat(64)).unwrap().as_ref(), "f".repeat(50));
        assert!(app_name("").is_none());
    }

    #[test]
    fn only_a_port_of_this_machine_is_called_without_tls() {
        assert!(is_on_this_machine("http://127.0.0.1:8788/rswebsocketapi/v1"));
        for url in [
            "http://127.0.0.1.example.org:80/v1",
            "http://127.0.0.1:80@example.org/v1",
            "http://127.0.0.1:/v1",
            "http://127.0.0.1/v1",
            "http://example.org:80/v1",
            "ftp://127.0.0.1:80/v1",
        ] {
            assert!(!is_on_this_machine(url), "{url}");
        }
    }
}

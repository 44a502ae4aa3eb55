//! `cargo dev`: the local cloud on a port of its own, until Ctrl-C.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use rand::rngs::OsRng;
use tracing_subscriber::prelude::*;
use vestibule_backend::{log_filter, log_level};
use vestibule_local::{LocalCloud, LocalCloudError, environment_file};

/// Runs Vestibule's local cloud: every function, table and secret of template.yaml behind an HTTP API.
///
/// The log goes to stderr; VESTIBULE_LOG says from which level on (error, warn, info, debug, trace), by default info.
/// If AWS_ENDPOINT_URL_DYNAMODB is set, the DynamoDB behind it is used instead of the embedded one.
#[derive(Parser)]
#[command(bin_name = "cargo dev --", version)]
struct Arguments {
    /// Where to keep tables and secrets.
    #[arg(long, value_name = "DIRECTORY", default_value = ".vestibule")]
    state: PathBuf,
    /// Keep tables and secrets in memory only.
    #[arg(long, conflicts_with = "state")]
    memory: bool,
    /// The port on 127.0.0.1; 0 means any that is free.
    #[arg(long, default_value_t = 8787)]
    port: u16,
    /// Run each function as a process of its own, as Lambda does, from its binary in this directory, such as
    /// target/debug after `cargo build --workspace --bins`.
    #[arg(long, value_name = "DIRECTORY", conflicts_with = "invoke")]
    functions: Option<PathBuf>,
    /// Hand events to the Lambda Invoke API at this URL of this machine, such as http://127.0.0.1:9000, where `cargo lambda
    /// watch` runs the functions.
    #[arg(long, value_name = "URL")]
    invoke: Option<String>,
    /// Where to write the environment of these functions, for `cargo lambda watch --env-file`. It is printed otherwise.
    #[arg(long, value_name = "FILE", requires = "invoke")]
    environment: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log_to_stderr();
    match run(arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}{}", advice(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn advice(error: &(dyn std::error::Error + 'static)) -> &'static str {
    match error.downcast_ref() {
        Some(LocalCloudError::PortTaken(_)) => "; stop it, or choose another port with --port",
        Some(LocalCloudError::StateInUse { .. }) => "; stop it, or choose another directory with --state",
        _ => "",
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    // A signal ends this orderly from the beginning, even before it is ready.
    tokio::select! {
        result = serve(arguments) => result,
        signal = end_of_process() => Ok(signal?),
    }
}

async fn serve(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    // Nobody asks a process that runs for days what it did.
    let mut builder = LocalCloud::builder()
        .port(arguments.port)
        .remembered_calls(0)
        .provision(|operator| async move { vestibule_local::provision(&operator, &mut OsRng).await });
    if !arguments.memory {
        builder = builder.state_directory(arguments.state);
    }
    if let Ok(url) = std::env::var("AWS_ENDPOINT_URL_DYNAMODB") {
        builder = builder.dynamodb_endpoint(url);
    }
    if let Some(directory) = arguments.functions {
        builder = builder.processes(directory);
    }
    if let Some(url) = arguments.invoke {
        builder = builder.invoke(url);
    }
    let cloud = builder.start().await?;
    writeln!(io::stdout(), "listening on {}", cloud.url())?;
    if let Some(environment) = cloud.process_environment() {
        tell_environment(environment, arguments.environment.as_deref())?;
    }
    std::future::pending().await
}

fn tell_environment(environment: &BTreeMap<String, String>, file: Option<&Path>) -> io::Result<()> {
    let Some(file) = file else {
        return write!(io::stdout(), "{}", environment_file::text(environment));
    };
    environment_file::write(file, environment)?;
    // Otherwise it would listen on all addresses of this machine.
    let command = "cargo lambda watch --invoke-address 127.0.0.1";
    writeln!(io::stdout(), "to run the functions: {command} --env-file {}", file.display())
}

/// Comes back when Ctrl-C is pressed or the process is told to end.
async fn end_of_process() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};

        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupt = tokio::signal::ctrl_c() => interrupt,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

fn log_to_stderr() {
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines.with_filter(log_filter(log_level()))).init();
}

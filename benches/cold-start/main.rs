//! `cargo run --release --bin bench-cold-start`: how long each function's process takes from its start until it asks for its
//! first event, and until it has answered it, beside a bare `lambda_http` binary in the same run.
//!
//! Build the binaries first, as they are deployed:
//!
//! ```console
//! $ sam build
//! $ cargo build --release --manifest-path benches/cold-start/hello/Cargo.toml --target-dir target
//! ```
//!
//! The binaries are those in `target/lambda`, or in the directory that is its first argument; the functions are all, or those that are
//! its further arguments. The events are refused before any work, but for the endpoints that have nothing to refuse: they answer with
//! 200.

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::rngs::OsRng;
use serde_json::{Value, json};
use vestibule_local::template::{TEMPLATE, Template};
use vestibule_local::{FunctionEntry, LocalCloud};
use vestibule_protocol::endpoint::{Description, ENDPOINTS};

type Failure = Box<dyn Error + Send + Sync>;

/// How often each is started.
const STARTS: usize = 15;

const HELLO: &str = "bench-hello";
const HELLO_TEMPLATE: &str = "
Resources:
  Api: {Type: AWS::Serverless::HttpApi, Properties: {StageName: $default}}
  Hello:
    Type: AWS::Serverless::Function
    Metadata: {BuildProperties: {Binary: bench-hello}}
    Properties:
      Events:
        Get: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: GET, Path: /}}
";

/// What is measured of a function.
struct Row {
    function: String,
    bytes: u64,
    status: String,
    to_ready: Vec<Duration>,
    to_answer: Vec<Duration>,
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().unwrap_or_else(|| "target/lambda".to_owned()));
    let directory_of_hello = Path::new("target/release");
    let chosen: Vec<_> = arguments.collect();
    let functions = LocalCloud::builder()
        .processes(&directory)
        .provision(|operator| async move { vestibule_local::provision(&operator, &mut OsRng).await })
        .start()
        .await?;
    // It is run as a process, so nobody needs its code here.
    let entry = FunctionEntry { name: HELLO, start: |_| Box::pin(async { unreachable!("it is a process") }) };
    let hello =
        LocalCloud::builder().template(HELLO_TEMPLATE).functions([entry]).processes(directory_of_hello).start().await?;

    let template = Template::parse(TEMPLATE, &[])?;
    let names = template.functions.iter().map(|function| function.name.as_str());
    let names = names.filter(|name| chosen.is_empty() || chosen.iter().any(|chosen| chosen == name));
    let mut rows = vec![Row::new(HELLO, &directory_of_hello.join(HELLO))?];
    for name in names {
        let binary =
            [directory.join(name), directory.join(name).join("bootstrap")].into_iter().find(|file| file.is_file());
        rows.push(Row::new(name, &binary.ok_or("the local cloud has started it")?)?);
    }
    // Round by round, so that whatever else the machine does hits all alike.
    for _ in 0..STARTS {
        for row in &mut rows {
            let cloud = if row.function == HELLO { &hello } else { &functions };
            let start = cloud.cold_start(&row.function, refused_event(&row.function)).await?;
            row.status = start.answer["statusCode"].to_string();
            row.to_ready.push(start.to_ready);
            row.to_answer.push(start.to_answer);
        }
    }
    print(&mut rows)
}

fn print(rows: &mut [Row]) -> Result<(), Failure> {
    let out = &mut io::stdout();
    writeln!(out, "| function | size | answer | start to first `/next` | start to first response | more than hello |")?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    let mut hello = None;
    for row in rows {
        let (to_ready, to_answer) = (median(&mut row.to_ready), median(&mut row.to_answer));
        let hello = *hello.get_or_insert(to_answer);
        let megabytes = row.bytes as f64 / 1e6;
        let Row { function, status, .. } = row;
        let more = to_answer - hello;
        writeln!(
            out,
            "| `{function}` | {megabytes:.1} MB | {status} | {to_ready:.1} ms | {to_answer:.1} ms | {more:.1} ms |"
        )?;
    }
    Ok(())
}

/// In milliseconds.
fn median(durations: &mut [Duration]) -> f64 {
    durations.sort_unstable();
    durations[durations.len() / 2].as_secs_f64() * 1e3
}

impl Row {
    fn new(function: &str, binary: &Path) -> io::Result<Self> {
        let bytes = binary.metadata()?.len();
        Ok(Self {
            function: function.to_owned(),
            bytes,
            status: String::new(),
            to_ready: Vec::new(),
            to_answer: Vec::new(),
        })
    }
}

/// An event that a function refuses before it does any work: its body is no JSON. One that takes no body is asked for a path
/// that it cannot read, or, if it has no parameters either, for what it always answers.
fn refused_event(function: &str) -> Value {
    match ENDPOINTS.iter().find(|endpoint| endpoint.function == function) {
        Some(endpoint) => http_event(endpoint),
        None if function != HELLO => web_socket_event(),
        None => {
            let context = json!({"http": {"method": "GET", "path": "/"}});
            json!({"version": "2.0", "rawPath": "/", "headers": {}, "requestContext": context})
        }
    }
}

/// A message of no route, which every function of a WebSocket API refuses.
fn web_socket_event() -> Value {
    let message = include_str!("../../docs/events/web-socket-message.json");
    let mut event: Value = serde_json::from_str(message).expect("a test reads it");
    event["requestContext"]["routeKey"] = json!("-");
    event
}

fn http_event(endpoint: &Description) -> Value {
    let context = json!({"http": {"method": endpoint.method.as_str(), "path": endpoint.path, "sourceIp": "192.0.2.1"}});
    json!({
        "version": "2.0",
        "routeKey": format!("{} {}", endpoint.method.as_str(), endpoint.path),
        "rawPath": endpoint.path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": context,
        "body": "not JSON",
        "isBase64Encoded": false,
    })
}

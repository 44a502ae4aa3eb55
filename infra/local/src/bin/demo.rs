//! `cargo demo`: a local cloud in memory, a user who registers on it, and what each side knows afterwards.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use rand::rngs::OsRng;
use serde_json::Value;
use vestibule_client::{Client, Options, Password, Registered, StageState, UserName};
use vestibule_local::{FUNCTIONS, LocalCloud, Service, ServiceCall};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    match demonstrate(&mut io::stdout()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn demonstrate(out: &mut (impl Write + Send)) -> Result<()> {
    let started = Instant::now();
    writeln!(out, "Vestibule: a user comes into being, on this machine and in memory.\n")?;

    writeln!(out, "1. The local cloud starts: what template.yaml describes, in this process.")?;
    let cloud = start_cloud().await?;
    line(out, "HTTP API", cloud.url())?;
    line(out, "functions", &FUNCTIONS.iter().map(|function| function.name).collect::<Vec<_>>().join(", "))?;

    writeln!(out, "\n2. Alice registers on her phone. Her password never leaves it.")?;
    cloud.forget_calls();
    let homes = tempfile::tempdir()?;
    let phone = Options::new(homes.path().join("phone")).server(cloud.url().parse()?);
    let alice: UserName = "alice@localhost".parse()?;
    let registered = register(out, phone.clone(), &alice, "phone").await?;
    let status = Client::open(phone)?.status()?;
    line(out, "client id", &registered.client_id.to_string())?;
    let days = status.credential_validity.lifetime().as_secs() / (24 * 60 * 60);
    line(out, "credential", &format!("signed by the authentication service, valid for {days} days"))?;
    line(out, "root", &format!("{}, trusted from now on", status.trusted_root))?;

    writeln!(out, "\n3. What the functions asked of DynamoDB for it.")?;
    for function in FUNCTIONS {
        let operations = dynamodb_operations(&cloud.calls(), function.name);
        line(out, function.name, &operations.join(", "))?;
    }

    writeln!(out, "\n4. What the server keeps.")?;
    for table in ["AsTable", "AsQueueTable"] {
        for (kind, (number, attributes)) in kinds(&cloud.items(table).await?) {
            line(out, table, &format!("{number:>2} {kind}: {attributes}"))?;
        }
    }

    writeln!(out, "\n5. Mallory wants to be alice too.")?;
    let laptop = Options::new(homes.path().join("mallory")).server(cloud.url().parse()?);
    match register(&mut io::sink(), laptop, &alice, "laptop").await {
        Err(error) => line(out, "refused", &error.to_string())?,
        Ok(_) => return Err("the name was given away twice".into()),
    }

    writeln!(out, "\nDone in {:.1} s. `cargo dev` starts a local cloud that stays.", started.elapsed().as_secs_f32())?;
    Ok(())
}

async fn start_cloud() -> Result<LocalCloud> {
    let builder = LocalCloud::builder()
        .provision(|operator| async move { vestibule_local::provision(&operator, &mut OsRng).await });
    Ok(builder.start().await?)
}

async fn register(
    out: &mut (impl Write + Send),
    options: Options,
    user_name: &UserName,
    device: &str,
) -> Result<Registered> {
    let password = || Ok(Password::new("correct horse battery staple".to_owned()));
    let observer = |progress: vestibule_client::Progress| {
        if progress.state == StageState::Done {
            let _ = line(out, "done", progress.stage.title());
        }
    };
    Ok(Client::open(options)?.register(user_name, device, password, observer).await?)
}

fn line(out: &mut impl Write, name: &str, text: &str) -> io::Result<()> {
    writeln!(out, "   {name:<26} {text}")
}

fn dynamodb_operations(calls: &[ServiceCall], function: &str) -> Vec<String> {
    let of_function = calls.iter().filter(|call| call.function == function && call.service == Service::DynamoDb);
    of_function.map(|call| call.operation.clone()).collect()
}

/// The kinds of item, by the first part of their sort key: how many there are and what they hold.
fn kinds(items: &[Value]) -> BTreeMap<&str, (usize, String)> {
    let mut kinds = BTreeMap::new();
    for item in items {
        let sort_key = item["sk"]["S"].as_str().unwrap_or_default();
        let kind = sort_key.split('#').next().unwrap_or_default();
        kinds.entry(kind).or_insert_with(|| (0, attribute_names(item))).0 += 1;
    }
    kinds
}

fn attribute_names(item: &Value) -> String {
    let names = item.as_object().into_iter().flat_map(|attributes| attributes.keys().map(String::as_str));
    names.filter(|name| !matches!(*name, "pk" | "sk")).collect::<Vec<_>>().join(", ")
}

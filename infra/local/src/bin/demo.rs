//! `cargo demo`: a local cloud in memory, two users who register on it and find each other, a second device of one of them,
//! a message to both, and what each service knows afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use rand::rngs::OsRng;
use serde_json::Value;
use tokio::sync::oneshot;
use vestibule_client::{
    Client, Deciding, FriendshipCode, Linked, LinkingInteraction, LinkingQuestion, LinkingStep, Options, Pairing,
    Password, Progress, Registered, StageState, UserName,
};
use vestibule_local::{FUNCTIONS, LocalCloud, Service, ServiceCall};
use vestibule_protocol::time::Timestamp;

/// Whatever is shorter, such as the kind of an item, identifies nobody, nor does a number that counts items from one.
const SHORTEST_IDENTIFIER: usize = 13;

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
    writeln!(out, "Vestibule: users come into being, on this machine and in memory.\n")?;

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
    let mut alices = Client::open(phone)?;
    let status = alices.status()?;
    line(out, "client id", &registered.client_id.to_string())?;
    let days = status.credential_validity.lifetime().as_secs() / (24 * 60 * 60);
    line(out, "credential", &format!("signed by the authentication service, valid for {days} days"))?;
    line(out, "root", &format!("{}, trusted from now on", status.trusted_root))?;
    line(out, "pseudonym", &format!("{}, all that the queuing service knows of her", registered.qs_user_id))?;
    line(out, "KeyPackages", &format!("{} for friends to claim", alices.key_package_supply().await?.remaining))?;

    writeln!(out, "\n3. What the functions asked of DynamoDB for it.")?;
    for function in FUNCTIONS {
        let operations = dynamodb_operations(&cloud.calls(), function.name);
        if !operations.is_empty() {
            line(out, function.name, &operations.join(", "))?;
        }
    }

    writeln!(
        out,
        "\n4. Alice types the code that her new tablet shows into her phone, and approves: now it is hers too."
    )?;
    let mut tablet = Client::open(Options::new(homes.path().join("tablet")).server(cloud.url().parse()?))?;
    link(out, &mut tablet, &mut alices).await?;
    let (on_both, on_tablet) = (list_devices(&mut alices).await?, list_devices(&mut tablet).await?);
    for device in &on_both {
        line(out, "device", device)?;
    }
    if on_both != on_tablet {
        return Err("the two devices' lists differ".into());
    }
    line(out, "on the tablet", "the same list, from commits that both have checked")?;
    let on_phone = alices.storage_key(None, password()).await?.fingerprint();
    let on_tablet = tablet.storage_key(None, password()).await?.fingerprint();
    if on_phone != on_tablet {
        return Err("the two storage keys differ".into());
    }
    line(out, "storage key", &format!("{on_phone}, with her password the same on both"))?;
    for (device, client) in [("phone", &mut alices), ("tablet", &mut tablet)] {
        let tokens = client.tokens()?.available;
        line(
            out,
            device,
            &format!("{tokens} tokens to pay with, which say that somebody was given them, and not who"),
        )?;
        let registered = client.join_queuing_service(|_| ()).await?;
        line(out, device, &format!("a queue and KeyPackages of its own, as {}", registered.qs_client_id))?;
    }
    let log = alices.audit_log(None, password()).await?;
    line(out, "audit log", &format!("{} entries, {}", log.entries.len(), log.chain.name()))?;

    writeln!(
        out,
        "\n5. Bob registers too. Alice has shown him her friendship code, and he writes to each of her devices."
    )?;
    let laptop = Options::new(homes.path().join("laptop")).server(cloud.url().parse()?);
    register(&mut io::sink(), laptop.clone(), &"bob@localhost".parse()?, "laptop").await?;
    let code = alices.friendship_code()?.to_text();
    line(out, "friendship code", &format!("{}… ({} characters)", &code[..12], code.len()))?;
    let mut bobs = Client::open(laptop)?;
    let code: FriendshipCode = code.parse()?;
    let claimed = bobs.claim_key_packages(&code).await?;
    if claimed.len() != on_both.len() {
        return Err("there is not one KeyPackage of each device".into());
    }
    for claimed in claimed {
        line(out, "bob sees", &format!("{}, verified from the root to the leaf", claimed.client_id))?;
        line(out, "KeyPackage", &claimed.key_package_ref.to_string())?;
        line(out, "last-resort", if claimed.is_last_resort { "yes" } else { "no: it is his alone" })?;
    }
    write_to_both(out, &mut bobs, &code, [("phone", &mut alices), ("tablet", &mut tablet)]).await?;
    for (device, client) in [("phone", &alices), ("tablet", &tablet)] {
        let remaining = client.key_package_supply().await?.remaining;
        line(out, "left to be claimed", &format!("{remaining} of the {device}'s"))?;
    }

    writeln!(out, "\n6. What the authentication service and the key server keep, and what the queuing service keeps.")?;
    let of_names = show_kinds(out, &cloud, &["AsTable", "AsQueueTable", "KsTable", "KsSessionTable"]).await?;
    let of_pseudonyms = show_kinds(out, &cloud, &["QsTable", "QsQueueTable"]).await?;
    let shared = of_names.intersection(&of_pseudonyms).count();
    line(
        out,
        "what they share",
        &format!("{shared} names, ids, keys or credentials: nothing links a user to a pseudonym"),
    )?;
    if shared > 0 {
        return Err("the services have something in common".into());
    }

    writeln!(out, "\n7. Mallory wants to be alice too.")?;
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
    let observer = |progress: Progress| {
        if progress.state == StageState::Done {
            let _ = line(out, "done", progress.stage.title());
        }
    };
    Ok(Client::open(options)?.register(user_name, device, |_| Ok(password()), observer).await?)
}

/// Lets the new device show a code to the existing one, whose user says yes.
async fn link(out: &mut (impl Write + Send), new: &mut Client, existing: &mut Client) -> Result<()> {
    let (show, shown) = oneshot::channel();
    let mut at_new = Person { show: Some(show), done: Vec::new() };
    let mut at_existing = Person { show: None, done: Vec::new() };
    let linking = new.link("tablet", None, &mut at_new);
    let approving = async {
        let pairing = shown.await?;
        line(out, "code", &pairing.to_words())?;
        Ok(existing.approve(Some(&pairing), &mut at_existing).await?)
    };
    let (linked, approved): (_, Result<Linked>) = tokio::join!(linking, approving);
    let (linked, approved) = (linked?, approved?);
    line(out, "linked", &format!("'{}', {}", linked.device_name, linked.client_id))?;
    for title in at_new.done {
        line(out, "done", title)?;
    }
    if linked == approved { Ok(()) } else { Err("the devices do not agree on who was linked".into()) }
}

/// Alice, at one of her devices: she reads what it shows, and wants what she is asked.
struct Person {
    show: Option<oneshot::Sender<Pairing>>,
    /// What the device has done at the queuing service since it is linked.
    done: Vec<&'static str>,
}

impl LinkingInteraction for Person {
    fn show_code(&mut self, pairing: &Pairing, _: Timestamp) {
        if let Some(show) = self.show.take() {
            let _ = show.send(pairing.clone());
        }
    }

    fn step(&mut self, _: LinkingStep) {}

    fn progress(&mut self, progress: Progress) {
        if progress.state == StageState::Done {
            self.done.push(progress.stage.title());
        }
    }

    fn decide<'a>(&'a mut self, _: &'a LinkingQuestion) -> Deciding<'a> {
        Box::pin(async { Ok(true) })
    }
}

/// Bob says something to alice, and reads it on each of her devices. It has paid for itself.
async fn write_to_both(
    out: &mut (impl Write + Send),
    bobs: &mut Client,
    code: &FriendshipCode,
    alices: [(&str, &mut Client); 2],
) -> Result<()> {
    let text = "lunch at noon?";
    let tokens = bobs.tokens()?.available;
    let mut devices = 0;
    bobs.send_message(code, text.parse()?, |sent| devices = sent.devices).await?;
    line(
        out,
        "bob writes",
        &format!("{text:?}, encrypted to {devices} devices, for {} tokens", tokens - bobs.tokens()?.available),
    )?;
    for (device, client) in alices {
        let received = client.receive().await?;
        let [message] = received.messages.as_slice() else { return Err("a device did not get the message".into()) };
        if message.text.as_str() != text || message.from.user_name.as_str() != "bob@localhost" {
            return Err("a device got another message".into());
        }
        line(out, device, &format!("{} says {:?}", message.from.user_name, message.text.as_str()))?;
        client.acknowledge(message.sequence)?;
    }
    Ok(())
}

async fn list_devices(client: &mut Client) -> Result<Vec<String>> {
    let devices = client.devices().await?;
    Ok(devices.iter().map(|device| device.to_string()).collect())
}

fn password() -> Password {
    Password::new("correct horse battery staple".to_owned())
}

/// Shows the kinds of item in these tables. Gives every text and every byte string in them that could tell one user from
/// another.
async fn show_kinds(out: &mut impl Write, cloud: &LocalCloud, tables: &[&str]) -> Result<BTreeSet<String>> {
    let mut values = BTreeSet::new();
    for table in tables {
        let items = cloud.items(table).await?;
        for (kind, (number, attributes)) in kinds(&items) {
            line(out, table, &format!("{number:>3} {kind}: {attributes}"))?;
        }
        for attribute in items.iter().filter_map(Value::as_object).flat_map(|item| item.values()) {
            let texts = attribute["S"].as_str().into_iter().chain(attribute["B"].as_str());
            // A key's kind and its value.
            let parts = texts.flat_map(|text| text.split('#'));
            values.extend(parts.filter(|part| can_identify(part)).map(str::to_owned));
        }
    }
    Ok(values)
}

fn can_identify(part: &str) -> bool {
    part.len() >= SHORTEST_IDENTIFIER && !part.bytes().all(|byte| byte.is_ascii_digit())
}

fn line(out: &mut impl Write, name: &str, text: &str) -> io::Result<()> {
    writeln!(out, "   {name:<26} {text}")
}

fn dynamodb_operations(calls: &[ServiceCall], function: &str) -> Vec<String> {
    let mut operations: Vec<(&str, usize)> = Vec::new();
    for call in calls.iter().filter(|call| call.function == function && call.service == Service::DynamoDb) {
        match operations.last_mut() {
            Some((operation, times)) if *operation == call.operation => *times += 1,
            _ => operations.push((&call.operation, 1)),
        }
    }
    let times =
        |(operation, times)| if times == 1 { String::from(operation) } else { format!("{times} × {operation}") };
    operations.into_iter().map(times).collect()
}

/// The kinds of item, by the first parts of their keys: how many there are and what they hold.
fn kinds(items: &[Value]) -> BTreeMap<String, (usize, String)> {
    let mut kinds = BTreeMap::new();
    for item in items {
        let [partition, sort] = ["pk", "sk"].map(|key| {
            let key = item[key]["S"].as_str().unwrap_or_default();
            key.split('#').next().unwrap_or_default()
        });
        let kind = if partition == sort { sort.to_owned() } else { format!("{partition} / {sort}") };
        kinds.entry(kind).or_insert_with(|| (0, attribute_names(item))).0 += 1;
    }
    kinds
}

fn attribute_names(item: &Value) -> String {
    let names = item.as_object().into_iter().flat_map(|attributes| attributes.keys().map(String::as_str));
    names.filter(|name| !matches!(*name, "pk" | "sk")).collect::<Vec<_>>().join(", ")
}

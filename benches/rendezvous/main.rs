//! `cargo run --release --bin bench-rendezvous`: rendezvous sessions per second and relay latency in the local cloud, all in
//! one process: relay, functions, DynamoDB and both devices of each pair.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::rngs::OsRng;
use tempfile::{TempDir, tempdir};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use vestibule_client::{Client, Incoming, Options, Pairing, Password, SecuredChannel, ServerUrl};
use vestibule_local::LocalCloud;

type Failure = Box<dyn Error + Send + Sync>;

/// How many pairs meet at once.
const PAIRS: [usize; 3] = [1, 16, 64];
/// How many sessions are measured for each, at least.
const SESSIONS: usize = 128;
/// How many messages the devices of a pair exchange, taking turns.
const MESSAGES: usize = 20;
/// How long each of them is, in bytes.
const MESSAGE_LENGTH: usize = 1024;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let cloud = LocalCloud::builder()
        .parameter("RendezvousPerSourceAndHour", "1000000")
        .parameter("JoinsPerClientAndHour", "1000000")
        .provision(|operator| async move { vestibule_local::provision(&operator, &mut OsRng).await })
        .start()
        .await?;
    let server: ServerUrl = cloud.url().parse()?;
    let registered = register(&server).await?;

    let out = &mut io::stdout();
    writeln!(out, "{MESSAGES} messages of {MESSAGE_LENGTH} bytes a session, at least {SESSIONS} sessions\n")?;
    writeln!(out, "{:>5}  {:>14}  {:>16}  {:>13}", "pairs", "sessions a second", "latency, median", "99th percentile")?;
    for pairs in PAIRS {
        let rounds = SESSIONS.div_ceil(pairs);
        let (mut elapsed, mut latencies) = (Duration::ZERO, Vec::new());
        for _ in 0..rounds {
            let devices =
                (0..pairs).map(|_| Devices::new(&server, &home(&registered))).collect::<io::Result<Vec<_>>>()?;
            let start = Instant::now();
            let mut meetings: JoinSet<_> = devices.into_iter().map(meet).collect();
            while let Some(meeting) = meetings.join_next().await {
                latencies.extend(meeting??);
            }
            elapsed += start.elapsed();
        }
        latencies.sort_unstable();
        let percentile = |percent: usize| latencies[(latencies.len() - 1) * percent / 100].as_secs_f64() * 1e3;
        let rate = (rounds * pairs) as f64 / elapsed.as_secs_f64();
        writeln!(out, "{pairs:>5}  {rate:>17.1}  {:>13.1} ms  {:>10.1} ms", percentile(50), percentile(99))?;
    }
    Ok(())
}

/// The home of a user's device, to be copied for each pair: a home has one process at a time.
async fn register(server: &ServerUrl) -> Result<TempDir, Failure> {
    let directory = tempdir()?;
    let mut client = Client::open(Options::new(home(&directory)).server(server.clone()).key_packages(1))?;
    let password = |_| Ok(Password::new("correct horse".to_owned()));
    client.register(&"alice@localhost".parse()?, "phone", password, |_| {}).await?;
    Ok(directory)
}

/// The home in a directory: the client makes it, so that it is private.
fn home(directory: &TempDir) -> PathBuf {
    directory.path().join("home")
}

/// The two devices of a pair.
struct Devices {
    new: (Options, TempDir),
    existing: (Options, TempDir),
}

impl Devices {
    fn new(server: &ServerUrl, registered: &Path) -> io::Result<Self> {
        let (new, existing) = (tempdir()?, tempdir()?);
        let copy = home(&existing);
        fs::create_dir(&copy)?;
        fs::set_permissions(&copy, fs::metadata(registered)?.permissions())?;
        for entry in fs::read_dir(registered)? {
            let entry = entry?;
            fs::copy(entry.path(), copy.join(entry.file_name()))?;
        }
        let options = |directory: &TempDir| Options::new(home(directory)).server(server.clone());
        Ok(Self { new: (options(&new), new), existing: (options(&existing), existing) })
    }
}

/// Lets the two devices meet and exchange messages. Gives how long each message was under way.
async fn meet(devices: Devices) -> Result<Vec<Duration>, Failure> {
    let (tell, told) = oneshot::channel::<Pairing>();
    let new = async {
        let mut client = Client::open(devices.new.0)?;
        let mut rendezvous = client.create_rendezvous().await?;
        let pairing = rendezvous.pairing().expect("it has just been made").clone();
        tell.send(pairing).map_err(|_| "the existing device is gone")?;
        take_turns(&mut rendezvous.secured(|_| {}).await?, true).await
    };
    let existing = async {
        let mut client = Client::open(devices.existing.0)?;
        let mut rendezvous = client.join_rendezvous(&told.await?).await?;
        take_turns(&mut rendezvous.secured(|_| {}).await?, false).await
    };
    let (mut latencies, others) = tokio::try_join!(new, existing)?;
    latencies.extend(others);
    Ok(latencies)
}

/// Sends and receives in turn, each message with the time at which it was sent, and gives how long those that were received
/// were under way.
async fn take_turns(channel: &mut SecuredChannel<'_, '_>, begins: bool) -> Result<Vec<Duration>, Failure> {
    let mut latencies = Vec::new();
    let mut left = MESSAGES / 2;
    if begins {
        say(channel, &mut left)?;
    }
    loop {
        match channel.receive().await? {
            Incoming::Message(message) => {
                latencies.push(under_way(message.as_bytes()));
                if left > 0 {
                    say(channel, &mut left)?;
                }
                if left == 0 && latencies.len() == MESSAGES / 2 {
                    channel.close()?;
                }
            }
            Incoming::PeerClosed => {}
            Incoming::Finished => return Ok(latencies),
        }
    }
}

fn say(channel: &mut SecuredChannel<'_, '_>, left: &mut usize) -> Result<(), Failure> {
    let mut message = vec![0; MESSAGE_LENGTH];
    message[..16].copy_from_slice(&since_the_beginning().as_nanos().to_be_bytes());
    channel.send(&message)?;
    *left -= 1;
    Ok(())
}

fn under_way(message: &[u8]) -> Duration {
    let sent = u128::from_be_bytes(message[..16].try_into().expect("it is long enough"));
    since_the_beginning() - Duration::from_nanos(u64::try_from(sent).expect("it is not so late"))
}

/// The devices are in one process and have one clock.
fn since_the_beginning() -> Duration {
    static BEGINNING: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    BEGINNING.get_or_init(Instant::now).elapsed()
}

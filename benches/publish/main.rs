//! `cargo run --release --bin bench-publish`: what checking a publication of 101 KeyPackages costs the queuing service,
//! beside what the bare checks of its signatures cost in the same run.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use ed25519_dalek::Signer as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use vestibule_key_packages::{KeyPackageMaker, Publication};
use vestibule_protocol::credential::{
    AsCredential, AsIntermediateCredential, ClientCredential, ClientCredentialPayload,
};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::keys::{HpkePrivateKey, SigningKey};
use vestibule_protocol::limits::MAX_KEY_PACKAGES;
use vestibule_protocol::name::{ClientId, ClientUuid};
use vestibule_protocol::signed::Verified;
use vestibule_protocol::symmetric::{FriendshipEncryptionKey, PushTokenKey};
use vestibule_protocol::time::Timestamp;

/// How often each thing is measured. They take turns, so that a noisy moment hits all of them.
const ROUNDS: usize = 31;
/// Two signatures a KeyPackage: the leaf's and the package's own.
const SIGNATURES: usize = 2 * (MAX_KEY_PACKAGES + 1);
/// About what a KeyPackage's signature covers, in bytes.
const MESSAGE_LENGTH: usize = 700;

fn main() -> io::Result<()> {
    let rng = &mut StdRng::seed_from_u64(1);
    let now = Timestamp::now();
    let (packages, last_resort) = packages(now, rng);
    let signed = signed_messages(rng);

    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        times[0].push(time(|| {
            Publication::check(&packages, Some(&last_resort), now).expect("the publication is right");
        }));
        times[1].push(time(|| {
            for (message, signature, key) in &signed {
                key.verify_strict(message, signature).expect("the signature is right");
            }
        }));
        times[2].push(time(|| verify_together(&signed)));
    }
    let [check, singly, together] = times.map(median);
    report(&mut io::stdout(), check, singly, together)
}

fn report(out: &mut impl Write, check: Duration, singly: Duration, together: Duration) -> io::Result<()> {
    let packages = MAX_KEY_PACKAGES + 1;
    writeln!(out, "{packages} KeyPackages, medians of {ROUNDS}, one core\n")?;
    let mut line = |what: &str, time: Duration| {
        let each = time.as_secs_f64() * 1e6 / packages as f64;
        let ratio = time.as_secs_f64() / together.as_secs_f64();
        writeln!(out, "{what:<44} {:>7.2} ms  {each:>6.1} µs each  {ratio:>5.2}", time.as_secs_f64() * 1e3)
    };
    line("checking the publication", check)?;
    line("bare signature checks, in batch", together)?;
    line("bare signature checks, one by one", singly)
}

type SignedMessage = (Vec<u8>, ed25519_dalek::Signature, ed25519_dalek::VerifyingKey);

/// As many signatures as a publication has, each by a key of its own.
fn signed_messages(rng: &mut StdRng) -> Vec<SignedMessage> {
    let signed = (0..SIGNATURES).map(|number| {
        let key = ed25519_dalek::SigningKey::generate(rng);
        let message = vec![number as u8; MESSAGE_LENGTH];
        let signature = key.sign(&message);
        (message, signature, key.verifying_key())
    });
    signed.collect()
}

fn verify_together(signed: &[SignedMessage]) {
    let messages: Vec<_> = signed.iter().map(|(message, ..)| message.as_slice()).collect();
    let signatures: Vec<_> = signed.iter().map(|(_, signature, _)| *signature).collect();
    let keys: Vec<_> = signed.iter().map(|(.., key)| *key).collect();
    ed25519_dalek::verify_batch(&messages, &signatures, &keys).expect("the signatures are right");
}

/// A client's largest publication.
fn packages(now: Timestamp, rng: &mut StdRng) -> (Vec<Bytes>, Bytes) {
    let root_key = SigningKey::generate(rng);
    let root = AsCredential::issue("example.org".parse().expect("a domain"), &root_key, now, 3652);
    let intermediate_key = SigningKey::generate(rng);
    let intermediate = AsIntermediateCredential::issue(intermediate_key.verifying_key(), &root, &root_key, now, 365);
    let client_key = SigningKey::generate(rng);
    let client_id =
        ClientId { user_name: "alice@example.org".parse().expect("a user name"), uuid: ClientUuid::generate(rng) };
    let payload = ClientCredentialPayload::requesting(client_id, client_key.verifying_key(), &intermediate, now);
    let client_credential: ClientCredential = Verified::sign(payload, &intermediate_key);
    let friendship_encryption_key = FriendshipEncryptionKey::generate(rng);
    let (client_record_key, push_token_key) = (SigningKey::generate(rng), PushTokenKey::generate(rng));
    let queue_config_key = HpkePrivateKey::generate(rng).public_key();
    let maker = KeyPackageMaker {
        client_credential: &client_credential,
        client_key: &client_key,
        friendship_encryption_key: &friendship_encryption_key,
        client_record_key: &client_record_key,
        push_token_key: &push_token_key,
        queue_config_key: &queue_config_key,
    };
    let mut make = |is_last_resort| maker.make(is_last_resort, now, rng).expect("a KeyPackage").add_package;
    ((0..MAX_KEY_PACKAGES).map(|_| make(false)).collect(), make(true))
}

fn time(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

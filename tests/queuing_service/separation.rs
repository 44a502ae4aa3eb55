//! Nothing that is stored or logged ties a user of the authentication service to one of the queuing service (design,
//! section 8).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde_json::Value;
use vestibule_protocol::encoding::{self, SecretBytes as _};
use vestibule_protocol::endpoint::FinishRegistrationRequest;
use vestibule_protocol::keys::HpkePrivateKey;
use vestibule_tests::{Applicant, Pseudonym, TestCloud, captured_log, left_out_in_processes};

/// Something that must not be found, under a name that may be printed.
struct Mark {
    name: &'static str,
    bytes: Vec<u8>,
}

fn mark(name: &'static str, bytes: impl AsRef<[u8]>) -> Mark {
    Mark { name, bytes: bytes.as_ref().to_vec() }
}

impl Mark {
    /// Whether some bytes have it, as it is or as text in one of the usual forms.
    fn is_in(&self, place: &[u8]) -> bool {
        let hex: String = self.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        // Text of base64url at any of the three positions that bytes may have in it, without the ends, which depend on
        // what stands beside them.
        let base64 = (0..3).map(|shift| {
            let text = encoding::encode(&[&[0; 2][..shift], &self.bytes].concat());
            text[if shift == 0 { 0 } else { shift + 1 }..text.len() - 2].to_owned().into_bytes()
        });
        [self.bytes.clone(), hex.into_bytes()].into_iter().chain(base64).any(|needle| contains(place, &needle))
    }
}

fn contains(place: &[u8], needle: &[u8]) -> bool {
    place.windows(needle.len()).any(|window| window == needle)
}

/// What the functions of a service logged.
fn log_of(service: &str) -> Vec<u8> {
    let function = format!("function=\"{service}-");
    let path = format!("/v1/{service}/");
    captured_log().lines().filter(|line| line.contains(&function) || line.contains(&path)).collect::<String>().into()
}

/// Every string, number and binary value of the items, keys and names of attributes included.
fn values(items: &[Value]) -> Vec<Vec<u8>> {
    fn collect(value: &Value, into: &mut Vec<Vec<u8>>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, member)| {
                into.push(name.clone().into_bytes());
                match member.as_str().filter(|_| name == "B") {
                    Some(text) => into.push(binary(text)),
                    None => collect(member, into),
                }
            }),
            Value::Array(elements) => elements.iter().for_each(|element| collect(element, into)),
            Value::String(text) => into.push(text.clone().into_bytes()),
            other => into.push(other.to_string().into_bytes()),
        }
    }
    let mut values = Vec::new();
    items.iter().for_each(|item| collect(item, &mut values));
    values
}

/// The bytes of a binary value in DynamoDB's JSON, which has another base64 than ours.
pub(crate) fn binary(text: &str) -> Vec<u8> {
    encoding::decode(text.trim_end_matches('=').replace('+', "-").replace('/', "_").as_str()).unwrap()
}

async fn items_of(cloud: &TestCloud, tables: [&str; 2]) -> Vec<Value> {
    let mut items = Vec::new();
    for table in tables {
        items.extend(cloud.cloud.items(table).await.unwrap());
    }
    items
}

#[tokio::test]
async fn no_item_or_log_line_of_one_service_has_anything_of_the_other() {
    left_out_in_processes!("it reads the log");
    let cloud = TestCloud::start().await;
    captured_log();
    let mut applicant = Applicant::new(&cloud, "alice@localhost", 1).await;
    let completion = applicant.initiate(&cloud).await;
    let finish = cloud.send(&applicant.finishing_call(&cloud, &completion)).await;
    let (root, intermediate) = cloud.credentials().await;
    let credential: vestibule_protocol::endpoint::FinishRegistrationResponse = finish.success();
    let credential = vestibule_protocol::credential::ClientCredential::verify_chain(
        &credential.client_credential.0,
        &intermediate,
        cloud.now(),
    )
    .unwrap();

    let client_key = vestibule_protocol::keys::SigningKey::from_secret_bytes(&applicant.client_key.to_secret_bytes());
    let mut alice = Pseudonym::with_credential(&cloud, credential.clone(), client_key.unwrap(), 7).await;
    let creation = alice.creation();
    cloud.send(&alice.creating_call(&cloud, &creation)).await;
    alice.publish(&cloud, 1, 2).await;
    let _ = alice.supply(&cloud).await;
    for _ in 0..3 {
        cloud.send(&alice.claiming_call()).await;
    }
    let _ = cloud.send(&alice.creating_call(&cloud, &creation)).await;
    let laptop = alice.add(&cloud, 8).await;
    let mut ear = alice.listen(&cloud).await;
    alice.receive(&cloud, [b"a message".to_vec()]).await;
    ear.notice().await;
    let _ = alice.fetch(&cloud, 1).await;
    cloud.send(&laptop.client_deleting_call(&cloud)).await;
    cloud.send(&applicant.writing_call(b"may I?")).await;
    cloud.send(&applicant.fetching_call(&cloud, 1)).await;
    let (as_log, qs_log) = (log_of("as"), log_of("qs"));
    assert!(contains(&as_log, b"as-finish-registration") && contains(&qs_log, b"qs-claim-key-packages"));

    let FinishRegistrationRequest { user_id, connection_packages, queue, opaque_registration_record, .. } = completion;
    let of_as = [
        mark("user name", "alice"),
        mark("client UUID", applicant.client_id.uuid.to_string()),
        mark("user id", user_id.to_string()),
        mark("client credential's key", credential.payload().verifying_key.as_bytes()),
        mark("client credential's fingerprint", credential.fingerprint().as_bytes()),
        mark("client credential", &credential.to_bytes().0[2..]),
        mark("intermediate's fingerprint", intermediate.fingerprint().as_bytes()),
        mark("intermediate's key", intermediate.payload().verifying_key.as_bytes()),
        mark("root's fingerprint", root.fingerprint().as_bytes()),
        mark("connection package", &connection_packages[0].0[60..]),
        mark("AS queue's key", &queue.encryption_key.0),
        mark("AS queue's ratchet", queue.ratchet_key.to_secret_bytes()),
        mark("OPAQUE record", &opaque_registration_record.0[..32]),
    ];
    let of_qs = [
        mark("QS user id", alice.qs_user_id().as_bytes()),
        mark("QS client id", alice.qs_client_id().as_bytes()),
        mark("user record's key", alice.user_record_key.verifying_key().as_bytes()),
        mark("client record's key", alice.client_record_key.verifying_key().as_bytes()),
        mark("friendship token", alice.code.token.to_secret_bytes()),
        mark("friendship token's hash", alice.code.token.hash().as_bytes()),
        mark("friendship encryption key", alice.code.encryption_key.to_secret_bytes()),
        mark("QS queue's key", &creation.queue.encryption_key.0),
        mark("QS queue's ratchet", creation.queue.ratchet_key.to_secret_bytes()),
    ];
    let (as_items, qs_items) =
        (items_of(&cloud, ["AsTable", "AsQueueTable"]).await, items_of(&cloud, ["QsTable", "QsQueueTable"]).await);
    let (as_places, qs_places) = (values(&as_items), values(&qs_items));
    for (marks, places, log, service) in
        [(&of_as[..], &qs_places, &qs_log, "QS"), (&of_qs[..], &as_places, &as_log, "AS")]
    {
        for mark in marks {
            assert!(!places.iter().any(|place| mark.is_in(place)), "the {} is in an item of the {service}", mark.name);
            assert!(!mark.is_in(log), "the {} is in the log of the {service}", mark.name);
        }
    }
    // The search would find them where they are.
    for (mark, places) in
        of_as[..6].iter().map(|mark| (mark, &as_places)).chain(of_qs[..4].iter().map(|mark| (mark, &qs_places)))
    {
        let is_found = places.iter().any(|place| mark.is_in(place));
        assert!(is_found || mark.name.contains("fingerprint"), "the {} is nowhere", mark.name);
    }
    let key = HpkePrivateKey::generate(&mut rand::rngs::OsRng).public_key();
    assert!(mark("key", key.as_bytes()).is_in(format!("x {} y", encoding::encode(key.as_bytes())).as_bytes()));
}

/// How many right guesses are still chance. Of 200 people matched at random, one is right on average; more than ten are
/// one chance in a hundred million, and there are some hundred ways to match.
pub(crate) const GUESSES_BY_CHANCE: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_users_cannot_be_matched_by_anything_that_is_stored() {
    const USERS: usize = 200;
    let cloud = Arc::new(TestCloud::start().await);
    let mut at_as: Vec<_> = (0..USERS).collect();
    at_as.shuffle(&mut StdRng::seed_from_u64(1));
    let mut tasks = tokio::task::JoinSet::new();
    for chunk in at_as.chunks(USERS / 4) {
        let (cloud, chunk) = (Arc::clone(&cloud), chunk.to_vec());
        tasks.spawn(async move {
            let mut pseudonyms = Vec::new();
            for number in chunk {
                pseudonyms.push((number, registered(&cloud, number).await));
            }
            pseudonyms
        });
    }
    let mut pseudonyms: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    pseudonyms.sort_by_key(|(number, _)| *number);
    pseudonyms.shuffle(&mut StdRng::seed_from_u64(2));
    let mut names = BTreeMap::new();
    for (number, mut pseudonym) in pseudonyms {
        names.insert(user_name(number), [pseudonym.qs_user_id().to_string(), pseudonym.qs_client_id().to_string()]);
        pseudonym = pseudonym.create(&cloud).await;
        pseudonym.publish(&cloud, 1, 1).await;
    }

    let as_users = names.keys().enumerate().map(|(user, name)| (name.clone(), user)).collect();
    let qs_users = names.values().enumerate().flat_map(|(user, ids)| ids.clone().map(|id| (id, user))).collect();
    let as_fields = fields(&items_of(&cloud, ["AsTable", "AsQueueTable"]).await, &as_users);
    let qs_fields = fields(&items_of(&cloud, ["QsTable", "QsQueueTable"]).await, &qs_users);
    assert!(as_fields.len() > 20 && qs_fields.len() > 20, "{} {}", as_fields.len(), qs_fields.len());
    for (name, of_users) in &qs_fields {
        assert_eq!(of_users.len(), USERS, "{name} is not of everybody");
        let lengths: HashSet<_> = of_users.values().map(Vec::len).collect();
        assert_eq!(lengths.len(), 1, "{name} differs in length");
    }
    let right_guesses = |one: &[usize], other: &[usize]| one.iter().zip(other).filter(|(l, r)| l == r).count();
    let qs_ranks: Vec<_> = qs_fields.iter().map(|(name, of_users)| (name, by_rank(of_users, 4))).collect();
    for (as_name, of_users) in &as_fields {
        let as_rank = by_rank(of_users, 3);
        for (qs_name, qs_rank) in &qs_ranks {
            let right = right_guesses(&as_rank, qs_rank);
            assert!(right <= GUESSES_BY_CHANCE, "{as_name} and {qs_name} match {right} users");
        }
    }
    // What does tell is noticed: the same field in both, and one that has but the length of the name.
    let name = by_rank(&as_fields["USER USER  pk"], 3);
    assert_eq!(right_guesses(&name, &by_rank(&as_fields["USER USER  pk"], 4)), USERS);
    assert!(right_guesses(&name, &by_rank(&as_fields["CLIENT QUEUE  pk length"], 4)) > GUESSES_BY_CHANCE);
}

/// A user of a name of any length.
fn user_name(number: usize) -> String {
    format!("{}{number:03}@localhost", "u".repeat(1 + number % 60))
}

async fn registered(cloud: &TestCloud, number: usize) -> Pseudonym {
    let mut applicant = Applicant::new(cloud, &user_name(number), number as u64).await;
    let credential = applicant.register_for_credential(cloud).await;
    let seed = 1_000_000 + number as u64;
    Pseudonym::with_credential(cloud, credential, applicant.client_key, seed).await
}

/// Every stored field with its value for every user, who is known by what is in `users`: kind of item and attribute, to
/// user, to bytes.
fn fields(items: &[Value], users: &HashMap<String, usize>) -> BTreeMap<String, BTreeMap<usize, Vec<u8>>> {
    let mut fields: BTreeMap<String, BTreeMap<usize, Vec<u8>>> = BTreeMap::new();
    for item in items {
        let texts = item.as_object().unwrap().values().filter_map(|value| value["S"].as_str());
        let owner = texts.flat_map(|text| text.split(['#', '/'])).find_map(|part| users.get(part));
        let Some(&user) = owner else { continue };
        let kind = |key: &str| item[key]["S"].as_str().unwrap().split('#').next().unwrap().to_owned();
        let index = item["sk"]["S"].as_str().unwrap().rsplit('#').next().filter(|index| index.starts_with("00"));
        for (name, value) in item.as_object().unwrap() {
            let field = format!("{} {} {} {name}", kind("pk"), kind("sk"), index.unwrap_or_default());
            let bytes = match (value["B"].as_str(), value["S"].as_str(), value["N"].as_str()) {
                (Some(bytes), ..) => binary(bytes),
                (_, Some(text), _) => text.as_bytes().to_vec(),
                (.., Some(number)) => format!("{number:>24}").into_bytes(),
                _ => continue,
            };
            // As it is, and by its length alone.
            let length = bytes.len().to_be_bytes().to_vec();
            fields.entry(format!("{field} length")).or_default().insert(user, length);
            fields.entry(field).or_default().insert(user, bytes);
        }
    }
    fields
}

/// The users in the order of what is stored of them; those of whom the same is stored in an order that says nothing.
pub(crate) fn by_rank(of_users: &BTreeMap<usize, Vec<u8>>, seed: u64) -> Vec<usize> {
    let mut users: Vec<_> = of_users.iter().collect();
    users.shuffle(&mut StdRng::seed_from_u64(seed));
    users.sort_by_key(|(_, value)| *value);
    users.into_iter().map(|(user, _)| *user).collect()
}

//! How a client puts new connection packages in the place of those that it has.
//!
//! One transaction puts the packages under the indexes behind all that there ever were, and moves head and tail of the
//! client's record to them, on condition that the tail is where the request says. With the first packages of a client comes
//! its queue; later ones prolong that, because packages that lead nowhere are of no use. What was replaced stays until it
//! expires: whoever has just raised the head, or read which package is the last, still finds it.

use std::collections::HashSet;

use aws_sdk_dynamodb::types::{ReturnValuesOnConditionCheckFailure, Update};
use vestibule_protocol::connection_package::ConnectionPackage;
use vestibule_protocol::credential::ClientCredentialPayload;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::keys::HpkePublicKey;
use vestibule_protocol::limits::{MAX_CONNECTION_PACKAGES, MIN_CONNECTION_PACKAGES};
use vestibule_protocol::name::ClientId;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::queue::{QueueKeys, RatchetKey};
use vestibule_protocol::time::Timestamp;

use super::clients::{
    self, CLIENT_CREDENTIAL, CONNECTION_PACKAGES, CONNECTION_PACKAGES_HASH, ClientRecord, ClientState, client_unknown,
};
use super::user_records::connection_package_items;
use crate::dynamodb::{
    EXPIRES_AT, Item, TransactionPart as _, bytes, corrupt_item, is_condition_failed, number, put_new, transact,
    try_again,
};
use crate::queues::{self, QueueName};
use crate::{Environment, StartError};

/// Connection packages that replace others, checked.
pub struct ConnectionPublication {
    /// Those.
    pub packages: Vec<ConnectionPackage>,
    /// The keys of the client's queue, if these are its first packages.
    pub queue: Option<(HpkePublicKey, RatchetKey)>,
    /// The hash of the request, by which its repetition is known.
    pub request_hash: [u8; 32],
}

/// Where connection packages are published.
pub struct ConnectionPublications {
    client: aws_sdk_dynamodb::Client,
    table: String,
    queue_table: String,
}

impl ConnectionPublications {
    /// The packages in the table named by `AS_TABLE`, and the queues in the one named by `AS_QUEUE_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if a variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            client: environment.dynamodb(),
            table: environment.variable("AS_TABLE")?.to_owned(),
            queue_table: environment.variable("AS_QUEUE_TABLE")?.to_owned(),
        })
    }

    /// Publishes packages behind the last that a client, which was just read, ever had: one transaction. The same
    /// publication again changes nothing.
    ///
    /// # Errors
    /// [`ProblemType::ConnectionPackagesOutdated`] if the client has published others meanwhile,
    /// [`ProblemType::ClientUnknown`] if it was removed, [`ProblemType::QueueUnknown`] if its queue has expired, or the
    /// problem of a failed call; nothing is stored then.
    pub async fn publish(
        &self,
        record: &ClientRecord,
        publication: &ConnectionPublication,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let name = QueueName::of_client(&record.client_id);
        let queue = match &publication.queue {
            Some((encryption_key, ratchet_key)) => {
                put_new(&self.queue_table, queues::new_item(&name, encryption_key, ratchet_key, now)).part()
            }
            None => queues::prolong(&self.queue_table, &name, now).part(),
        };
        let packages = connection_package_items(record.next_connection_package(), &publication.packages);
        let packages = packages.map(|item| put_new(&self.table, item).part());
        let parts = [self.replace(record, publication).part(), queue].into_iter().chain(packages).collect();
        let Err(reasons) = transact(&self.client, parts).await? else { return Ok(()) };
        let mut reasons = reasons.into_iter();
        let (of_client, of_queue) = (reasons.next(), reasons.next());
        if is_condition_failed(of_client.as_ref()) {
            let item = of_client.and_then(|reason| reason.item).ok_or_else(client_unknown)?;
            return outcome(&item.into(), &record.client_id, &publication.request_hash, now);
        }
        if is_condition_failed(of_queue.as_ref()) && publication.queue.is_none() {
            return Err(queues::queue_unknown());
        }
        if is_condition_failed(of_queue.as_ref()) || reasons.any(|reason| is_condition_failed(Some(&reason))) {
            return Err(corrupt_item("a connection package, or the queue of a client that had none"));
        }
        Err(try_again())
    }

    /// The part of the transaction that moves the client's head and tail, if it is confirmed and they are where they were.
    fn replace(&self, record: &ClientRecord, publication: &ConnectionPublication) -> Update {
        let [head, tail] = CONNECTION_PACKAGES;
        let first = record.next_connection_package();
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(clients::key(&record.client_id).into()))
            .update_expression(format!("SET {head} = :tail, {tail} = :next, {CONNECTION_PACKAGES_HASH} = :hash"))
            .condition_expression(format!(
                "attribute_exists({CLIENT_CREDENTIAL}) AND attribute_not_exists({EXPIRES_AT}) AND {}",
                record.packages_condition()
            ))
            .expression_attribute_values(":tail", number(first))
            .expression_attribute_values(":next", number(first + publication.packages.len() as u64))
            .expression_attribute_values(":hash", bytes(&publication.request_hash))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .build()
            .expect("table, key and expression are given")
    }
}

/// What has come of a publication whose client is not as it was read.
fn outcome(item: &Item, client_id: &ClientId, request_hash: &[u8; 32], now: Timestamp) -> Result<(), Problem> {
    let state = ClientState::read(item, client_id.clone(), now)?;
    let record = state.live().filter(|record| record.is_confirmed()).ok_or_else(client_unknown)?;
    if record.has_published_by(request_hash) { Ok(()) } else { Err(connection_packages_outdated()) }
}

/// Checks the connection packages that a client brings.
///
/// # Errors
/// [`ProblemType::ConnectionPackageCount`], [`ProblemType::ConnectionPackageInvalid`],
/// [`ProblemType::ConnectionPackageDuplicate`].
pub fn check_connection_packages(
    packages: &[Bytes],
    client: &ClientCredentialPayload,
    now: Timestamp,
) -> Result<Vec<ConnectionPackage>, Problem> {
    if !(MIN_CONNECTION_PACKAGES..=MAX_CONNECTION_PACKAGES).contains(&packages.len()) {
        let count = packages.len();
        let detail = format!("{MIN_CONNECTION_PACKAGES} to {MAX_CONNECTION_PACKAGES} are wanted, {count} were sent");
        return Err(Problem::new(ProblemType::ConnectionPackageCount, detail));
    }
    let mut keys = HashSet::new();
    let mut checked = Vec::with_capacity(packages.len());
    for (index, bytes) in packages.iter().enumerate() {
        let package = ConnectionPackage::verify_owner(&bytes.0, &client.client_id, &client.verifying_key, now)
            .map_err(|error| {
                let detail = format!("connection_packages[{index}]: {error}");
                Problem::new(ProblemType::ConnectionPackageInvalid, detail)
            })?;
        if !keys.insert(package.payload().encryption_key) {
            let detail = format!("connection_packages[{index}] has the key of one before it");
            return Err(Problem::new(ProblemType::ConnectionPackageDuplicate, detail));
        }
        checked.push(package);
    }
    Ok(checked)
}

/// Checks the keys of the queue that a client brings.
///
/// # Errors
/// [`ProblemType::QueueKeyInvalid`].
pub fn check_queue_keys(queue: QueueKeys) -> Result<(HpkePublicKey, RatchetKey), Problem> {
    let encryption_key = HpkePublicKey::from_bytes(&queue.encryption_key.0).ok_or_else(|| {
        Problem::new(ProblemType::QueueKeyInvalid, "queue.encryption_key is an X25519 public key of 32 bytes")
    })?;
    Ok((encryption_key, queue.ratchet_key))
}

/// The problem of a publication that is not the next one.
pub fn connection_packages_outdated() -> Problem {
    let detail = "first_index must be the index behind the last package that the client ever published";
    Problem::new(ProblemType::ConnectionPackagesOutdated, detail)
}

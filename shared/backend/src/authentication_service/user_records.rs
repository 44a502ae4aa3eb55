//! Users, their clients, OPAQUE records and connection packages, in `AsTable`, and the clients' queues, in
//! `AsQueueTable`.
//!
//! | table | pk | sk | attributes |
//! |---|---|---|---|
//! | `AsTable` | `USER#<user_name>` | `USER` | `user_id` S, `created_on` N, `registration_hash` B, `registration_answer` B |
//! | | | `USER`, once the user is deleted | [`super::user_deletion`] |
//! | | | `CLIENT#<client uuid>` | the client's ([`super::clients`]) |
//! | | | `CONNECTION_PACKAGE#<client uuid>#<index>` | `connection_package` B, `expires_at` N |
//! | | `OPAQUE#<user_name>` | `OPAQUE` | the password's ([`super::passwords`]) |
//! | | `USER_ID#<user_id>` | `USER_ID` | `user_name` S |
//! | `AsQueueTable` | `CLIENT#<client_id>` | `QUEUE` | the queue's ([`crate::queues`]) |
//!
//! `created_on` is a day.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{Put, TransactWriteItem};
use vestibule_protocol::connection_package::ConnectionPackage;
use vestibule_protocol::credential::ClientCredential;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::keys::HpkePublicKey;
use vestibule_protocol::name::{ClientId, UserId, UserName};
use vestibule_protocol::opaque::{CredentialIdentifier, RegistrationRecord};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::queue::RatchetKey;
use vestibule_protocol::time::Timestamp;

use super::{clients, passwords};
use crate::dynamodb::{EXPIRES_AT, Item, corrupt_item, failed_call, is_condition_failed, put_new, try_again};
use crate::queues::{self, QueueName};
use crate::{Environment, StartError};

/// The attribute of a user who was deleted.
pub(super) const DELETED_ON: &str = "deleted_on";
/// The attribute that holds a connection package.
pub(super) const CONNECTION_PACKAGE: &str = "connection_package";
const REGISTRATION_HASH: &str = "registration_hash";
const REGISTRATION_ANSWER: &str = "registration_answer";

/// Everything that a registration brings into being, checked.
pub struct NewUser {
    /// The user's id.
    pub user_id: UserId,
    /// The first client's credential, which names client and user.
    pub client_credential: ClientCredential,
    /// What the password left.
    pub opaque_record: RegistrationRecord,
    /// Under which identifier.
    pub credential_identifier: CredentialIdentifier,
    /// The client's connection packages.
    pub connection_packages: Vec<ConnectionPackage>,
    /// The queue's HPKE key.
    pub queue_encryption_key: HpkePublicKey,
    /// The queue's initial ratchet key.
    pub queue_ratchet_key: RatchetKey,
    /// The hash of the request, by which its repetition is known.
    pub registration_hash: [u8; 32],
}

/// The users of the authentication service.
pub struct UserRecords {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

impl UserRecords {
    /// The users in the table named by `AS_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if the variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { client: environment.dynamodb(), table: environment.variable("AS_TABLE")?.to_owned() })
    }

    /// Whether the name has, or had, an owner: one read.
    ///
    /// # Errors
    /// A [`Problem`] if the read fails.
    pub async fn is_taken(&self, user_name: &UserName) -> Result<bool, Problem> {
        Ok(self.user_item(user_name).await?.is_some())
    }

    /// What finishing the registration of `user_name` with the request of this hash was answered with, if it was: one
    /// read.
    ///
    /// # Errors
    /// [`ProblemType::UserNameTaken`] if that user was deleted since, or the problem of a failed read.
    pub async fn registration_answer(
        &self,
        user_name: &UserName,
        registration_hash: &[u8; 32],
    ) -> Result<Option<Bytes>, Problem> {
        match self.user_item(user_name).await? {
            Some(item) => answer_to(&item, registration_hash),
            None => Ok(None),
        }
    }

    /// Creates a user with all that belongs to it, in one transaction, and returns the client's credential. The same
    /// registration again returns the same credential.
    ///
    /// # Errors
    /// [`ProblemType::UserNameTaken`], [`ProblemType::UserIdTaken`], or the problem of a failed call; nothing is stored
    /// then.
    pub async fn create(&self, queue_table: &str, user: &NewUser, now: Timestamp) -> Result<Bytes, Problem> {
        let puts = self.items(queue_table, user, now);
        let items = puts.into_iter().map(|put| TransactWriteItem::builder().put(put).build()).collect();
        let Err(error) = self.client.transact_write_items().set_transact_items(Some(items)).send().await else {
            return Ok(user.client_credential.to_bytes());
        };
        let Some(TransactWriteItemsError::TransactionCanceledException(canceled)) = error.as_service_error() else {
            return Err(failed_call("TransactWriteItems", &error));
        };
        let mut reasons = canceled.cancellation_reasons().iter();
        let (user_reason, user_id_reason) = (reasons.next(), reasons.next());
        if is_condition_failed(user_reason) {
            let item = user_reason.and_then(|reason| reason.item.clone()).unwrap_or_default();
            return answer_to(&Item::from(item), &user.registration_hash)?.ok_or_else(user_name_taken);
        }
        if is_condition_failed(user_id_reason) {
            return Err(Problem::new(ProblemType::UserIdTaken, "make a fresh version 4 UUID and register with it"));
        }
        if reasons.any(|reason| is_condition_failed(Some(reason))) {
            return Err(corrupt_item("a record of a user that does not exist"));
        }
        Err(try_again())
    }

    async fn user_item(&self, user_name: &UserName) -> Result<Option<Item>, Problem> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let request = request.set_key(Some(user_key(user_name).into()));
        let answer = request.send().await.map_err(|error| failed_call("GetItem", &error))?;
        Ok(answer.item.map(Item::from))
    }

    /// The items of a new user. The user itself comes first and its id second: [`UserRecords::create`] tells by the
    /// position which condition failed.
    fn items(&self, queue_table: &str, user: &NewUser, now: Timestamp) -> Vec<Put> {
        let credential = user.client_credential.payload();
        let user_name = &credential.client_id.user_name;
        let today = now.start_of_day();

        let user_item = user_key(user_name)
            .string("user_id", user.user_id.to_string())
            .time("created_on", today)
            .bytes(REGISTRATION_HASH, user.registration_hash)
            .bytes(REGISTRATION_ANSWER, user.client_credential.to_bytes());
        let user_id_item =
            Item::keyed(format!("USER_ID#{}", user.user_id), "USER_ID").string("user_name", user_name.as_str());
        let opaque_item =
            passwords::new_item(user_name, &user.user_id, &user.opaque_record, &user.credential_identifier);
        let [head, tail] = clients::CONNECTION_PACKAGES;
        let client_item = clients::key(&credential.client_id)
            .bytes(clients::CLIENT_CREDENTIAL, user.client_credential.to_bytes())
            .time(clients::CREATED_ON, today)
            .number(head, 0)
            .number(tail, user.connection_packages.len() as u64);
        let queue = QueueName::of_client(&credential.client_id);
        let queue_item = queues::new_item(&queue, &user.queue_encryption_key, &user.queue_ratchet_key, now);
        let package_items = connection_package_items(0, &user.connection_packages);

        [user_item, user_id_item, opaque_item, client_item]
            .into_iter()
            .chain(package_items)
            .map(|item| put_new(&self.table, item))
            .chain([put_new(queue_table, queue_item)])
            .collect()
    }
}

/// The key of a user's item.
pub(super) fn user_key(user_name: &UserName) -> Item {
    Item::keyed(format!("USER#{user_name}"), "USER")
}

/// The key of a client's queue.
pub(super) fn queue_key(client_id: &ClientId) -> Item {
    QueueName::of_client(client_id).key()
}

/// How the sort keys of connection packages begin.
const CONNECTION_PACKAGE_PREFIX: &str = "CONNECTION_PACKAGE#";

/// The key of a client's connection package.
pub(super) fn connection_package_key(client_id: &ClientId, index: u64) -> Item {
    let ClientId { user_name, uuid } = client_id;
    Item::keyed(format!("USER#{user_name}"), format!("{CONNECTION_PACKAGE_PREFIX}{uuid}#{index:010}"))
}

/// The items of connection packages of one client that have the indexes from `first_index` on. They expire with what they
/// hold.
pub(super) fn connection_package_items(first_index: u64, packages: &[ConnectionPackage]) -> impl Iterator<Item = Item> {
    (first_index..).zip(packages).map(|(index, package)| {
        connection_package_key(&package.payload().client_id, index)
            .bytes(CONNECTION_PACKAGE, package.to_bytes())
            .time(EXPIRES_AT, package.payload().expiration_data.not_after)
    })
}

/// What sorts before every connection package of a user, and behind the clients.
pub(super) fn connection_package_range_start() -> String {
    CONNECTION_PACKAGE_PREFIX.to_owned()
}

/// The answer kept in a user's item, if the registration that made it had this hash.
fn answer_to(item: &Item, registration_hash: &[u8; 32]) -> Result<Option<Bytes>, Problem> {
    if item.get_number(DELETED_ON).is_some() {
        return Err(user_name_taken());
    }
    let corrupt = || corrupt_item("a user");
    let stored_hash = item.get_bytes(REGISTRATION_HASH).ok_or_else(corrupt)?;
    if stored_hash != registration_hash {
        return Ok(None);
    }
    let answer = item.get_bytes(REGISTRATION_ANSWER).ok_or_else(corrupt)?;
    Ok(Some(Bytes(answer.to_vec())))
}

/// The problem of a name that is not free.
pub fn user_name_taken() -> Problem {
    Problem::new(ProblemType::UserNameTaken, "choose another user name")
}

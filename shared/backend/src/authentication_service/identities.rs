//! The identities of users, in `AsTable`: where each is, and how it came there.
//!
//! | pk | sk | attributes |
//! |---|---|---|
//! | `USER#<user_name>` | `IDENTITY` | `generation` N, `epoch` N, `follower` B, `group_info` B |
//! | | `IDENTITY#<generation>#<epoch>`, 10 digits each | `commit` B, which led to this epoch; `encrypted_user_secrets` B, what the committer told the other clients with it; `request_hash` B |
//! | | `IDENTITY#<generation>#0000000000` | `start` B, the GroupInfo with which the generation began; `request_hash` B; but for the first generation `previous_epoch` N and `previous_group_info` B, the last of the one before |
//!
//! What MLS has to say about it, the functions check that change an identity: `follower` is their state between two
//! requests and means nothing here. The hash is that of the request that led here, by which its repetition is known.

use aws_sdk_dynamodb::types::{AttributeValue, TransactWriteItem, Update};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{CommitIdentityResponse, GetIdentityResponse, IdentityPosition};
use vestibule_protocol::limits::IDENTITY_PAGE_LENGTH;
use vestibule_protocol::name::UserName;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::time::Timestamp;

use super::client_set::ClientSet;
use super::clients::{self, CLIENT_CREDENTIAL, ClientRecord};
use super::logins::{VerifiedLogin, login_invalid};
use super::passwords::Passwords;
use crate::dynamodb::{
    EXPIRES_AT, Item, PARTITION_KEY, SORT_KEY, TransactionPart as _, bytes, corrupt_item, failed_call,
    is_condition_failed, number, put_new, transact, try_again,
};
use crate::{Environment, StartError};

const IDENTITY: &str = "IDENTITY";
const GENERATION: &str = "generation";
const EPOCH: &str = "epoch";
const FOLLOWER: &str = "follower";
const GROUP_INFO: &str = "group_info";
const COMMIT: &str = "commit";
const ENCRYPTED_USER_SECRETS: &str = "encrypted_user_secrets";
const START: &str = "start";
const REQUEST_HASH: &str = "request_hash";
const PREVIOUS_EPOCH: &str = "previous_epoch";
const PREVIOUS_GROUP_INFO: &str = "previous_group_info";

/// An identity as it is now.
pub struct IdentityState {
    /// Where it is.
    pub position: IdentityPosition,
    /// The state with which the next change is checked.
    pub follower: Vec<u8>,
    /// The `GroupInfo` of this epoch.
    pub group_info: Bytes,
}

/// What a request makes of an identity, checked.
pub struct NextState<'a> {
    /// Where it will be.
    pub position: IdentityPosition,
    /// The state with which the next change will be checked.
    pub follower: Vec<u8>,
    /// The `GroupInfo` of that epoch.
    pub group_info: &'a Bytes,
    /// The hash of the request.
    pub request_hash: [u8; 32],
}

/// A commit, checked, with what came beside it.
pub struct AcceptedCommit<'a> {
    /// The commit.
    pub commit: &'a Bytes,
    /// What its committer tells the user's other clients, which alone can read it.
    pub encrypted_user_secrets: &'a Bytes,
}

impl NextState<'_> {
    /// What a request is answered with that led here.
    pub fn answer(&self) -> CommitIdentityResponse {
        answer(self.position)
    }
}

/// The identities of the deployment's users.
pub struct Identities {
    client: aws_sdk_dynamodb::Client,
    table: String,
    passwords: Passwords,
}

impl Identities {
    /// The identities in the table named by `AS_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if the variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            client: environment.dynamodb(),
            table: environment.variable("AS_TABLE")?.to_owned(),
            passwords: Passwords::new(environment)?,
        })
    }

    /// A user's identity as it is now; none if it was not started: one read.
    ///
    /// # Errors
    /// A [`Problem`] if the read fails.
    pub async fn read(&self, user_name: &UserName) -> Result<Option<IdentityState>, Problem> {
        let Some(item) = self.get(key(user_name)).await? else { return Ok(None) };
        let state = (|| {
            let (generation, epoch) = (item.get_number(GENERATION)?, item.get_number(EPOCH)?);
            Some(IdentityState {
                position: IdentityPosition { generation, epoch },
                follower: item.get_bytes(FOLLOWER)?.to_vec(),
                group_info: bytes_of(&item, GROUP_INFO)?,
            })
        })();
        state.map(Some).ok_or_else(|| corrupt_item("an identity"))
    }

    /// Whether the request of this hash led to this place: one read.
    ///
    /// # Errors
    /// A [`Problem`] if the read fails.
    pub async fn is_reached_by(
        &self,
        user_name: &UserName,
        position: IdentityPosition,
        request_hash: &[u8; 32],
    ) -> Result<bool, Problem> {
        let item = self.get(history_key(user_name, position)).await?;
        Ok(item.is_some_and(|item| item.get_bytes(REQUEST_HASH) == Some(request_hash)))
    }

    /// A part of an identity's history: one read and one query; another read for a generation that is over.
    ///
    /// # Errors
    /// [`ProblemType::IdentityUnknown`], or the problem of a failed call.
    pub async fn history(&self, user_name: &UserName, from: IdentityPosition) -> Result<GetIdentityResponse, Problem> {
        let IdentityPosition { generation, epoch } = from;
        let current = self.read(user_name).await?.ok_or_else(identity_unknown)?;
        let current_generation = current.position.generation;
        if !(1..=current_generation).contains(&generation) {
            return Err(identity_unknown());
        }
        let (last_epoch, group_info) = if generation == current_generation {
            (current.position.epoch, current.group_info)
        } else {
            self.end_of(user_name, generation).await?
        };
        let mut response = GetIdentityResponse {
            current_generation,
            last_epoch,
            start: None,
            commits: Vec::new(),
            encrypted_user_secrets: Vec::new(),
            group_info,
        };
        let first = if epoch == 0 { 0 } else { epoch.saturating_add(1) };
        if first > last_epoch {
            return Ok(response);
        }
        let corrupt = || corrupt_item("an identity's history");
        for item in self.query(user_name, generation, first, last_epoch).await? {
            match bytes_of(&item, START) {
                Some(start) => response.start = Some(start),
                None => {
                    response.commits.push(bytes_of(&item, COMMIT).ok_or_else(corrupt)?);
                    response.encrypted_user_secrets.push(bytes_of(&item, ENCRYPTED_USER_SECRETS));
                }
            }
        }
        Ok(response)
    }

    /// Starts an identity: one transaction.
    ///
    /// # Errors
    /// [`ProblemType::IdentitySuperseded`] if it is started already (the same request gets the same answer),
    /// [`ProblemType::TemporarilyUnavailable`] if the set of clients changed meanwhile, or the problem of a failed call;
    /// nothing is stored then.
    pub async fn start(&self, clients: &ClientSet, next: &NextState<'_>) -> Result<CommitIdentityResponse, Problem> {
        let user_name = clients.user_name();
        let identity = key(user_name)
            .number(GENERATION, next.position.generation)
            .number(EPOCH, next.position.epoch)
            .bytes(FOLLOWER, &next.follower)
            .bytes(GROUP_INFO, next.group_info);
        let history = self.history_item(user_name, next).bytes(START, next.group_info);
        let parts = vec![
            clients.check_unchanged(&self.table).part(),
            put_new(&self.table, identity).part(),
            put_new(&self.table, history).part(),
        ];
        self.write(user_name, next, parts).await
    }

    /// Changes an identity by a commit, and confirms a client if it is the one by which it does so itself: one
    /// transaction.
    ///
    /// # Errors
    /// [`ProblemType::IdentitySuperseded`] if another change came first (the same request gets the same answer),
    /// [`ProblemType::TemporarilyUnavailable`] if the set of clients changed meanwhile, or the problem of a failed call;
    /// nothing is stored then.
    pub async fn commit(
        &self,
        clients: &ClientSet,
        next: &NextState<'_>,
        accepted: &AcceptedCommit<'_>,
        confirmed: Option<&ClientRecord>,
        now: Timestamp,
    ) -> Result<CommitIdentityResponse, Problem> {
        let user_name = clients.user_name();
        let IdentityPosition { generation, epoch } = next.position;
        let from = IdentityPosition { generation, epoch: epoch.saturating_sub(1) };
        let clients_part = match confirmed {
            Some(_) => clients.change(&self.table).part(),
            None => clients.check_unchanged(&self.table).part(),
        };
        let history = self
            .history_item(user_name, next)
            .bytes(COMMIT, accepted.commit)
            .bytes(ENCRYPTED_USER_SECRETS, accepted.encrypted_user_secrets);
        let parts = [clients_part, self.advance(user_name, from, next).part(), put_new(&self.table, history).part()];
        let confirmation = confirmed.map(|record| self.confirm(record, now).part());
        self.write(user_name, next, parts.into_iter().chain(confirmation).collect()).await
    }

    /// Starts the next generation of an identity, by the right of a login: one transaction.
    ///
    /// # Errors
    /// [`ProblemType::LoginInvalid`] if the password was changed after the login,
    /// [`ProblemType::IdentitySuperseded`] if another change came first (the same request gets the same answer),
    /// [`ProblemType::TemporarilyUnavailable`] if the set of clients changed meanwhile, or the problem of a failed call;
    /// nothing is stored then.
    pub async fn reset(
        &self,
        clients: &ClientSet,
        previous: &IdentityState,
        next: &NextState<'_>,
        login: &VerifiedLogin,
    ) -> Result<CommitIdentityResponse, Problem> {
        let user_name = clients.user_name();
        let history = self
            .history_item(user_name, next)
            .bytes(START, next.group_info)
            .number(PREVIOUS_EPOCH, previous.position.epoch)
            .bytes(PREVIOUS_GROUP_INFO, &previous.group_info);
        let parts = vec![
            clients.check_unchanged(&self.table).part(),
            self.advance(user_name, previous.position, next).part(),
            put_new(&self.table, history).part(),
            self.passwords.check_unchanged(user_name, login.user()).part(),
        ];
        self.write(user_name, next, parts).await
    }

    /// Makes a transaction whose first parts are of the clients, the identity and its history; a login's is the fourth.
    async fn write(
        &self,
        user_name: &UserName,
        next: &NextState<'_>,
        parts: Vec<TransactWriteItem>,
    ) -> Result<CommitIdentityResponse, Problem> {
        let has_login = parts.get(3).is_some_and(|part| part.condition_check().is_some());
        let Err(reasons) = transact(&self.client, parts).await? else { return Ok(next.answer()) };
        let is_failed = |position| is_condition_failed(reasons.get(position));
        if is_failed(0) {
            return Err(try_again());
        }
        if is_failed(1) {
            // Perhaps it was this very request, sent twice.
            let is_done = self.is_reached_by(user_name, next.position, &next.request_hash).await?;
            return if is_done { Ok(next.answer()) } else { Err(identity_superseded()) };
        }
        Err(if has_login && is_failed(3) { login_invalid() } else { try_again() })
    }

    /// The part of a transaction that takes an identity from one place to the next.
    fn advance(&self, user_name: &UserName, from: IdentityPosition, next: &NextState<'_>) -> Update {
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(user_name).into()))
            .update_expression(format!(
                "SET {GENERATION} = :generation, {EPOCH} = :epoch, {FOLLOWER} = :follower, {GROUP_INFO} = :group_info"
            ))
            .condition_expression(format!("{GENERATION} = :from_generation AND {EPOCH} = :from_epoch"))
            .expression_attribute_values(":generation", number(next.position.generation))
            .expression_attribute_values(":epoch", number(next.position.epoch))
            .expression_attribute_values(":follower", bytes(&next.follower))
            .expression_attribute_values(":group_info", bytes(&next.group_info.0))
            .expression_attribute_values(":from_generation", number(from.generation))
            .expression_attribute_values(":from_epoch", number(from.epoch))
            .build()
            .expect("table, key and expression are given")
    }

    /// The part of a transaction by which a client is unconfirmed no more.
    fn confirm(&self, record: &ClientRecord, now: Timestamp) -> Update {
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(clients::key(&record.client_id).into()))
            .update_expression(format!("REMOVE {EXPIRES_AT}"))
            .condition_expression(format!("{CLIENT_CREDENTIAL} = :credential AND {EXPIRES_AT} > :now"))
            .expression_attribute_values(":credential", bytes(&record.client_credential.0))
            .expression_attribute_values(":now", number(now.seconds()))
            .build()
            .expect("table, key and expression are given")
    }

    fn history_item(&self, user_name: &UserName, next: &NextState<'_>) -> Item {
        history_key(user_name, next.position).bytes(REQUEST_HASH, next.request_hash)
    }

    /// The last epoch of a generation that is over, and its GroupInfo.
    async fn end_of(&self, user_name: &UserName, generation: u64) -> Result<(u64, Bytes), Problem> {
        let next_start = IdentityPosition { generation: generation + 1, epoch: 0 };
        let item = self.get(history_key(user_name, next_start)).await?;
        let end = item.and_then(|item| Some((item.get_number(PREVIOUS_EPOCH)?, bytes_of(&item, PREVIOUS_GROUP_INFO)?)));
        end.ok_or_else(|| corrupt_item("the beginning of an identity's generation"))
    }

    /// Items of a generation's history, in order: as many as an answer takes, or fit into a megabyte.
    async fn query(&self, user_name: &UserName, generation: u64, first: u64, last: u64) -> Result<Vec<Item>, Problem> {
        // The start comes on top.
        let limit = IDENTITY_PAGE_LENGTH + usize::from(first == 0);
        let sort_key = |epoch| AttributeValue::S(history_sort_key(IdentityPosition { generation, epoch }));
        let request = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .key_condition_expression(format!("{PARTITION_KEY} = :user AND {SORT_KEY} BETWEEN :first AND :last"))
            .expression_attribute_values(":user", AttributeValue::S(format!("USER#{user_name}")))
            .expression_attribute_values(":first", sort_key(first))
            .expression_attribute_values(":last", sort_key(last));
        let answer = request.send().await.map_err(|error| failed_call("Query", &error))?;
        Ok(answer.items.unwrap_or_default().into_iter().map(Item::from).collect())
    }

    async fn get(&self, key: Item) -> Result<Option<Item>, Problem> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true).set_key(Some(key.into()));
        let answer = request.send().await.map_err(|error| failed_call("GetItem", &error))?;
        Ok(answer.item.map(Item::from))
    }
}

/// What a request is answered with that led to this place.
pub fn answer(position: IdentityPosition) -> CommitIdentityResponse {
    CommitIdentityResponse { generation: position.generation, epoch: position.epoch }
}

/// The key of an identity's item.
pub(super) fn key(user_name: &UserName) -> Item {
    Item::keyed(format!("USER#{user_name}"), IDENTITY)
}

/// What sorts behind all of an identity's history.
pub(super) fn history_range_end() -> String {
    format!("{IDENTITY}#~")
}

fn history_key(user_name: &UserName, position: IdentityPosition) -> Item {
    Item::keyed(format!("USER#{user_name}"), history_sort_key(position))
}

/// Sorted as text they are sorted by number.
fn history_sort_key(position: IdentityPosition) -> String {
    format!("{IDENTITY}#{:010}#{:010}", position.generation, position.epoch)
}

fn bytes_of(item: &Item, name: &str) -> Option<Bytes> {
    item.get_bytes(name).map(|bytes| Bytes(bytes.to_vec()))
}

/// The problem of an identity that was not started, or has no such generation.
pub fn identity_unknown() -> Problem {
    Problem::new(ProblemType::IdentityUnknown, "the user has no identity, or not this generation of it")
}

/// The problem of a change that another one came before.
pub fn identity_superseded() -> Problem {
    Problem::new(
        ProblemType::IdentitySuperseded,
        "get what happened since, and make the change anew if it is still wanted",
    )
}

//! What each client has had of its allowance of tokens, in `AsTable`.
//!
//! | pk | sk | attributes |
//! |---|---|---|
//! | `TOKENS#<user_name>` | `CLIENT#<client uuid>` | `version` N, `batches`: list of B (`StoredBatch`), `expires_at` N |
//!
//! Time is divided into frames of one length, the same for everybody. A client may have so many batches in each. The answers
//! of this frame and the one before are kept, so that the same request has the same answer and counts once, and so that
//! nobody can use up a client's allowance by repeating what it sent: an older request's signature is stale.
//!
//! An answer says nothing of the tokens that the client makes of it.

use std::time::Duration;

use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use tls_codec::{DeserializeBytes as _, Serialize as _, TlsDeserializeBytes, TlsSerialize, TlsSize, VLBytes};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::IssueTokensResponse;
use vestibule_protocol::name::ClientId;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::time::Timestamp;

use crate::dynamodb::{EXPIRES_AT, Item, PARTITION_KEY, corrupt_item, failed_call, number, try_again};
use crate::metrics::{self, Metric};
use crate::{Environment, StartError};

const BATCHES: &str = "batches";
const VERSION: &str = "version";

/// A batch that was issued.
#[derive(Clone, TlsSize, TlsSerialize, TlsDeserializeBytes)]
struct StoredBatch {
    /// The first second of the frame that it counts for.
    frame: Timestamp,
    /// The hash of the request's body.
    request_hash: [u8; 32],
    next_allowance_at: Timestamp,
    token_response: VLBytes,
}

impl StoredBatch {
    fn to_bytes(&self) -> Vec<u8> {
        self.tls_serialize_detached().expect("a batch has a few KiB")
    }

    fn answer(&self) -> IssueTokensResponse {
        IssueTokensResponse {
            token_response: Bytes(self.token_response.as_slice().to_vec()),
            next_allowance_at: self.next_allowance_at,
        }
    }
}

/// The allowances of the deployment's clients.
pub struct TokenAllowances {
    client: aws_sdk_dynamodb::Client,
    table: String,
    time_frame: Duration,
    batches_per_frame: usize,
}

impl TokenAllowances {
    /// The allowances in the table named by `AS_TABLE`: `TOKEN_BATCHES_PER_CLIENT_AND_TIME_FRAME` in each
    /// `TOKEN_TIME_FRAME_HOURS`.
    ///
    /// # Errors
    /// [`StartError`] if a variable is missing or no number of at least 1.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        let hours = environment.positive_number("TOKEN_TIME_FRAME_HOURS")?;
        let batches = environment.positive_number("TOKEN_BATCHES_PER_CLIENT_AND_TIME_FRAME")?;
        Ok(Self {
            client: environment.dynamodb(),
            table: environment.variable("AS_TABLE")?.to_owned(),
            time_frame: Duration::from_secs(hours.saturating_mul(60 * 60)),
            batches_per_frame: usize::try_from(batches).unwrap_or(usize::MAX),
        })
    }

    /// The answer to a client's request: the stored one if there is one, else what `issue` makes if the client has something
    /// left: one read, and one write if it is new.
    ///
    /// # Errors
    /// [`ProblemType::TokenAllowanceUsedUp`] with the time until the next frame, what `issue` returns, or the problem of a
    /// failed call; nothing counts then.
    pub async fn take(
        &self,
        client_id: &ClientId,
        request_hash: [u8; 32],
        now: Timestamp,
        issue: impl FnOnce() -> Result<Vec<u8>, Problem>,
    ) -> Result<IssueTokensResponse, Problem> {
        let taken = self.read(client_id, now).await?;
        if let Some(batch) = taken.batch(&request_hash) {
            return Ok(batch.answer());
        }
        let frame = Timestamp::from_seconds(now.seconds() - now.seconds() % self.time_frame.as_secs());
        let frame_end = frame.saturating_add(self.time_frame);
        let used = taken.batches.iter().filter(|batch| batch.frame == frame).count();
        if used >= self.batches_per_frame {
            let seconds = frame_end.saturating_since(now).as_secs();
            let detail =
                format!("the client has had its tokens for this time-frame; the next are there in {seconds} seconds");
            return Err(Problem::new(ProblemType::TokenAllowanceUsedUp, detail).retry_after(seconds));
        }
        let next_allowance_at = if used + 1 < self.batches_per_frame { now } else { frame_end };
        let batch = StoredBatch { frame, request_hash, next_allowance_at, token_response: issue()?.into() };
        let answer = batch.answer();
        let replayable = frame.saturating_sub(self.time_frame);
        let batches = taken.batches.into_iter().filter(|batch| batch.frame >= replayable).chain([batch]);
        let item = key(client_id)
            .bytes_list(BATCHES, &batches.map(|batch| batch.to_bytes()).collect::<Vec<_>>())
            .number(VERSION, taken.version + 1)
            .time(EXPIRES_AT, frame_end.saturating_add(self.time_frame));
        match self.replace(item, taken.version, now).await? {
            None => {
                metrics::count(Metric::Tokens, "batch-issued", 1);
                Ok(answer)
            }
            // The same request met itself; or another one was faster, which this one sees when it is sent again.
            Some(meanwhile) => meanwhile.batch(&request_hash).map(StoredBatch::answer).ok_or_else(try_again),
        }
    }

    async fn read(&self, client_id: &ClientId, now: Timestamp) -> Result<Taken, Problem> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer = request.set_key(Some(key(client_id).into())).send().await;
        let item = answer.map_err(|error| failed_call("GetItem", &error))?.item.map(Item::from);
        let is_live = |item: &Item| item.get_time(EXPIRES_AT).is_some_and(|expires_at| now < expires_at);
        item.filter(is_live).map_or(Ok(Taken::default()), |item| Taken::read(&item))
    }

    /// Puts an item in place of the one of this version; 0 is the one that does not exist. If there is another one by now,
    /// that comes back.
    async fn replace(&self, item: Item, version: u64, now: Timestamp) -> Result<Option<Taken>, Problem> {
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item.into()));
        let put = match version {
            0 => put
                .condition_expression(format!("attribute_not_exists({PARTITION_KEY}) OR {EXPIRES_AT} <= :now"))
                .expression_attribute_values(":now", number(now.seconds())),
            version => put
                .condition_expression(format!("{VERSION} = :version"))
                .expression_attribute_values(":version", number(version)),
        };
        let put = put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = put.send().await else { return Ok(None) };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                failed.item.clone().map(Item::from).map_or(Ok(Taken::default()), |item| Taken::read(&item)).map(Some)
            }
            _ => Err(failed_call("PutItem", &error)),
        }
    }
}

/// What a client has had.
#[derive(Default)]
struct Taken {
    version: u64,
    batches: Vec<StoredBatch>,
}

impl Taken {
    fn read(item: &Item) -> Result<Self, Problem> {
        let batches = item.get_bytes_list(BATCHES).and_then(|batches| {
            batches.into_iter().map(|bytes| StoredBatch::tls_deserialize_exact_bytes(bytes).ok()).collect()
        });
        let taken = item.get_number(VERSION).zip(batches);
        taken.map(|(version, batches)| Self { version, batches }).ok_or_else(|| corrupt_item("a token allowance"))
    }

    fn batch(&self, request_hash: &[u8; 32]) -> Option<&StoredBatch> {
        self.batches.iter().find(|batch| batch.request_hash == *request_hash)
    }
}

fn key(client_id: &ClientId) -> Item {
    Item::keyed(format!("TOKENS#{}", client_id.user_name), format!("CLIENT#{}", client_id.uuid))
}

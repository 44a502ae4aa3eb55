//! The clients of users, in `AsTable`, as those who sign requests.
//!
//! | pk | sk | attributes |
//! |---|---|---|
//! | `USER#<user_name>` | `CLIENT#<client uuid>` | `client_credential` B, `created_on` N, and once it has published connection packages `connection_packages_head` N, `…_tail` N, and `…_hash` B but for those of its registration |
//! | | `CLIENT#…`, while it is unconfirmed | the same, and `expires_at` N |
//! | | `CLIENT#…`, once it is removed | `removed_on` N |
//!
//! A client that was added is *unconfirmed* until it has confirmed itself in the user's identity, and *lapses* at
//! `expires_at`: then it does not exist, though its item may still be there. Of a removed client a tombstone stays, so that
//! nothing brings it back. `created_on` and `removed_on` are days.

use std::ops::Range;

use vestibule_protocol::credential::ClientCredentialPayload;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::Endpoint;
use vestibule_protocol::name::{ClientId, UserName};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::request_signature::RequestSignature;
use vestibule_protocol::signed::Unverified;
use vestibule_protocol::time::Timestamp;

use crate::dynamodb::{EXPIRES_AT, Item, corrupt_item, failed_call};
use crate::{EndpointRequest, Environment, StartError, signature_problem};

/// The attribute that holds a client's credential.
pub(super) const CLIENT_CREDENTIAL: &str = "client_credential";
/// The attribute that holds the day of a client's first credential.
pub(super) const CREATED_ON: &str = "created_on";
/// The attribute of a tombstone.
pub(super) const REMOVED_ON: &str = "removed_on";
/// The attributes that hold the indexes of a client's connection packages: the next one, and the one after the last.
pub(super) const CONNECTION_PACKAGES: [&str; 2] = ["connection_packages_head", "connection_packages_tail"];
/// The attribute that holds the hash of the request that published them.
pub(super) const CONNECTION_PACKAGES_HASH: &str = "connection_packages_hash";

/// A client that is one of the user's, or was about to be.
#[derive(Clone)]
pub struct ClientRecord {
    /// Which client.
    pub client_id: ClientId,
    /// Its current `ClientCredential`.
    pub client_credential: Bytes,
    /// What that says. The authentication service signed it before it stored it.
    pub payload: ClientCredentialPayload,
    expires_at: Option<Timestamp>,
    pub(super) connection_packages: Range<u64>,
    connection_packages_hash: Option<[u8; 32]>,
}

impl ClientRecord {
    /// Whether it has confirmed itself in the user's identity, or began it.
    pub fn is_confirmed(&self) -> bool {
        self.expires_at.is_none()
    }

    /// The index of the next connection package that it publishes: as many as it ever has.
    pub fn next_connection_package(&self) -> u64 {
        self.connection_packages.end
    }

    /// Whether its connection packages are those that the request with this hash brought.
    pub fn has_published_by(&self, request_hash: &[u8; 32]) -> bool {
        self.connection_packages_hash.as_ref() == Some(request_hash)
    }

    /// The condition that it has published as many connection packages as it had, `:tail`.
    pub(super) fn packages_condition(&self) -> String {
        let [_, tail] = CONNECTION_PACKAGES;
        // Every value of an expression has to be used in it.
        match self.connection_packages.end {
            0 => format!("(attribute_not_exists({tail}) OR {tail} = :tail)"),
            _ => format!("{tail} = :tail"),
        }
    }

    /// Checks that it made this signature.
    fn check_signature(&self, signature: &RequestSignature) -> Result<(), Problem> {
        signature.verify(&self.payload.verifying_key).map_err(signature_problem)
    }
}

/// What an item says of a client.
pub enum ClientState {
    /// It is one of the user's clients, confirmed or not.
    Live(ClientRecord),
    /// It was not confirmed in time.
    Lapsed(ClientRecord),
    /// It was removed. Its id is not used again.
    Removed,
}

impl ClientState {
    /// What the item of this client says at `now`.
    pub(super) fn read(item: &Item, client_id: ClientId, now: Timestamp) -> Result<Self, Problem> {
        if item.get_number(REMOVED_ON).is_some() {
            return Ok(Self::Removed);
        }
        let client_credential = item.get_bytes(CLIENT_CREDENTIAL).map(|bytes| Bytes(bytes.to_vec()));
        let record = client_credential.and_then(|client_credential| {
            let credential = Unverified::<ClientCredentialPayload>::from_bytes(&client_credential.0).ok()?;
            let payload = credential.claim().clone();
            let expires_at = item.get_time(EXPIRES_AT);
            let [head, tail] = CONNECTION_PACKAGES.map(|name| item.get_number(name).unwrap_or(0));
            let hash = item.get_bytes(CONNECTION_PACKAGES_HASH);
            Some(ClientRecord {
                client_id,
                client_credential,
                payload,
                expires_at,
                connection_packages: head..tail,
                connection_packages_hash: hash.map(TryInto::try_into).transpose().ok()?,
            })
        });
        let record = record.ok_or_else(|| corrupt_item("a client"))?;
        let is_lapsed = record.expires_at.is_some_and(|expires_at| expires_at <= now);
        Ok(if is_lapsed { Self::Lapsed(record) } else { Self::Live(record) })
    }

    /// The client, if it is one of the user's.
    pub fn live(&self) -> Option<&ClientRecord> {
        match self {
            Self::Live(record) => Some(record),
            Self::Lapsed(_) | Self::Removed => None,
        }
    }
}

/// The clients of the deployment's users.
pub struct Clients {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

impl Clients {
    /// The clients in the table named by `AS_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if the variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { client: environment.dynamodb(), table: environment.variable("AS_TABLE")?.to_owned() })
    }

    /// Which client of `user_name` signed the request; none if it is not signed at all. A signed request takes one read.
    ///
    /// # Errors
    /// [`ProblemType::ClientUnknown`] if the user has no such client, [`ProblemType::ClientUnconfirmed`], the problem of a
    /// signature that is not right, or that of a failed call.
    pub async fn authenticate_if_signed<E: Endpoint>(
        &self,
        request: &EndpointRequest<E>,
        user_name: &UserName,
        tag: &str,
        now: Timestamp,
    ) -> Result<Option<ClientId>, Problem> {
        if !request.is_signed() {
            return Ok(None);
        }
        let signature = request.signature(tag, now)?;
        self.signer(&signature, user_name, now).await.map(|record| Some(record.client_id))
    }

    /// Makes sure that this client signed the request, and gives its record: one read.
    ///
    /// # Errors
    /// [`ProblemType::ClientUnknown`] if there is no such client (any more) or another one signed,
    /// [`ProblemType::ClientUnconfirmed`], the problem of a signature that is missing or not right, or that of a failed
    /// call.
    pub async fn authenticate<E: Endpoint>(
        &self,
        request: &EndpointRequest<E>,
        client_id: &ClientId,
        tag: &str,
        now: Timestamp,
    ) -> Result<ClientRecord, Problem> {
        let signature = request.signature(tag, now)?;
        if signature.key_id() != client_id.to_string() {
            let detail = "the signature's keyid must be the id of the client that the request is about";
            return Err(Problem::new(ProblemType::ClientUnknown, detail));
        }
        self.signer(&signature, &client_id.user_name, now).await
    }

    /// The client of `user_name` that the signature names as its key, if it is its key's: a live record and not the
    /// credential's chain is what counts.
    async fn signer(
        &self,
        signature: &RequestSignature,
        user_name: &UserName,
        now: Timestamp,
    ) -> Result<ClientRecord, Problem> {
        let client_id = claimed_signer(signature, user_name)?;
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let request = request.set_key(Some(key(&client_id).into()));
        let answer = request.send().await.map_err(|error| failed_call("GetItem", &error))?;
        let item = answer.item.map(Item::from).ok_or_else(client_unknown)?;
        let state = ClientState::read(&item, client_id, now)?;
        let record = checked_signer(signature, Some(&state))?;
        if record.is_confirmed() { Ok(record.clone()) } else { Err(client_unconfirmed()) }
    }
}

/// The client of `user_name` that a signature names as its key.
pub(super) fn claimed_signer(signature: &RequestSignature, user_name: &UserName) -> Result<ClientId, Problem> {
    let client_id = signature.key_id().parse().ok();
    client_id.filter(|client_id: &ClientId| client_id.user_name == *user_name).ok_or_else(client_unknown)
}

/// The live client, confirmed or not, that made a signature.
pub(super) fn checked_signer<'a>(
    signature: &RequestSignature,
    state: Option<&'a ClientState>,
) -> Result<&'a ClientRecord, Problem> {
    let record = state.and_then(ClientState::live).ok_or_else(client_unknown)?;
    record.check_signature(signature)?;
    Ok(record)
}

/// The key of a client's item.
pub(super) fn key(client_id: &ClientId) -> Item {
    Item::keyed(format!("USER#{}", client_id.user_name), format!("CLIENT#{}", client_id.uuid))
}

/// The problem of a request that no client of the user signed.
pub(super) fn client_unknown() -> Problem {
    let detail = "the signature's keyid must be the id of a client of this user";
    Problem::new(ProblemType::ClientUnknown, detail)
}

/// The problem of a client that may do nothing but confirm or withdraw itself.
pub fn client_unconfirmed() -> Problem {
    Problem::new(ProblemType::ClientUnconfirmed, "the client has to confirm itself in the user's identity first")
}

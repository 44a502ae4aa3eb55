//! The clients of users, in `AsTable`, as those who sign requests.
//!
//! | pk | sk | attributes |
//! |---|---|---|
//! | `USER#<user_name>` | `CLIENT#<client uuid>` | `client_credential` B, and others ([`super::user_records`]) |

use vestibule_protocol::credential::ClientCredentialPayload;
use vestibule_protocol::endpoint::Endpoint;
use vestibule_protocol::name::{ClientId, UserName};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::request_signature::RequestSignature;
use vestibule_protocol::signed::Unverified;
use vestibule_protocol::time::Timestamp;

use crate::dynamodb::{Item, corrupt_item, failed_call};
use crate::{EndpointRequest, Environment, StartError, signature_problem};

/// The attribute that holds a client's credential.
pub(super) const CLIENT_CREDENTIAL: &str = "client_credential";

/// The live clients of the deployment's users.
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
    /// [`ProblemType::ClientUnknown`] if the user has no such client, the problem of a signature that is not right, or that
    /// of a failed call.
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
        self.signer(&signature, user_name).await.map(Some)
    }

    /// Makes sure that this client signed the request: one read.
    ///
    /// # Errors
    /// [`ProblemType::ClientUnknown`] if there is no such client (any more) or another one signed, the problem of a signature
    /// that is missing or not right, or that of a failed call.
    pub async fn authenticate<E: Endpoint>(
        &self,
        request: &EndpointRequest<E>,
        client_id: &ClientId,
        tag: &str,
        now: Timestamp,
    ) -> Result<(), Problem> {
        let signature = request.signature(tag, now)?;
        if signature.key_id() != client_id.to_string() {
            let detail = "the signature's keyid must be the client id in the body";
            return Err(Problem::new(ProblemType::ClientUnknown, detail));
        }
        self.signer(&signature, &client_id.user_name).await.map(drop)
    }

    /// The client of `user_name` that the signature names as its key, if it is its key's: a live record and not the
    /// credential's chain is what counts.
    async fn signer(&self, signature: &RequestSignature, user_name: &UserName) -> Result<ClientId, Problem> {
        let unknown = || {
            let detail = "the signature's keyid must be the id of a client of this user";
            Problem::new(ProblemType::ClientUnknown, detail)
        };
        let client_id: ClientId = signature.key_id().parse().map_err(|_| unknown())?;
        if client_id.user_name != *user_name {
            return Err(unknown());
        }
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let request = request.set_key(Some(key(&client_id).into()));
        let answer = request.send().await.map_err(|error| failed_call("GetItem", &error))?;
        let item = answer.item.map(Item::from).ok_or_else(unknown)?;
        let credential = item.get_bytes(CLIENT_CREDENTIAL);
        let credential = credential.and_then(|bytes| Unverified::<ClientCredentialPayload>::from_bytes(bytes).ok());
        let credential = credential.ok_or_else(|| corrupt_item("a client"))?;
        // The authentication service verified it before it stored it.
        signature.verify(&credential.claim().verifying_key).map_err(signature_problem)?;
        Ok(client_id)
    }
}

/// The key of a client's item.
pub(super) fn key(client_id: &ClientId) -> Item {
    Item::keyed(format!("USER#{}", client_id.user_name), format!("CLIENT#{}", client_id.uuid))
}

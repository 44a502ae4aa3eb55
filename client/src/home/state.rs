//! What the state holds: what must survive and nothing else. No password, no OPAQUE blind, no export key, no
//! storage key.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use vestibule_protocol::encoding::{Bytes, SecretBytes, secret};
use vestibule_protocol::keys::{ClientCredentialKey, HpkePrivateKey, SigningKey};
use vestibule_protocol::name::{ClientId, ClientUuid, UserId, UserName};
use vestibule_protocol::queue::{QueueKeys, RatchetKey};
use vestibule_protocol::randomness::Randomness;
use vestibule_protocol::signed::Fingerprint;
use zeroize::Zeroizing;

use super::json::to_secret_json;
use super::{
    Approval, ConnectionPackages, Deletion, HomeError, IdentityState, KeyServerState, Pseudonym, QueuingServiceState,
    Renewal, UserSecrets, connection_packages,
};
use crate::api::RequestSigner;
use crate::error::Error;
use crate::server_url::ServerUrl;

/// The version of [`State`]'s form. Whoever changes the form raises it and reads the older ones too.
///
/// Version 1 knew no queuing service: its accounts have no pseudonym yet. Version 2 knew no key server either, version 3 no
/// identity and no linked devices, version 4 no linked devices at the queuing service, and no direct queues of theirs; the
/// keys of connection packages were a list up to then. Nothing else differs.
const VERSION: u16 = 5;

/// Everything a client keeps.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    version: u16,
    /// Where the server was last.
    pub(crate) server: ServerUrl,
    /// The `AsCredential` that this client trusts, for ever.
    #[serde(with = "fingerprint")]
    pub(crate) trusted_root: Fingerprint,
    /// The account, from the moment its keys exist.
    pub(crate) account: Option<Account>,
}

impl State {
    /// A state without an account.
    pub(crate) fn new(server: ServerUrl, trusted_root: Fingerprint) -> Self {
        Self { version: VERSION, server, trusted_root, account: None }
    }

    pub(super) fn to_json(&self) -> Zeroizing<Vec<u8>> {
        to_secret_json(self)
    }

    /// Reads a state that was opened from the file `path`.
    pub(super) fn from_json(json: &[u8], path: &Path) -> Result<Self, HomeError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u16,
        }
        let damaged = |_| HomeError::Damaged(path.to_owned());
        if serde_json::from_slice::<Versioned>(json).map_err(damaged)?.version > VERSION {
            return Err(HomeError::NewerVersion(path.to_owned()));
        }
        let mut state: Self = serde_json::from_slice(json).map_err(damaged)?;
        state.account.iter_mut().for_each(Account::modernize);
        Ok(Self { version: VERSION, ..state })
    }
}

/// A user's account on this device.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Account {
    pub(crate) user_name: UserName,
    pub(crate) user_id: UserId,
    pub(crate) device_name: String,
    pub(crate) client_uuid: ClientUuid,
    /// The key of the client's credential.
    #[serde(with = "secret")]
    pub(crate) client_credential_key: SigningKey<ClientCredentialKey>,
    /// The root under which the client's credential was issued.
    pub(crate) as_credential: Bytes,
    /// The intermediate that signs the client's credential.
    pub(crate) as_intermediate_credential: Bytes,
    /// Whether the client was linked, or may have been, by another one of the user's.
    #[serde(default)]
    pub(crate) was_linked: bool,
    /// The client's queue at the authentication service. One that was linked makes it with its first connection packages.
    pub(crate) as_queue: Option<OwnQueue>,
    #[serde(alias = "connection_keys", deserialize_with = "connection_packages::read")]
    pub(crate) connection_packages: ConnectionPackages,
    pub(crate) authentication_service: AuthenticationServiceState,
    /// The key server, as soon as it has the user's storage key.
    pub(crate) key_server: Option<KeyServerState>,
    /// The client at the queuing service.
    pub(crate) pseudonym: Option<Pseudonym>,
    /// What a client has of the user's pseudonym that was linked before linked clients had one of their own.
    pub(crate) user_secrets: Option<UserSecrets>,
    /// The user's identity, from the moment this client makes or joins it.
    pub(crate) identity: Option<IdentityState>,
    pub(crate) renewal: Option<Renewal>,
    pub(crate) approval: Option<Approval>,
    /// From the moment that the account is being deleted.
    pub(crate) deletion: Option<Deletion>,
}

impl Account {
    /// Brings what an older version kept into the form of this one.
    fn modernize(&mut self) {
        // Clients that were linked had no queue then, and no others had none.
        self.was_linked |= self.as_queue.is_none();
    }

    /// The client's id.
    pub(crate) fn client_id(&self) -> ClientId {
        ClientId { user_name: self.user_name.clone(), uuid: self.client_uuid }
    }

    /// The client, as it signs requests to services that know it by its credential.
    pub(crate) fn signer(&self) -> RequestSigner<'_, ClientCredentialKey> {
        RequestSigner {
            key: &self.client_credential_key,
            key_id: self.client_id().to_string(),
            domain: self.user_name.domain().clone(),
        }
    }

    /// Whether the authentication service is known to have the client.
    pub(crate) fn is_registered(&self) -> bool {
        self.client_credential().is_some()
    }

    /// The client's `ClientCredential`, as soon as there is one. It was verified before it was kept.
    pub(crate) fn client_credential(&self) -> Option<&Bytes> {
        match &self.authentication_service {
            AuthenticationServiceState::Finishing { .. } | AuthenticationServiceState::Linking { .. } => None,
            AuthenticationServiceState::Registered { client_credential } => Some(client_credential),
        }
    }

    /// Whether this client was linked, or may have been, by another one of the user's.
    pub(crate) fn is_linked(&self) -> bool {
        self.was_linked
    }

    /// What is under way where something needs a client that is complete.
    pub(crate) fn incomplete(&self) -> Error {
        match &self.authentication_service {
            AuthenticationServiceState::Linking { .. } => Error::LinkingUnderWay(self.user_name.clone()),
            AuthenticationServiceState::Registered { .. } if self.is_linked() => Error::NotAtQueuingService,
            _ => Error::RegistrationUnderWay(self.user_name.clone()),
        }
    }

    /// # Errors
    /// [`Error::DeletionUnderWay`].
    pub(crate) fn check_not_being_deleted(&self) -> Result<(), Error> {
        match self.deletion {
            Some(_) => Err(Error::DeletionUnderWay(self.user_name.clone())),
            None => Ok(()),
        }
    }

    /// Whether the server is known to have the user's identity, with this client in it.
    pub(crate) fn has_identity(&self) -> bool {
        self.identity.as_ref().is_some_and(|identity| identity.member.is_some())
    }

    /// The same, if the server has issued it, whether this client has confirmed itself or not.
    pub(crate) fn client_credential_if_issued(&self) -> Option<&Bytes> {
        match &self.authentication_service {
            AuthenticationServiceState::Linking { client_credential, .. } => Some(client_credential),
            _ => self.client_credential(),
        }
    }

    /// Whether the key server is known to have the user's storage key.
    pub(crate) fn has_storage_key(&self) -> bool {
        self.key_server.is_some()
    }

    /// Whether the queuing service is known to have the pseudonym.
    pub(crate) fn has_pseudonym(&self) -> bool {
        let state = self.pseudonym.as_ref().map(|pseudonym| &pseudonym.queuing_service);
        matches!(state, Some(QueuingServiceState::Created { .. }))
    }

    /// Whether friends have KeyPackages to claim.
    pub(crate) fn has_published(&self) -> bool {
        self.pseudonym.as_ref().is_some_and(|pseudonym| !pseudonym.publications.published.is_empty())
    }
}

/// How far the registration with the authentication service has come.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum AuthenticationServiceState {
    /// The user may or may not exist: the answer to the request tells.
    Finishing {
        /// The body of the request to finish the registration.
        #[serde(with = "secret")]
        request: KeptRequest,
        /// The `ClientCredentialCsr` that says which credential is asked for.
        client_credential_csr: Bytes,
    },
    /// The client may or may not have confirmed itself in the user's identity: the answer to the commit tells.
    Linking {
        client_credential: Bytes,
        /// Whether the root was trusted before there was talk of linking.
        was_root_trusted: bool,
    },
    /// The client exists, and this is its `ClientCredential`.
    Registered { client_credential: Bytes },
}

/// The client's end of a queue.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnQueue {
    /// Opens the ratchet's later fresh randomness.
    #[serde(with = "secret")]
    pub(crate) decryption_key: HpkePrivateKey,
    /// The initial ratchet key.
    #[serde(with = "secret")]
    pub(crate) ratchet_key: RatchetKey,
}

impl OwnQueue {
    /// A new queue's.
    pub(crate) fn generate(randomness: &mut Randomness) -> Self {
        Self { decryption_key: HpkePrivateKey::generate(randomness), ratchet_key: RatchetKey::generate(randomness) }
    }

    /// What the service is given of it.
    pub(crate) fn keys(&self) -> QueueKeys {
        QueueKeys {
            encryption_key: Bytes(self.decryption_key.public_key().as_bytes().to_vec()),
            ratchet_key: self.ratchet_key.clone(),
        }
    }
}

/// The exact bytes of a request's body, kept before they are first sent so that every attempt sends the same. They
/// contain secrets of the client and the service: zeroized on drop, not printable.
pub(crate) struct KeptRequest(Zeroizing<Vec<u8>>);

impl KeptRequest {
    /// Writes a request down.
    pub(crate) fn new(request: &impl Serialize) -> Self {
        Self(to_secret_json(request))
    }

    /// The bytes to send.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl SecretBytes for KeptRequest {
    fn to_secret_bytes(&self) -> Zeroizing<Vec<u8>> {
        self.0.clone()
    }

    fn from_secret_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(bytes.to_vec())))
    }
}

impl fmt::Debug for KeptRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeptRequest({} bytes)", self.0.len())
    }
}

/// A fingerprint as base64url.
mod fingerprint {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};
    use vestibule_protocol::encoding::Bytes;
    use vestibule_protocol::signed::Fingerprint;

    pub(super) fn serialize<S: Serializer>(fingerprint: &Fingerprint, serializer: S) -> Result<S::Ok, S::Error> {
        Bytes(fingerprint.as_bytes().to_vec()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Fingerprint, D::Error> {
        let bytes = <[u8; 32]>::try_from(Bytes::deserialize(deserializer)?.0);
        bytes.map(Fingerprint::from).map_err(|_| D::Error::custom("a fingerprint has 32 bytes"))
    }
}

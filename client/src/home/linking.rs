//! What the state holds of devices that are being linked, and of credentials that are being renewed.

use serde::{Deserialize, Serialize};
use vestibule_protocol::device_label::DeviceName;
use vestibule_protocol::encoding::{Bytes, secret};
use vestibule_protocol::name::ClientUuid;
use vestibule_protocol::rendezvous::RendezvousCode;

use super::KeptRequest;

/// A device that this one lets in. Kept from before the server first hears of it until it is known what came of it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approval {
    /// The code under which the devices meet.
    pub(crate) code: RendezvousCode,
    pub(crate) client_uuid: ClientUuid,
    pub(crate) device_name: DeviceName,
    /// The body of the request to sign the new client's credential.
    #[serde(with = "secret")]
    pub(crate) request: KeptRequest,
    /// As soon as the server has accepted the commit that adds it.
    pub(crate) added: Option<AddedClient>,
}

/// A client that was added to the identity.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddedClient {
    pub(crate) generation: u64,
    /// The epoch after the commit.
    pub(crate) epoch: u64,
    pub(crate) welcome: Bytes,
}

/// A credential that is being renewed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Renewal {
    /// The body of the request.
    #[serde(with = "secret")]
    pub(crate) request: KeptRequest,
    pub(crate) as_credential: Bytes,
    pub(crate) as_intermediate_credential: Bytes,
}

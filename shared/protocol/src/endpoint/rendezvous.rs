//! The endpoints of the rendezvous service (`new-device-sequence.md`, row 1). What follows them goes over its relay:
//! [`rendezvous::frame`](crate::rendezvous::frame).

use serde::{Deserialize, Serialize};

use super::{Authentication, Description, Endpoint, Method, Path};
#[cfg(feature = "schema")]
use crate::encoding::Bytes;
use crate::encoding::secret;
use crate::limits::MAX_RENDEZVOUS_REQUEST_LENGTH;
use crate::name::ClientId;
use crate::problem::{Problem, ProblemType};
use crate::rendezvous::{MailboxId, RendezvousCode};
use crate::symmetric::RendezvousTicket;
use crate::time::Timestamp;

/// `POST /v1/rendezvous`: a device that nobody knows yet gets a code and a mailbox. The same ticket again gets the same
/// answer.
pub struct CreateRendezvous;

impl Endpoint for CreateRendezvous {
    const DESCRIPTION: Description = Description {
        function: "rs-create",
        method: Method::Post,
        path: "/v1/rendezvous",
        summary: "Gives a new device a rendezvous code and a mailbox.",
        authentication: Authentication::None,
        max_request_length: MAX_RENDEZVOUS_REQUEST_LENGTH,
        status: 201,
        max_age: 0,
        problems: &[ProblemType::RendezvousTicketTaken, ProblemType::RateLimited],
    };
    type Path = ();
    type Request = CreateRendezvousRequest;
    type Response = CreateRendezvousResponse;
}

/// What the new device brings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateRendezvousRequest {
    /// The ticket (32 random bytes) that is to open the new device's side of the mailbox. A secret of the device and
    /// the relay.
    #[serde(with = "secret")]
    #[cfg_attr(feature = "schema", schemars(with = "Bytes"))]
    pub ticket: RendezvousTicket,
}

/// Where the new device waits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CreateRendezvousResponse {
    /// The code that a person types into the existing device.
    pub code: RendezvousCode,
    /// The mailbox.
    pub mailbox_id: MailboxId,
    /// Where the relay is: a `wss` URL (`ws` on the same machine).
    pub relay_url: String,
    /// Until when the code can be joined.
    pub expires_at: Timestamp,
}

/// `POST /v1/rendezvous/{code}/join`: an existing device joins a waiting one, which nobody can do after it. The same
/// ticket again gets the same answer.
pub struct JoinRendezvous;

impl Endpoint for JoinRendezvous {
    const DESCRIPTION: Description = Description {
        function: "rs-join",
        method: Method::Post,
        path: "/v1/rendezvous/{code}/join",
        summary: "Joins the device that waits under a rendezvous code.",
        authentication: Authentication::ClientCredentialKey,
        max_request_length: MAX_RENDEZVOUS_REQUEST_LENGTH,
        status: 200,
        max_age: 0,
        problems: &[
            ProblemType::InvalidRendezvousCode,
            ProblemType::ForeignDomain,
            ProblemType::ClientUnknown,
            ProblemType::RendezvousCodeUnknown,
            ProblemType::RendezvousCodeExpired,
            ProblemType::RendezvousCodeJoined,
            ProblemType::RendezvousTicketTaken,
            ProblemType::RateLimited,
        ],
    };
    type Path = RendezvousPath;
    type Request = JoinRendezvousRequest;
    type Response = JoinRendezvousResponse;
}

/// A path that names a rendezvous.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RendezvousPath {
    /// The rendezvous' code, `{code}`.
    pub code: RendezvousCode,
}

impl Path for RendezvousPath {
    fn expand(&self, template: &str) -> String {
        template.replace("{code}", &self.code.to_string())
    }

    fn read<'a>(parameter: impl Fn(&str) -> Option<&'a str>) -> Result<Self, Problem> {
        let text = parameter("code").unwrap_or_default();
        let code = text.parse().map_err(|error| Problem::new(ProblemType::InvalidRendezvousCode, error))?;
        Ok(Self { code })
    }
}

/// Who joins. The request is signed by this client's credential key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct JoinRendezvousRequest {
    /// The existing client, `user name/client UUID`.
    pub client_id: ClientId,
    /// The ticket (32 random bytes) that is to open the existing device's side of the mailbox. A secret of the device
    /// and the relay.
    #[serde(with = "secret")]
    #[cfg_attr(feature = "schema", schemars(with = "Bytes"))]
    pub ticket: RendezvousTicket,
}

/// Where the devices meet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct JoinRendezvousResponse {
    /// The mailbox.
    pub mailbox_id: MailboxId,
    /// Where the relay is: a `wss` URL (`ws` on the same machine).
    pub relay_url: String,
    /// Until when the mailbox lasts.
    pub expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_code_in_its_one_form() {
        let path = RendezvousPath { code: RendezvousCode::from_number(27182) };
        assert_eq!(path.expand(JoinRendezvous::DESCRIPTION.path), "/v1/rendezvous/27182/join");
        assert_eq!(RendezvousPath::read(|name| (name == "code").then_some("27182")), Ok(path));
        for code in [None, Some(""), Some("027182"), Some("4294967296")] {
            let problem = RendezvousPath::read(|_| code).unwrap_err();
            assert_eq!(problem.problem_type, ProblemType::InvalidRendezvousCode);
        }
    }

    #[test]
    fn a_request_has_a_ticket_of_32_bytes_and_nothing_unknown() {
        let ticket = "A".repeat(43);
        let client_id = "alice@example.org/7f0c1f0e-5b5b-4c66-9d2e-0d6f5a1c2b3d";
        let read = |json: String| serde_json::from_str::<JoinRendezvousRequest>(&json);
        let request = read(format!(r#"{{"client_id":"{client_id}","ticket":"{ticket}"}}"#)).unwrap();
        assert_eq!(request.client_id.to_string(), client_id);
        assert!(!format!("{request:?}").contains("[0"));
        assert!(read(format!(r#"{{"client_id":"alice","ticket":"{ticket}"}}"#)).is_err());
        assert!(read(format!(r#"{{"client_id":"{client_id}","ticket":"AAAA"}}"#)).is_err());
        assert!(read(format!(r#"{{"client_id":"{client_id}","ticket":"{ticket}","x":1}}"#)).is_err());
    }
}

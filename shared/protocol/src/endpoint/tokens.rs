//! The endpoint of the authentication service that issues tokens. They are spent at the queuing service.

use serde::{Deserialize, Serialize};

use super::{Authentication, Description, Endpoint, Method};
use crate::encoding::Bytes;
use crate::limits::MAX_ISSUE_TOKENS_LENGTH;
use crate::name::ClientId;
use crate::problem::ProblemType;
use crate::time::Timestamp;

/// `POST /v1/as/tokens`: a client takes a batch of its allowance (`new-device-sequence.md`, rows 11 and 12). The same request
/// again gets the same answer, and no second batch.
pub struct IssueTokens;

impl Endpoint for IssueTokens {
    const DESCRIPTION: Description = Description {
        function: "as-issue-tokens",
        method: Method::Post,
        path: "/v1/as/tokens",
        summary: "Issues a batch of anonymous tokens to a client.",
        authentication: Authentication::ClientCredentialKey,
        max_request_length: MAX_ISSUE_TOKENS_LENGTH,
        status: 200,
        max_age: 0,
        problems: &[
            ProblemType::ForeignDomain,
            ProblemType::ClientUnknown,
            ProblemType::ClientUnconfirmed,
            ProblemType::TokenRequestInvalid,
            ProblemType::TokenKeyNotCurrent,
            ProblemType::TokenAllowanceUsedUp,
        ],
    };
    type Path = ();
    type Request = IssueTokensRequest;
    type Response = IssueTokensResponse;
}

/// What a batch is asked for with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct IssueTokensRequest {
    /// The client whose allowance it is, `user name/client UUID`. It signs this request.
    pub client_id: ClientId,
    /// An `AmortizedBatchTokenRequest` for 100 tokens of type 5: 3205 bytes.
    pub token_request: Bytes,
}

/// What the tokens are made of.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct IssueTokensResponse {
    /// An `AmortizedBatchTokenResponse`: 3266 bytes.
    pub token_response: Bytes,
    /// From when on another batch may be asked for.
    pub next_allowance_at: Timestamp,
}

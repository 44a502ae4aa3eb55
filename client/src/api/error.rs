//! What can go wrong with a call.

use serde::Deserialize;
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::time::Timestamp;

use crate::fuse::Stopped;
use crate::server_url::ServerUrl;
use crate::text::{one_line, rfc_3339};
use crate::transport::{Response, TransportError};

/// The `type` of a problem that says nothing more than its status (RFC 9457, section 4.2.1).
const ABOUT_BLANK: &str = "about:blank";

/// Why a call did not get the answer that it was made for.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ApiError {
    /// The server said no.
    #[error("{detail}{}", try_again(*.retry_after))]
    Problem {
        /// What kind of problem it is, if this version of the protocol knows it.
        problem_type: Option<ProblemType>,
        /// The problem's `type`; `about:blank` if it has none, as with API Gateway's own answers.
        urn: String,
        /// The HTTP status.
        status: u16,
        /// What is wrong, in a line.
        detail: String,
        /// After how many seconds to try again, if the server says so.
        retry_after: Option<u64>,
    },
    /// No answer came.
    #[error("no answer from {server}: {reason}{hint}")]
    Unreachable {
        /// The server.
        server: String,
        /// What went wrong.
        reason: String,
        /// What may help.
        hint: &'static str,
    },
    /// An answer came that the endpoint does not give.
    #[error("the server's answer (status {status}) is not understood: {reason}")]
    UnexpectedAnswer {
        /// The HTTP status.
        status: u16,
        /// What is wrong with it.
        reason: String,
    },
    /// A test stopped the client.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

impl ApiError {
    /// What kind of problem the server named, if it did and the kind is known.
    pub fn problem_type(&self) -> Option<ProblemType> {
        match self {
            Self::Problem { problem_type, .. } => *problem_type,
            _ => None,
        }
    }

    /// After how many seconds to try again, if the server says so.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Problem { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the same request may have another outcome soon.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Problem { status, .. } => *status == 429 || *status >= 500,
            Self::Unreachable { .. } => true,
            Self::UnexpectedAnswer { .. } | Self::Stopped(_) => false,
        }
    }

    pub(super) fn unreachable(server: &ServerUrl, error: &TransportError) -> Self {
        let hint = if server.is_loopback() { " (`cargo dev` starts a server on this computer)" } else { "" };
        Self::Unreachable { server: server.to_string(), reason: one_line(&error.to_string()), hint }
    }

    /// Reads an answer that is not the one wanted.
    pub(super) fn of_response(response: &Response, now: Timestamp) -> Self {
        let status = response.status;
        if status < 400 {
            return Self::UnexpectedAnswer { status, reason: "another status is wanted".to_owned() };
        }
        // Whatever stands in the way of a problem document (a gateway, a proxy) has its own idea of a body.
        let document: LenientProblem = serde_json::from_slice(&response.body).unwrap_or_default();
        let urn = document.problem_type.unwrap_or_else(|| ABOUT_BLANK.to_owned());
        let problem_type = ProblemType::from_urn(&urn);
        let said = document.detail.or(document.title).or(document.message);
        let mut detail = match said {
            Some(said) => one_line(&said),
            None => format!("the server answered with status {status}"),
        };
        if problem_type == Some(ProblemType::SignatureStale) {
            let server_time = response.header("date").map_or_else(|| "another time".to_owned(), one_line);
            let own_time = rfc_3339(now);
            detail =
                format!("the clock of this computer is wrong: it says {own_time}, the server's says {server_time}");
        }
        Self::Problem {
            problem_type,
            urn: one_line(&urn),
            status,
            detail,
            retry_after: response.header("retry-after").and_then(|seconds| seconds.trim().parse().ok()),
        }
    }
}

fn try_again(retry_after: Option<u64>) -> String {
    match retry_after {
        None => String::new(),
        Some(seconds) if seconds < 120 => format!(" (try again in {seconds} seconds)"),
        Some(seconds) => format!(" (try again in {} minutes)", seconds.div_ceil(60)),
    }
}

/// A problem document or API Gateway's `{"message": …}`.
#[derive(Default, Deserialize)]
struct LenientProblem {
    #[serde(rename = "type")]
    problem_type: Option<String>,
    title: Option<String>,
    detail: Option<String>,
    message: Option<String>,
}

//! The second half of a login at the key server: whether a session's client knows the password.

use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::key_server::{ReceivedRequest, ServerSessionError, StoredSession};
use vestibule_protocol::opaque::OpaqueError;
use vestibule_protocol::problem::{Problem, ProblemType};

use crate::metrics::{self, Metric};

/// Finishes the login of a session with the client's `KE3` (64 bytes), and only then opens its request. What comes of the
/// login is counted.
///
/// # Errors
/// [`ProblemType::PasswordRefused`], [`ProblemType::InvalidOpaqueMessage`], or, after a login that is good,
/// [`ProblemType::SessionRequestInvalid`].
pub fn finish_login(session: &StoredSession, ke3: &Bytes, sealed_request: &Bytes) -> Result<ReceivedRequest, Problem> {
    let received = session.receive(ke3, sealed_request).map_err(problem);
    let refusal = received.as_ref().err().map(|problem| problem.problem_type);
    let refusal = refusal.filter(|refusal| *refusal != ProblemType::SessionRequestInvalid);
    metrics::count(Metric::Logins, refusal.map_or("finished", ProblemType::slug), 1);
    received
}

fn problem(error: ServerSessionError) -> Problem {
    let (problem_type, detail) = match error {
        ServerSessionError::Opaque(OpaqueError::NotAuthenticated) => {
            (ProblemType::PasswordRefused, "ke3 does not prove that the password is known".to_owned())
        }
        ServerSessionError::Channel(error) => (ProblemType::SessionRequestInvalid, error.to_string()),
        error => (ProblemType::InvalidOpaqueMessage, error.to_string()),
    };
    Problem::new(problem_type, detail)
}

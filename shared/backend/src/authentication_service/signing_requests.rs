//! Signing requests for client credentials: what may be signed, and by which intermediate.

use vestibule_protocol::credential::{ClientCredentialCsr, CredentialError};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::signed::SignedError;
use vestibule_protocol::time::Timestamp;

use crate::secret::{AsSigning, IntermediateSigner};

/// Decodes a `ClientCredentialCsr` and checks its own signature.
///
/// # Errors
/// [`ProblemType::MalformedCsr`], [`ProblemType::CsrSignatureInvalid`].
pub fn read_csr(bytes: &[u8]) -> Result<ClientCredentialCsr, Problem> {
    ClientCredentialCsr::verify_self_signed(bytes).map_err(csr_problem)
}

/// The intermediate that a signing request names, if it may sign what is asked for, now.
///
/// # Errors
/// [`ProblemType::UnknownSigner`], [`ProblemType::ForeignDomain`], [`ProblemType::CsrValidityRefused`].
pub fn signer_for<'a>(
    csr: &ClientCredentialCsr,
    signing: &'a AsSigning,
    now: Timestamp,
) -> Result<&'a IntermediateSigner, Problem> {
    let signer = signing.signer(&csr.payload().0.signer_fingerprint);
    let signer = signer.ok_or_else(|| csr_problem(CredentialError::UnknownSigner))?;
    csr.check(&signer.credential, now).map_err(csr_problem)?;
    Ok(signer)
}

fn csr_problem(error: CredentialError) -> Problem {
    let problem_type = match error {
        CredentialError::Signed(SignedError::Malformed) => ProblemType::MalformedCsr,
        CredentialError::Signed(SignedError::SignatureInvalid) => ProblemType::CsrSignatureInvalid,
        CredentialError::UnknownSigner => ProblemType::UnknownSigner,
        CredentialError::ForeignDomain => ProblemType::ForeignDomain,
        CredentialError::NotValidNow | CredentialError::ValidityRefused => ProblemType::CsrValidityRefused,
    };
    Problem::new(problem_type, format_args!("the client credential signing request: {error}"))
}

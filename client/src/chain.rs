//! The credentials of a deployment: which root to trust, and which intermediate to ask for a credential.

use vestibule_key_packages::TrustedCredentials;
use vestibule_protocol::credential::{AsCredential, AsCredentialPayload, AsIntermediateCredential, CredentialError};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::GetCredentialsResponse;
use vestibule_protocol::name::Domain;
use vestibule_protocol::signed::{Fingerprint, Unverified};
use vestibule_protocol::time::{DAY, Timestamp};

use crate::home::Account;

/// Why the server's credentials are not acceptable.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The server is of another deployment.
    #[error("this server is for user names that end in @{served}, not in @{wanted}")]
    ForeignDomain {
        /// The domain that it says it is of.
        served: Domain,
        /// The domain wanted.
        wanted: Domain,
    },
    /// None of the server's roots holds.
    #[error("the server's root credential is not acceptable: {0}")]
    RootRefused(CredentialError),
    /// The server has no root at all.
    #[error("the server has no root credential")]
    RootMissing,
    /// The server's root is not the one that this device trusts.
    #[error("the server's root credential is not the one that is trusted here, {trusted}: someone may be in between")]
    RootChanged {
        /// The root trusted.
        trusted: Fingerprint,
    },
    /// A root is asked for that is not the one this device has trusted so far.
    #[error("this home trusts the root credential {pinned} already, and not {asked}")]
    AnotherRootTrusted {
        /// The root trusted so far.
        pinned: Fingerprint,
        /// The one asked for.
        asked: Fingerprint,
    },
    /// The root was revoked.
    #[error("the server's root credential was revoked")]
    RootRevoked,
    /// None of the intermediates holds.
    #[error("none of the server's intermediate credentials is acceptable{}", .0.map_or_else(String::new, |error| format!(": {error}")))]
    IntermediateRefused(Option<CredentialError>),
    /// A revocation cannot be read, so that nothing is known not to be revoked.
    #[error("the server's list of revoked credentials is malformed")]
    MalformedRevocation,
}

/// A root that is trusted, and an intermediate that it signed.
pub(crate) struct Chain {
    pub(crate) root: AsCredential,
    pub(crate) intermediate: AsIntermediateCredential,
}

impl Chain {
    /// Chooses from what the server offers: the trusted root (if none is trusted yet, the first that holds), and of its
    /// intermediates the one that is valid longest.
    pub(crate) fn choose(
        offered: &GetCredentialsResponse,
        domain: &Domain,
        trusted_root: Option<Fingerprint>,
        now: Timestamp,
    ) -> Result<Self, CredentialsError> {
        let TrustedChains { root, intermediates, .. } = TrustedChains::choose(offered, domain, trusted_root, now)?;
        let not_after = |credential: &AsIntermediateCredential| credential.payload().expiration_data.not_after;
        // Less than a day left would be less than the shortest credential.
        let lasting = intermediates.into_iter().filter(|credential| not_after(credential) >= now.saturating_add(DAY));
        // Of several that last as long, the first, which is the newest.
        let longest =
            lasting.reduce(|longest, next| if not_after(&longest) < not_after(&next) { next } else { longest });
        Ok(Self { root, intermediate: longest.ok_or(CredentialsError::IntermediateRefused(None))? })
    }

    /// Reads the chain that an account was registered under.
    pub(crate) fn of_account(account: &Account, now: Timestamp) -> Result<Self, CredentialsError> {
        let Account { as_credential, as_intermediate_credential, user_name, .. } = account;
        let root = AsCredential::verify_root(&as_credential.0, user_name.domain(), now)
            .map_err(CredentialsError::RootRefused)?;
        let intermediate = AsIntermediateCredential::verify_chain(&as_intermediate_credential.0, &root, now)
            .map_err(|error| CredentialsError::IntermediateRefused(Some(error)))?;
        Ok(Self { root, intermediate })
    }
}

/// A root that is trusted, and every intermediate that it signed and that holds.
pub(crate) struct TrustedChains {
    pub(crate) root: AsCredential,
    intermediates: Vec<AsIntermediateCredential>,
    revoked: Vec<Fingerprint>,
}

impl TrustedChains {
    /// Chooses from what the server offers: the trusted root (if none is trusted yet, the first that holds), and its
    /// intermediates; at least one.
    pub(crate) fn choose(
        offered: &GetCredentialsResponse,
        domain: &Domain,
        trusted_root: Option<Fingerprint>,
        now: Timestamp,
    ) -> Result<Self, CredentialsError> {
        let revoked = revoked_fingerprints(&offered.revoked_fingerprints)?;
        if trusted_root.is_some_and(|trusted| revoked.contains(&trusted)) {
            return Err(CredentialsError::RootRevoked);
        }
        let root = choose_root(&offered.as_credentials, &revoked, domain, trusted_root, now)?;
        let intermediates = choose_intermediates(&offered.as_intermediate_credentials, &revoked, &root, now)?;
        Ok(Self { root, intermediates, revoked })
    }

    /// Whose deployment it is, for a device that knows nothing yet but the server: the domain of the trusted root, or else
    /// of the first that holds.
    pub(crate) fn domain_of(
        offered: &GetCredentialsResponse,
        trusted_root: Option<Fingerprint>,
        now: Timestamp,
    ) -> Result<Domain, CredentialsError> {
        let mut reason = CredentialsError::RootMissing;
        for bytes in &offered.as_credentials {
            let claimed = match Unverified::<AsCredentialPayload>::from_bytes(&bytes.0) {
                Ok(root) => root.claim().domain.clone(),
                Err(error) => {
                    reason = CredentialsError::RootRefused(error.into());
                    continue;
                }
            };
            match Self::choose(offered, &claimed, trusted_root, now) {
                Ok(_) => return Ok(claimed),
                Err(error) => reason = error,
            }
        }
        Err(reason)
    }

    /// The intermediates.
    pub(crate) fn intermediates(&self) -> &[AsIntermediateCredential] {
        &self.intermediates
    }

    /// What is not to be accepted any more.
    pub(crate) fn revoked(&self) -> &[Fingerprint] {
        &self.revoked
    }

    /// What other users' credentials are judged by.
    pub(crate) fn trusted(&self) -> TrustedCredentials<'_> {
        TrustedCredentials { intermediates: &self.intermediates, revoked: &self.revoked }
    }
}

/// Reads the names of what was revoked.
pub(crate) fn revoked_fingerprints(list: &[Bytes]) -> Result<Vec<Fingerprint>, CredentialsError> {
    let fingerprint = |bytes: &Bytes| <[u8; 32]>::try_from(bytes.0.as_slice()).map(Fingerprint::from);
    list.iter().map(fingerprint).collect::<Result<_, _>>().map_err(|_| CredentialsError::MalformedRevocation)
}

fn choose_root(
    offered: &[Bytes],
    revoked: &[Fingerprint],
    domain: &Domain,
    trusted_root: Option<Fingerprint>,
    now: Timestamp,
) -> Result<AsCredential, CredentialsError> {
    let mut reason = CredentialsError::RootMissing;
    for bytes in offered {
        match AsCredential::verify_root(&bytes.0, domain, now) {
            Ok(root) if revoked.contains(&root.fingerprint()) => reason = CredentialsError::RootRevoked,
            Ok(root) => match trusted_root {
                Some(trusted) if trusted != root.fingerprint() => reason = CredentialsError::RootChanged { trusted },
                _ => return Ok(root),
            },
            Err(CredentialError::ForeignDomain) => reason = foreign_domain(bytes, domain),
            Err(error) => reason = CredentialsError::RootRefused(error),
        }
    }
    Err(reason)
}

/// Names the domain that the server is of. Only a hint, so what the root claims is good enough.
fn foreign_domain(root: &Bytes, wanted: &Domain) -> CredentialsError {
    match Unverified::<AsCredentialPayload>::from_bytes(&root.0) {
        Ok(root) => CredentialsError::ForeignDomain { served: root.claim().domain.clone(), wanted: wanted.clone() },
        Err(error) => CredentialsError::RootRefused(error.into()),
    }
}

fn choose_intermediates(
    offered: &[Bytes],
    revoked: &[Fingerprint],
    root: &AsCredential,
    now: Timestamp,
) -> Result<Vec<AsIntermediateCredential>, CredentialsError> {
    let mut reason = None;
    let mut chosen = Vec::new();
    for bytes in offered {
        match AsIntermediateCredential::verify_chain(&bytes.0, root, now) {
            Ok(intermediate) if revoked.contains(&intermediate.fingerprint()) => {}
            Ok(intermediate) => chosen.push(intermediate),
            Err(error) => reason = Some(error),
        }
    }
    if chosen.is_empty() { Err(CredentialsError::IntermediateRefused(reason)) } else { Ok(chosen) }
}

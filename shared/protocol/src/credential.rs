//! The credentials of the authentication service and their chain:
//! `AsCredential` (offline root) → `AsIntermediateCredential` → `ClientCredential`, and beside the last the
//! `ProvisionalCredential` of a registration under way.
//!
//! Every credential carries expiration data, a ciphersuite, a public key and the fingerprint of its signer. Its validity
//! lies inside its signer's and, the provisional one's apart, consists of whole days of UTC.

use tls_codec::{TlsDeserializeBytes, TlsSerialize, TlsSize};

use crate::keys::{AsCredentialKey, AsIntermediateCredentialKey, ClientCredentialKey, SigningKey, VerifyingKey};
use crate::limits::{
    CLOCK_TOLERANCE, MAX_AS_CREDENTIAL_DAYS, MAX_AS_INTERMEDIATE_CREDENTIAL_DAYS, MAX_CLIENT_CREDENTIAL_BACKDATING,
    MAX_CLIENT_CREDENTIAL_DAYS, PROVISIONAL_CREDENTIAL_LIFETIME,
};
use crate::name::{ClientId, Domain};
use crate::signed::{Fingerprint, SignedError, SignedPayload, Unverified, Verified};
use crate::time::{DAY, ExpirationData, Timestamp};

/// The version of the protocol, first in every signed payload: a `uint16`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u16)]
pub enum ProtocolVersion {
    /// "Vestibule 1.0".
    Vestibule1 = 1,
}

/// The MLS ciphersuite (RFC 9420, section 17.1) a public key belongs to: a `uint16`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
#[repr(u16)]
pub enum Ciphersuite {
    /// `MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519`.
    X25519ChaCha20Poly1305Sha256Ed25519 = 0x0003,
}

/// Why a credential, or a request for one, is not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CredentialError {
    /// It does not decode or its signature is wrong.
    #[error(transparent)]
    Signed(#[from] SignedError),
    /// It names a signer that is not there (any more).
    #[error("its signer is not a current credential of this deployment")]
    UnknownSigner,
    /// It is for another deployment.
    #[error("it is for another domain")]
    ForeignDomain,
    /// Its validity is over or has not begun.
    #[error("it is not valid at this time")]
    NotValidNow,
    /// Its validity has the wrong form: too long, not whole days, or not inside its signer's.
    #[error("its validity is too long, not in whole days of UTC, or not inside its signer's")]
    ValidityRefused,
}

/// Payload of an [`AsCredential`].
#[derive(Clone, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AsCredentialPayload {
    /// The protocol's version.
    pub version: ProtocolVersion,
    /// The deployment.
    pub domain: Domain,
    /// What the key is of.
    pub ciphersuite: Ciphersuite,
    /// The credential's public key, which also signs it.
    pub verifying_key: VerifyingKey<AsCredentialKey>,
    /// When it is valid: at most [`MAX_AS_CREDENTIAL_DAYS`].
    pub expiration_data: ExpirationData,
}

impl SignedPayload for AsCredentialPayload {
    const TYPE_NAME: &'static str = "AsCredential";
    type Signer = AsCredentialKey;
}

/// The root of a deployment's trust. Signed by itself, with a key that never leaves the operator's machine.
pub type AsCredential = Verified<AsCredentialPayload>;

impl AsCredential {
    /// Makes a root of `days` from today on.
    pub fn issue(domain: Domain, key: &SigningKey<AsCredentialKey>, now: Timestamp, days: u64) -> Self {
        let payload = AsCredentialPayload {
            version: ProtocolVersion::Vestibule1,
            domain,
            ciphersuite: Ciphersuite::X25519ChaCha20Poly1305Sha256Ed25519,
            verifying_key: key.verifying_key(),
            expiration_data: ExpirationData::starting(now.start_of_day(), DAY * days as u32),
        };
        Self::sign(payload, key)
    }

    /// Decodes and checks a root. Whether it is *the* root, only its fingerprint tells.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn verify_root(bytes: &[u8], domain: &Domain, now: Timestamp) -> Result<Self, CredentialError> {
        let unverified = Unverified::<AsCredentialPayload>::from_bytes(bytes)?;
        let own_key = unverified.claim().verifying_key;
        let credential = unverified.verify(&own_key)?;
        let payload = credential.payload();
        if payload.domain != *domain {
            return Err(CredentialError::ForeignDomain);
        }
        check_days(&payload.expiration_data, MAX_AS_CREDENTIAL_DAYS, None)?;
        check_now(&payload.expiration_data, now)?;
        Ok(credential)
    }
}

/// Payload of an [`AsIntermediateCredential`].
#[derive(Clone, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct AsIntermediateCredentialPayload {
    /// The protocol's version.
    pub version: ProtocolVersion,
    /// The deployment.
    pub domain: Domain,
    /// What the key is of.
    pub ciphersuite: Ciphersuite,
    /// The credential's public key.
    pub verifying_key: VerifyingKey<AsIntermediateCredentialKey>,
    /// When it is valid: at most [`MAX_AS_INTERMEDIATE_CREDENTIAL_DAYS`], inside its signer's.
    pub expiration_data: ExpirationData,
    /// The [`AsCredential`] that signed it.
    pub signer_fingerprint: Fingerprint,
}

impl SignedPayload for AsIntermediateCredentialPayload {
    const TYPE_NAME: &'static str = "AsIntermediateCredential";
    type Signer = AsCredentialKey;
}

/// An online credential of the authentication service, signed by the root.
pub type AsIntermediateCredential = Verified<AsIntermediateCredentialPayload>;

impl AsIntermediateCredential {
    /// Makes an intermediate of at most `days` from today on, for the key `verifying_key`.
    pub fn issue(
        verifying_key: VerifyingKey<AsIntermediateCredentialKey>,
        root: &AsCredential,
        root_key: &SigningKey<AsCredentialKey>,
        now: Timestamp,
        days: u64,
    ) -> Self {
        let not_before = now.start_of_day();
        let not_after = not_before.saturating_add(DAY * days as u32).min(root.payload().expiration_data.not_after);
        let payload = AsIntermediateCredentialPayload {
            version: ProtocolVersion::Vestibule1,
            domain: root.payload().domain.clone(),
            ciphersuite: Ciphersuite::X25519ChaCha20Poly1305Sha256Ed25519,
            verifying_key,
            expiration_data: ExpirationData { not_before, not_after },
            signer_fingerprint: root.fingerprint(),
        };
        Self::sign(payload, root_key)
    }

    /// Decodes an intermediate and checks it against a verified root.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn verify_chain(bytes: &[u8], root: &AsCredential, now: Timestamp) -> Result<Self, CredentialError> {
        let unverified = Unverified::<AsIntermediateCredentialPayload>::from_bytes(bytes)?;
        if unverified.claim().signer_fingerprint != root.fingerprint() {
            return Err(CredentialError::UnknownSigner);
        }
        let credential = unverified.verify(&root.payload().verifying_key)?;
        let payload = credential.payload();
        if payload.domain != root.payload().domain {
            return Err(CredentialError::ForeignDomain);
        }
        let outer = Some(&root.payload().expiration_data);
        check_days(&payload.expiration_data, MAX_AS_INTERMEDIATE_CREDENTIAL_DAYS, outer)?;
        check_now(&payload.expiration_data, now)?;
        Ok(credential)
    }
}

/// Payload of a [`ClientCredential`]: what the client asks to have signed, and what is signed.
#[derive(Clone, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ClientCredentialPayload {
    /// The protocol's version.
    pub version: ProtocolVersion,
    /// The client.
    pub client_id: ClientId,
    /// What the key is of.
    pub ciphersuite: Ciphersuite,
    /// The client's public key.
    pub verifying_key: VerifyingKey<ClientCredentialKey>,
    /// When it is valid: at most [`MAX_CLIENT_CREDENTIAL_DAYS`], inside its signer's.
    pub expiration_data: ExpirationData,
    /// The [`AsIntermediateCredential`] that signs it.
    pub signer_fingerprint: Fingerprint,
}

impl ClientCredentialPayload {
    /// What a client asks for: the longest validity that its chosen signer allows.
    pub fn requesting(
        client_id: ClientId,
        verifying_key: VerifyingKey<ClientCredentialKey>,
        signer: &AsIntermediateCredential,
        now: Timestamp,
    ) -> Self {
        let outer = &signer.payload().expiration_data;
        // A clock that is a little fast must not ask for a validity that has not begun.
        let not_before = now.saturating_sub(CLOCK_TOLERANCE).start_of_day().max(outer.not_before);
        let not_after = not_before.saturating_add(DAY * MAX_CLIENT_CREDENTIAL_DAYS as u32).min(outer.not_after);
        Self {
            version: ProtocolVersion::Vestibule1,
            client_id,
            ciphersuite: Ciphersuite::X25519ChaCha20Poly1305Sha256Ed25519,
            verifying_key,
            expiration_data: ExpirationData { not_before, not_after },
            signer_fingerprint: signer.fingerprint(),
        }
    }

    /// The rules that a client credential keeps for as long as it is valid.
    fn check(&self, signer: &AsIntermediateCredential, now: Timestamp) -> Result<(), CredentialError> {
        self.check_issued(signer)?;
        check_now(&self.expiration_data, now)
    }

    /// The rules that a client credential keeps for as long as it exists, expired or not.
    fn check_issued(&self, signer: &AsIntermediateCredential) -> Result<(), CredentialError> {
        if self.signer_fingerprint != signer.fingerprint() {
            return Err(CredentialError::UnknownSigner);
        }
        if self.client_id.user_name.domain() != &signer.payload().domain {
            return Err(CredentialError::ForeignDomain);
        }
        check_days(&self.expiration_data, MAX_CLIENT_CREDENTIAL_DAYS, Some(&signer.payload().expiration_data))
    }

    /// Additional rule for a credential about to be issued: its validity begins today or yesterday.
    fn check_fresh(&self, now: Timestamp) -> Result<(), CredentialError> {
        let earliest = now.start_of_day().saturating_sub(MAX_CLIENT_CREDENTIAL_BACKDATING);
        if self.expiration_data.not_before < earliest {
            return Err(CredentialError::ValidityRefused);
        }
        Ok(())
    }
}

impl SignedPayload for ClientCredentialPayload {
    const TYPE_NAME: &'static str = "ClientCredential";
    type Signer = AsIntermediateCredentialKey;
}

/// A client's credential, signed by an intermediate.
pub type ClientCredential = Verified<ClientCredentialPayload>;

impl ClientCredential {
    /// Decodes a client credential and checks it against a verified intermediate.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn verify_chain(
        bytes: &[u8],
        signer: &AsIntermediateCredential,
        now: Timestamp,
    ) -> Result<Self, CredentialError> {
        let credential = Self::verify_signer(bytes, signer)?;
        check_now(&credential.payload().expiration_data, now)?;
        Ok(credential)
    }

    /// Decodes a client credential and checks that `signer` issued it, whether it is valid now or not: a member of an
    /// identity stays one when its credential expires.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn verify_signer(bytes: &[u8], signer: &AsIntermediateCredential) -> Result<Self, CredentialError> {
        let unverified = Unverified::<ClientCredentialPayload>::from_bytes(bytes)?;
        let credential = unverified.verify(&signer.payload().verifying_key)?;
        credential.payload().check_issued(signer)?;
        Ok(credential)
    }
}

/// Payload of a [`ClientCredentialCsr`]: the credential that is asked for.
#[derive(Clone, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ClientCredentialCsrPayload(pub ClientCredentialPayload);

impl SignedPayload for ClientCredentialCsrPayload {
    const TYPE_NAME: &'static str = "ClientCredentialCsr";
    type Signer = ClientCredentialKey;
}

/// A client credential signing request: the payload, signed with the very key it asks a credential for.
pub type ClientCredentialCsr = Verified<ClientCredentialCsrPayload>;

impl ClientCredentialCsr {
    /// Decodes a signing request and checks its own signature.
    ///
    /// # Errors
    /// [`CredentialError::Signed`].
    pub fn verify_self_signed(bytes: &[u8]) -> Result<Self, CredentialError> {
        let unverified = Unverified::<ClientCredentialCsrPayload>::from_bytes(bytes)?;
        let own_key = unverified.claim().0.verifying_key;
        Ok(unverified.verify(&own_key)?)
    }

    /// Checks that `signer` may sign what is asked for, now.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn check(&self, signer: &AsIntermediateCredential, now: Timestamp) -> Result<(), CredentialError> {
        let requested = &self.payload().0;
        requested.check(signer, now)?;
        requested.check_fresh(now)
    }
}

/// Payload of a [`ProvisionalCredential`].
#[derive(Clone, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct ProvisionalCredentialPayload {
    /// The protocol's version.
    pub version: ProtocolVersion,
    /// The credential that finishing the registration will turn this into.
    pub client_credential: ClientCredentialPayload,
    /// When the registration can be finished: [`PROVISIONAL_CREDENTIAL_LIFETIME`], to the second.
    pub expiration_data: ExpirationData,
    /// The SHA-256 hash of the body of the request that initiated the registration.
    pub initiation_hash: [u8; 32],
}

impl SignedPayload for ProvisionalCredentialPayload {
    const TYPE_NAME: &'static str = "ProvisionalCredential";
    type Signer = AsIntermediateCredentialKey;
}

/// What a registration that was initiated is finished with. It is accepted there and nowhere else: whoever initiates a
/// registration for a free name gets one, so it says nothing about who the user is.
pub type ProvisionalCredential = Verified<ProvisionalCredentialPayload>;

impl ProvisionalCredential {
    /// Answers a checked signing request.
    pub fn issue(
        csr: &ClientCredentialCsr,
        initiation_hash: [u8; 32],
        key: &SigningKey<AsIntermediateCredentialKey>,
        now: Timestamp,
    ) -> Self {
        let payload = ProvisionalCredentialPayload {
            version: ProtocolVersion::Vestibule1,
            client_credential: csr.payload().0.clone(),
            expiration_data: ExpirationData::starting(now, PROVISIONAL_CREDENTIAL_LIFETIME),
            initiation_hash,
        };
        Self::sign(payload, key)
    }

    /// Decodes a provisional credential and checks that `signer` signed it. Its time is checked apart, with
    /// [`ProvisionalCredential::check`]: a finished registration is answered again after it.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn verify_signer(bytes: &[u8], signer: &AsIntermediateCredential) -> Result<Self, CredentialError> {
        let unverified = Unverified::<ProvisionalCredentialPayload>::from_bytes(bytes)?;
        Ok(unverified.verify(&signer.payload().verifying_key)?)
    }

    /// Checks that the registration can be finished now, with a credential that is valid now.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn check(&self, signer: &AsIntermediateCredential, now: Timestamp) -> Result<(), CredentialError> {
        check_now(&self.payload().expiration_data, now)?;
        self.payload().client_credential.check(signer, now)
    }

    /// Turns it into the client credential it stands for.
    pub fn into_client_credential(self, key: &SigningKey<AsIntermediateCredentialKey>) -> ClientCredential {
        ClientCredential::sign(self.payload().client_credential.clone(), key)
    }
}

pub(crate) fn check_days(
    expiration_data: &ExpirationData,
    max_days: u64,
    outer: Option<&ExpirationData>,
) -> Result<(), CredentialError> {
    let is_nested = outer.is_none_or(|outer| expiration_data.is_within(outer));
    if is_nested && expiration_data.is_whole_days(1..=max_days) {
        Ok(())
    } else {
        Err(CredentialError::ValidityRefused)
    }
}

pub(crate) fn check_now(expiration_data: &ExpirationData, now: Timestamp) -> Result<(), CredentialError> {
    if expiration_data.contains(now) { Ok(()) } else { Err(CredentialError::NotValidNow) }
}

#[cfg(test)]
mod tests;

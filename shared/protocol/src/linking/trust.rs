//! What a device that is linking trusts: a root and some of its intermediates.

use serde::{Deserialize, Serialize};

use super::LinkingError;
use crate::credential::{
    AsCredential, AsIntermediateCredential, ClientCredential, ClientCredentialCsr, ClientCredentialPayload,
    CredentialError,
};
use crate::encoding::Bytes;
use crate::name::Domain;
use crate::signed::Fingerprint;
use crate::time::Timestamp;

/// A root and the intermediates that a credential may be asked of. Checked again at every use: time goes on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct TrustedChain {
    domain: Domain,
    as_credential: Bytes,
    as_intermediate_credentials: Vec<Bytes>,
}

impl TrustedChain {
    pub(super) fn new(root: &AsCredential, intermediates: &[AsIntermediateCredential]) -> Self {
        Self {
            domain: root.payload().domain.clone(),
            as_credential: root.to_bytes(),
            as_intermediate_credentials: intermediates.iter().map(AsIntermediateCredential::to_bytes).collect(),
        }
    }

    pub(super) fn root(&self, now: Timestamp) -> Result<AsCredential, CredentialError> {
        AsCredential::verify_root(&self.as_credential.0, &self.domain, now)
    }

    pub(super) fn root_bytes(&self) -> &Bytes {
        &self.as_credential
    }

    /// The intermediate of this name, if it holds.
    pub(super) fn intermediate(
        &self,
        fingerprint: Fingerprint,
        now: Timestamp,
    ) -> Result<AsIntermediateCredential, CredentialError> {
        let root = self.root(now)?;
        let verified = |bytes: &Bytes| AsIntermediateCredential::verify_chain(&bytes.0, &root, now);
        let mut holding = self.as_intermediate_credentials.iter().map(verified).filter_map(Result::ok);
        holding.find(|intermediate| intermediate.fingerprint() == fingerprint).ok_or(CredentialError::UnknownSigner)
    }

    /// Checks a signing request: by what it claims, the key that signs it, and the intermediate that is asked.
    pub(super) fn check_request(&self, csr: &[u8], now: Timestamp) -> Result<ClientCredentialPayload, CredentialError> {
        let csr = ClientCredentialCsr::verify_self_signed(csr)?;
        let requested = &csr.payload().0;
        csr.check(&self.intermediate(requested.signer_fingerprint, now)?, now)?;
        Ok(requested.clone())
    }

    /// Checks that a credential is the one that `csr` asks for, and that `intermediate` is what issued it.
    pub(super) fn check_credential(
        &self,
        client_credential: &[u8],
        intermediate: &[u8],
        csr: &[u8],
        now: Timestamp,
    ) -> Result<(), LinkingError> {
        let root = self.root(now).map_err(LinkingError::CredentialRefused)?;
        let intermediate = AsIntermediateCredential::verify_chain(intermediate, &root, now)
            .map_err(LinkingError::CredentialRefused)?;
        let credential = ClientCredential::verify_chain(client_credential, &intermediate, now)
            .map_err(LinkingError::CredentialRefused)?;
        let csr = ClientCredentialCsr::verify_self_signed(csr).map_err(LinkingError::CredentialRefused)?;
        if *credential.payload() == csr.payload().0 { Ok(()) } else { Err(LinkingError::CredentialMismatch) }
    }
}

//! What a service asks a token for.

use privacypass::auth::authenticate;
use sha2::{Digest as _, Sha256};
use vestibule_protocol::name::Domain;
use vestibule_protocol::request_signature::Service;

use crate::TOKEN_TYPE;

/// The `TokenChallenge` of a service (RFC 9577, section 2.1): the issuer is the deployment's domain, the origin is the
/// service's name under it, `qs.example.org`. The redemption context is empty, so that tokens can be taken long before they
/// are needed, and all tokens for one service answer the same challenge.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenChallenge(Vec<u8>);

impl TokenChallenge {
    /// The challenge of `service` of the deployment `domain`.
    pub fn of(service: Service, domain: &Domain) -> Self {
        let origin = format!("{}.{domain}", service.short_name());
        let bytes = authenticate::TokenChallenge::new(TOKEN_TYPE, &domain.to_string(), None, &[origin]).serialize();
        Self(bytes.expect("a domain is shorter than 64 KiB"))
    }

    /// The challenge's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What a token that answers it contains: its SHA-256 hash.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    /// The challenge as the `privacypass` crate has it.
    pub(crate) fn inner(&self) -> authenticate::TokenChallenge {
        authenticate::TokenChallenge::deserialize(&self.0).expect("it was serialized by the same code")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_names_issuer_and_origin_and_has_no_context() {
        let challenge = TokenChallenge::of(Service::Queuing, &"example.org".parse().unwrap());
        let expected = [&b"\x00\x05\x00\x0bexample.org\x00\x00\x0e"[..], b"qs.example.org"].concat();
        assert_eq!(challenge.as_bytes(), expected);
        assert_eq!(challenge.inner().digest().unwrap(), challenge.digest());
    }

    #[test]
    fn every_service_and_deployment_has_a_challenge_of_its_own() {
        let challenge = |service, domain: &str| TokenChallenge::of(service, &domain.parse().unwrap()).digest();
        assert_ne!(challenge(Service::Queuing, "example.org"), challenge(Service::Rendezvous, "example.org"));
        assert_ne!(challenge(Service::Queuing, "example.org"), challenge(Service::Queuing, "example.net"));
    }
}

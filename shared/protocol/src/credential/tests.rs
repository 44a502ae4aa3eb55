use std::time::Duration;

use super::*;
use crate::name::ClientUuid;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

struct Chain {
    root_key: SigningKey<AsCredentialKey>,
    root: AsCredential,
    intermediate_key: SigningKey<AsIntermediateCredentialKey>,
    intermediate: AsIntermediateCredential,
    client_key: SigningKey<ClientCredentialKey>,
}

fn domain() -> Domain {
    "localhost".parse().unwrap()
}

fn client_id() -> ClientId {
    let uuid = ClientUuid::generate(&mut StdRng::seed_from_u64(7));
    ClientId { user_name: "alice@localhost".parse().unwrap(), uuid }
}

fn chain(seed: u64) -> Chain {
    let rng = &mut StdRng::seed_from_u64(seed);
    let root_key = SigningKey::generate(rng);
    let root = AsCredential::issue(domain(), &root_key, NOW, MAX_AS_CREDENTIAL_DAYS);
    let intermediate_key = SigningKey::generate(rng);
    let intermediate = AsIntermediateCredential::issue(intermediate_key.verifying_key(), &root, &root_key, NOW, 365);
    Chain { root_key, root, intermediate_key, intermediate, client_key: SigningKey::generate(rng) }
}

impl Chain {
    fn requested(&self) -> ClientCredentialPayload {
        let key = self.client_key.verifying_key();
        ClientCredentialPayload::requesting(client_id(), key, &self.intermediate, NOW)
    }

    fn csr(&self, change: impl Fn(&mut ClientCredentialPayload)) -> ClientCredentialCsr {
        let mut payload = self.requested();
        change(&mut payload);
        Verified::sign(ClientCredentialCsrPayload(payload), &self.client_key)
    }
}

#[test]
fn a_chain_verifies_from_the_root_to_the_client() {
    let chain = chain(1);
    let root = AsCredential::verify_root(&chain.root.to_bytes().0, &domain(), NOW).unwrap();
    let intermediate = AsIntermediateCredential::verify_chain(&chain.intermediate.to_bytes().0, &root, NOW).unwrap();
    let csr = ClientCredentialCsr::verify_self_signed(&chain.csr(|_| ()).to_bytes().0).unwrap();
    csr.check(&intermediate, NOW).unwrap();
    let provisional = ProvisionalCredential::issue(&csr, [1; 32], &chain.intermediate_key, NOW);
    let provisional = ProvisionalCredential::verify_signer(&provisional.to_bytes().0, &intermediate).unwrap();
    provisional.check(&intermediate, NOW).unwrap();
    let credential = provisional.into_client_credential(&chain.intermediate_key);
    let credential = ClientCredential::verify_chain(&credential.to_bytes().0, &intermediate, NOW).unwrap();
    assert_eq!(credential.payload(), &chain.requested());
    assert!(credential.payload().expiration_data.is_within(&intermediate.payload().expiration_data));
}

#[test]
fn a_root_of_another_domain_or_signed_by_another_key_is_refused() {
    let (chain, other) = (chain(1), chain(2));
    let elsewhere = "example.org".parse().unwrap();
    let refused = AsCredential::verify_root(&chain.root.to_bytes().0, &elsewhere, NOW);
    assert_eq!(refused.unwrap_err(), CredentialError::ForeignDomain);
    let forged = Verified::sign(chain.root.payload().clone(), &other.root_key);
    let refused = AsCredential::verify_root(&forged.to_bytes().0, &domain(), NOW);
    assert_eq!(refused.unwrap_err(), CredentialError::Signed(SignedError::SignatureInvalid));
}

#[test]
fn an_intermediate_that_is_foreign_expired_or_not_nested_is_refused() {
    let (chain, other) = (chain(1), chain(2));
    let verify = |credential: &AsIntermediateCredential, now| {
        AsIntermediateCredential::verify_chain(&credential.to_bytes().0, &chain.root, now).map(|_| ())
    };
    assert_eq!(verify(&other.intermediate, NOW), Err(CredentialError::UnknownSigner));
    assert_eq!(verify(&chain.intermediate, NOW.saturating_add(366 * DAY)), Err(CredentialError::NotValidNow));
    assert_eq!(verify(&chain.intermediate, NOW.saturating_sub(DAY)), Err(CredentialError::NotValidNow));

    let changed = |change: fn(&mut ExpirationData)| {
        let mut payload = chain.intermediate.payload().clone();
        change(&mut payload.expiration_data);
        verify(&Verified::sign(payload, &chain.root_key), NOW)
    };
    let refused = Err(CredentialError::ValidityRefused);
    assert_eq!(changed(|data| data.not_before = data.not_before.saturating_sub(DAY)), refused);
    assert_eq!(changed(|data| data.not_after = data.not_after.saturating_add(2 * DAY)), refused);
    assert_eq!(changed(|data| data.not_after = data.not_after.saturating_sub(Duration::from_secs(1))), refused);
}

#[test]
fn a_signing_request_for_what_is_not_given_is_refused() {
    let chain = chain(1);
    let check = |change: &dyn Fn(&mut ClientCredentialPayload)| chain.csr(change).check(&chain.intermediate, NOW);
    let refused = Err(CredentialError::ValidityRefused);
    let data = |change: fn(&mut ExpirationData)| check(&move |payload| change(&mut payload.expiration_data));
    assert_eq!(check(&|_| ()), Ok(()));
    assert_eq!(data(|data| data.not_after = data.not_after.saturating_add(DAY)), refused);
    assert_eq!(data(|data| data.not_after = data.not_before), refused);
    assert_eq!(data(|data| data.not_before = data.not_before.saturating_add(Duration::from_secs(1))), refused);
    let tomorrow = Err(CredentialError::NotValidNow);
    assert_eq!(data(|data| data.not_before = data.not_before.saturating_add(DAY)), tomorrow);
    let foreign = check(&|payload| payload.client_id.user_name = "alice@example.org".parse().unwrap());
    assert_eq!(foreign, Err(CredentialError::ForeignDomain));
    let unknown = check(&|payload| payload.signer_fingerprint = [0; 32].into());
    assert_eq!(unknown, Err(CredentialError::UnknownSigner));
}

#[test]
fn a_validity_that_began_long_ago_is_not_issued_but_stays_valid() {
    let chain = chain(1);
    let csr = chain.csr(|_| ());
    let later = NOW.saturating_add(3 * DAY);
    assert_eq!(csr.check(&chain.intermediate, later), Err(CredentialError::ValidityRefused));
    let credential = ProvisionalCredential::issue(&csr, [1; 32], &chain.intermediate_key, NOW)
        .into_client_credential(&chain.intermediate_key);
    assert!(ClientCredential::verify_chain(&credential.to_bytes().0, &chain.intermediate, later).is_ok());
}

#[test]
fn no_signed_type_passes_for_another() {
    let chain = chain(1);
    let csr = chain.csr(|_| ());
    let provisional = ProvisionalCredential::issue(&csr, [1; 32], &chain.intermediate_key, NOW);
    let invalid = CredentialError::Signed(SignedError::SignatureInvalid);
    let malformed = CredentialError::Signed(SignedError::Malformed);
    let as_client = |bytes: &[u8]| ClientCredential::verify_chain(bytes, &chain.intermediate, NOW).unwrap_err();
    // A signing request has a client credential's payload, and could only be told from it by its label.
    let relabelled = Verified::sign(ClientCredentialCsrPayload(chain.requested()), &chain.client_key);
    assert_eq!(as_client(&relabelled.to_bytes().0), invalid);
    assert_eq!(as_client(&provisional.to_bytes().0), malformed);
    let credential = provisional.clone().into_client_credential(&chain.intermediate_key);
    let as_provisional = ProvisionalCredential::verify_signer(&credential.to_bytes().0, &chain.intermediate);
    assert_eq!(as_provisional.unwrap_err(), malformed);
    assert_eq!(ClientCredentialCsr::verify_self_signed(&credential.to_bytes().0).unwrap_err(), invalid);
}

#[test]
fn a_provisional_credential_lasts_fifteen_minutes() {
    let chain = chain(1);
    let provisional = ProvisionalCredential::issue(&chain.csr(|_| ()), [1; 32], &chain.intermediate_key, NOW);
    let check = |seconds| provisional.check(&chain.intermediate, NOW.saturating_add(Duration::from_secs(seconds)));
    assert_eq!(check(899), Ok(()));
    assert_eq!(check(900), Err(CredentialError::NotValidNow));
}

#[test]
fn no_flipped_or_missing_byte_goes_unnoticed() {
    let chain = chain(1);
    let bytes = chain.intermediate.to_bytes().0;
    for position in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[position] ^= 1;
        assert!(AsIntermediateCredential::verify_chain(&altered, &chain.root, NOW).is_err(), "{position}");
        assert!(AsIntermediateCredential::verify_chain(&bytes[..position], &chain.root, NOW).is_err());
    }
    assert!(AsIntermediateCredential::verify_chain(&[&bytes[..], &[0]].concat(), &chain.root, NOW).is_err());
}

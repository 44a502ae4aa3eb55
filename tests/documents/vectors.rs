//! The test vectors in `docs/vectors/`: with them an implementation in another language can be checked byte for byte.

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use vestibule_backend::authentication_service::sealed_registration::SealedRegistration;
use vestibule_backend::rate_limit::{BucketKey, Limit};
use vestibule_backend::sealing::{SealingKey, SealingKeys};
use vestibule_protocol::connection_package::ConnectionPackage;
use vestibule_protocol::credential::{
    AsCredential, AsIntermediateCredential, ClientCredentialCsr, ClientCredentialCsrPayload, ClientCredentialPayload,
    ProvisionalCredential,
};
use vestibule_protocol::encoding::SecretBytes;
use vestibule_protocol::keys::{HpkePrivateKey, KeyPurpose, SigningKey};
use vestibule_protocol::login::LoginOperation;
use vestibule_protocol::name::{ClientId, Domain};
use vestibule_protocol::opaque::{ClientRegistration, CredentialIdentifier, Password, ServerSetup};
use vestibule_protocol::request_signature::{self, CoveredRequest, RequestSignature, Service};
use vestibule_protocol::signed::{SignedPayload, Verified};
use vestibule_protocol::time::Timestamp;

use super::assert_current;

/// 2027-01-15T08:00:00Z.
pub(super) const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

pub(super) fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(super) fn signing_key<P: KeyPurpose>(byte: u8) -> SigningKey<P> {
    SigningKey::from_secret_bytes(&[byte; 32]).unwrap()
}

pub(super) fn secret_hex(secret: &impl SecretBytes) -> String {
    hex(&*secret.to_secret_bytes())
}

pub(super) fn domain() -> Domain {
    "example.org".parse().unwrap()
}

pub(super) fn client_id() -> ClientId {
    "alice@example.org/7f0c1f0e-5b5b-4c66-9d2e-0d6f5a1c2b3d".parse().unwrap()
}

/// A signed structure: how it was made and what came out.
pub(super) fn structure<P: SignedPayload>(signed: &Verified<P>, key: &SigningKey<P::Signer>) -> Value {
    json!({
        "label": format!("Vestibule 1.0 {}", P::TYPE_NAME),
        "signer_private_key": secret_hex(key),
        "signer_public_key": hex(key.verifying_key().as_bytes()),
        "payload": hex(signed.payload().tls_serialize_detached().unwrap()),
        "signed": hex(signed.to_bytes()),
        "fingerprint": hex(signed.fingerprint().as_bytes()),
    })
}

#[test]
fn the_vectors_of_signed_structures_are_current() {
    let root_key = signing_key(1);
    let root = AsCredential::issue(domain(), &root_key, NOW, 3652);
    let intermediate_key = signing_key(2);
    let intermediate = AsIntermediateCredential::issue(intermediate_key.verifying_key(), &root, &root_key, NOW, 365);
    let client_key = signing_key(3);
    let requested = ClientCredentialPayload::requesting(client_id(), client_key.verifying_key(), &intermediate, NOW);
    let csr: ClientCredentialCsr = Verified::sign(ClientCredentialCsrPayload(requested), &client_key);
    let provisional = ProvisionalCredential::issue(&csr, [9; 32], &intermediate_key, NOW);
    let client = provisional.clone().into_client_credential(&intermediate_key);
    let connection_key = HpkePrivateKey::from_secret_bytes(&[4; 32]).unwrap();
    let package = ConnectionPackage::issue(client_id(), connection_key.public_key(), &client_key, NOW);
    let vectors = json!({
        "now": NOW,
        "domain": domain(),
        "client_id": client_id().to_string(),
        "AsCredential": structure(&root, &root_key),
        "AsIntermediateCredential": structure(&intermediate, &root_key),
        "ClientCredentialCsr": structure(&csr, &client_key),
        "ProvisionalCredential": structure(&provisional, &intermediate_key),
        "ClientCredential": structure(&client, &intermediate_key),
        "ConnectionPackage": structure(&package, &client_key),
    });
    assert_current("docs/vectors/signed-structures.json", &vectors);
}

#[test]
fn the_vectors_of_request_signatures_are_current() {
    let key = signing_key::<vestibule_protocol::keys::ClientCredentialKey>(3);
    let key_id = client_id().to_string();
    let tag = Service::Authentication.tag(&domain());
    let plain = CoveredRequest {
        method: "PUT",
        path: "/v1/as/users/alice@example.org",
        query: "",
        authorization: None,
        body: br#"{"hello":"world"}"#,
    };
    let with_token = CoveredRequest {
        method: "POST",
        path: "/v1/as/example",
        query: "a=1&b=2",
        authorization: Some("PrivateToken token=\"abc\""),
        body: b"",
    };
    let vectors = [plain, with_token].map(|request| {
        let fields = request_signature::sign(request, &key, &key_id, &tag, NOW, &mut StdRng::seed_from_u64(5));
        let signature = RequestSignature::check(request, &fields, &tag, NOW).unwrap();
        signature.verify(&key.verifying_key()).unwrap();
        json!({
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "authorization": request.authorization,
            "body": hex(request.body),
            "private_key": secret_hex(&key),
            "signature_base": signature.base(),
            "content_digest": fields.content_digest,
            "signature_input": fields.signature_input,
            "signature": fields.signature,
        })
    });
    assert_current("docs/vectors/request-signatures.json", &json!(vectors));
}

#[test]
fn the_vectors_of_opaque_are_current() {
    let rng = &mut StdRng::seed_from_u64(6);
    let setup = ServerSetup::generate(rng);
    let identifier = CredentialIdentifier([7; 32]);
    let (_, request) = ClientRegistration::start(Password::new("correct horse battery staple".to_owned()), rng);
    let response = setup.respond_to_registration(&request.0, identifier.as_ref()).unwrap();
    let vectors = json!({
        "server_setup": secret_hex(&setup),
        "credential_identifier": hex(identifier.0),
        "registration_request": hex(&request),
        "registration_response": hex(&response),
    });
    assert_current("docs/vectors/opaque-registration.json", &vectors);
}

#[test]
fn the_vectors_of_what_the_server_keeps_are_current() {
    let sealed = SealedRegistration::new(CredentialIdentifier([7; 32]), [9; 32], NOW);
    let sealing_keys = SealingKeys::new(vec![SealingKey::new([10; 32])]).unwrap();
    let limit = Limit { name: "registrations per source and hour", allowed: 30, window: Duration::from_secs(3600) };
    let vectors = json!({
        "now": NOW,
        "sealed_registration": {
            "sealing_key": hex([10; 32]),
            "credential_identifier": hex([7; 32]),
            "initiation_hash": hex([9; 32]),
            "sealed": hex(sealing_keys.seal(&sealed, &mut StdRng::seed_from_u64(8))),
        },
        "bucket": {
            "bucket_key": hex([11; 32]),
            "limit": limit.name,
            "window_seconds": limit.window.as_secs(),
            "subject": hex([192, 0, 2, 1]),
            "pk": BucketKey::new([11; 32]).bucket(&limit, &[192, 0, 2, 1], NOW),
        },
    });
    assert_current("docs/vectors/server.json", &vectors);
}

#[test]
fn the_vectors_of_logins_are_current() {
    let operations = [
        LoginOperation::RemoveClient { client_uuid: client_id().uuid },
        LoginOperation::DeleteUser {},
        LoginOperation::ResetIdentity { generation: 2 },
    ];
    let vectors = operations.map(|operation| {
        json!({
            "client_id": client_id().to_string(),
            "operation": operation,
            "context": hex(operation.opaque_context(&client_id())),
        })
    });
    assert_current("docs/vectors/logins.json", &json!(vectors));
}

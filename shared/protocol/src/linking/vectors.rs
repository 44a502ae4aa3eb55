//! `docs/vectors/linking.json`: what another implementation checks its messages and device labels with.
//! `VESTIBULE_BLESS=1` writes it.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::message::LinkingMessage;
use super::tests::conversation::{Conversation, NOW, Step, handover, state_bundle};
use super::*;
use crate::device_label::{DeviceLabel, associated_data};
use crate::encoding::SecretBytes as _;
use crate::name::ClientId;
use crate::queuing::QsClientId;
use crate::symmetric::DeviceLabelKey;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors/linking.json");

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn tls(value: &impl tls_codec::Serialize) -> String {
    hex(value.tls_serialize_detached().unwrap())
}

/// What a message says, apart from secrets and what is long.
fn content(message: &OutgoingMessage) -> Value {
    match LinkingMessage::from_bytes(message.as_bytes()).unwrap() {
        LinkingMessage::UserName(message) => json!({
            "user_name": message.user_name,
            "as_credential_fingerprint": hex(message.as_credential_fingerprint.as_bytes()),
        }),
        LinkingMessage::CredentialRequest(message) => json!({
            "device_name": message.device_name,
            "client_credential_csr": hex(message.client_credential_csr),
        }),
        LinkingMessage::IssuedCredential(message) => json!({
            "client_credential": hex(message.client_credential),
            "as_intermediate_credential": hex(message.as_intermediate_credential),
        }),
        LinkingMessage::IdentityKeyPackage(message) => json!({
            "key_package": hex(message.key_package),
            "as_intermediate_credential": hex(message.as_intermediate_credential),
        }),
        LinkingMessage::Handover(message) => json!({ "state_bundles_length": message.state_bundles_length }),
        LinkingMessage::StateBundles(chunk) => json!({ "index": chunk.index, "bytes": hex(&*chunk.bytes.0) }),
        LinkingMessage::Confirmed => json!({}),
        LinkingMessage::Declined(reason) => json!({ "reason": reason }),
    }
}

/// Every message of a linking, in order.
fn messages() -> Vec<Value> {
    let mut messages = Vec::new();
    for (step, sender, name) in [
        (Step::Started, "existing-device", &["user-name"][..]),
        (Step::Agreed, "new-device", &["credential-request"]),
        (Step::Issued, "existing-device", &["issued-credential"]),
        (Step::KeyPackageMade, "new-device", &["identity-key-package"]),
        (Step::Added, "existing-device", &["handover", "state-bundles"]),
        (Step::Confirmed, "new-device", &["confirmed"]),
    ] {
        for (message, name) in Conversation::at(step).under_way.iter().zip(name) {
            messages.push(json!({
                "type": name,
                "sender": sender,
                "content": content(message),
                "message": hex(message.as_bytes()),
            }));
        }
    }
    messages
}

fn declined() -> Vec<Value> {
    let message = |byte| {
        let message = LinkingMessage::from_bytes(&[8, byte]).unwrap();
        json!({ "content": content(&message.to_outgoing()), "message": hex(message.to_outgoing().as_bytes()) })
    };
    (1..=12).map(message).collect()
}

fn handed_over() -> Value {
    let handover = handover();
    let bundle = state_bundle(40);
    json!({
        "user_id": handover.user_id,
        "identity_generation": handover.identity_generation,
        "identity_epoch": handover.identity_epoch,
        "welcome": hex(handover.welcome),
        "device_label_key": hex(handover.device_label_key.as_bytes()),
        "friendship_token": hex(handover.friendship_token.as_bytes()),
        "friendship_encryption_key": hex(handover.friendship_encryption_key.as_bytes()),
        "welcome_attribution_info_key": hex(handover.welcome_attribution_info_key.as_bytes()),
        "qs_user_id": hex(handover.qs_user_id.as_bytes()),
        "qs_user_record_key": hex(&*handover.qs_user_record_key.to_secret_bytes()),
        "state_bundles": [{
            "group_id": hex(bundle.group_id),
            "member_ear_secrets": hex(bundle.member_ear_secrets.as_bytes()),
            "public_group_state": hex(bundle.public_group_state),
        }],
    })
}

fn device_label(name: &str, qs_client_id: Option<QsClientId>) -> Value {
    let key = DeviceLabelKey::from_bytes([2; 32]);
    let client_id: ClientId = "alice@example.org/7f0c1f0e-5b5b-4c66-9d2e-0d6f5a1c2b3d".parse().unwrap();
    let label = DeviceLabel { name: name.parse().unwrap(), added_at: NOW, qs_client_id };
    let encrypted = label.seal(&client_id, &key, &mut StdRng::seed_from_u64(1));
    assert_eq!(DeviceLabel::open(&encrypted.0, &client_id, &key).as_ref(), Ok(&label));
    json!({
        "device_label_key": hex(key.as_bytes()),
        "client_id": client_id,
        "name": label.name,
        "added_at": label.added_at,
        "qs_client_id": label.qs_client_id.map(|id| hex(id.as_bytes())),
        "device_label": tls(&label),
        "aad": hex(associated_data(&client_id)),
        "encrypted_device_label": hex(encrypted),
    })
}

fn vectors() -> Value {
    let conversation = Conversation::start();
    let qs_client_id = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8".parse().unwrap();
    json!({
        "now": NOW,
        "as_credential": hex(conversation.deployment.root.to_bytes()),
        "messages": messages(),
        "handed_over": handed_over(),
        "declined": declined(),
        "device_labels": [
            device_label("alice's laptop", None),
            device_label("ноутбук 💻", Some(qs_client_id)),
        ],
    })
}

#[test]
fn the_vectors_of_the_linking_are_current() {
    let current = vectors();
    if std::env::var_os("VESTIBULE_BLESS").is_some() {
        std::fs::write(PATH, format!("{}\n", serde_json::to_string_pretty(&current).unwrap())).unwrap();
    }
    let written = std::fs::read_to_string(PATH).unwrap_or_default();
    let is_current = serde_json::from_str::<Value>(&written).is_ok_and(|written| written == current);
    assert!(is_current, "docs/vectors/linking.json is not current: run the tests with VESTIBULE_BLESS=1");
}

//! Queue configs, encrypted to the queuing service with the HPKE that openmls uses.

use openmls_rust_crypto::RustCrypto;
use openmls_traits::crypto::OpenMlsCrypto as _;
use openmls_traits::types::HpkeCiphertext;
use tls_codec::{Deserialize as _, Serialize as _};
use vestibule_mls::CIPHERSUITE;
use vestibule_protocol::keys::HpkePublicKey;
use vestibule_protocol::queue_config::{QUEUE_CONFIG_LENGTH, QueueConfig};

/// Encrypts a queue config to the queuing service, differently every time; `None` if HPKE fails, which it does for want
/// of randomness alone.
pub fn seal_queue_config(queue_config: &QueueConfig, key: &HpkePublicKey) -> Option<Vec<u8>> {
    let plaintext = queue_config.to_bytes();
    let info = QueueConfig::hpke_info();
    let ciphertext =
        RustCrypto::default().hpke_seal(CIPHERSUITE.hpke_config(), key.as_bytes(), &info, b"", &plaintext.0).ok()?;
    ciphertext.tls_serialize_detached().ok()
}

/// Whether these bytes have the form that every queue config has.
pub(crate) fn is_well_formed(sealed: &[u8]) -> bool {
    decode(sealed).is_some()
}

fn decode(sealed: &[u8]) -> Option<HpkeCiphertext> {
    let ciphertext = HpkeCiphertext::tls_deserialize_exact(sealed).ok()?;
    let has_the_length = sealed.len() == QUEUE_CONFIG_LENGTH && ciphertext.kem_output.as_slice().len() == 32;
    has_the_length.then_some(ciphertext)
}

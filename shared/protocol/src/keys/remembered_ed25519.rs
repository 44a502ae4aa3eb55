//! For tests: Ed25519 whose results are remembered, so that the many thousand runs of the simulated linking compute each
//! only once. Results follow from the inputs, so remembering them changes nothing.

use std::cell::RefCell;
use std::collections::HashMap;

use super::plain_ed25519;

/// Key and message.
type Signed = ([u8; 32], Vec<u8>);

thread_local! {
    static SIGNATURES: RefCell<HashMap<Signed, [u8; 64]>> = RefCell::default();
    static VERDICTS: RefCell<HashMap<(Signed, [u8; 64]), bool>> = RefCell::default();
}

/// See [`plain_ed25519::sign`].
pub(super) fn sign(key: &ed25519_dalek::SigningKey, message: &[u8]) -> [u8; 64] {
    let compute = || plain_ed25519::sign(key, message);
    SIGNATURES.with_borrow_mut(|known| *known.entry((key.to_bytes(), message.to_vec())).or_insert_with(compute))
}

/// See [`plain_ed25519::verifies`].
pub(super) fn verifies(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let compute = || plain_ed25519::verifies(key, message, signature);
    VERDICTS.with_borrow_mut(|known| *known.entry(((*key, message.to_vec()), *signature)).or_insert_with(compute))
}

#[test]
fn what_is_remembered_is_what_was_computed() {
    let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    for _ in 0..2 {
        let signature = sign(&key, b"message");
        assert_eq!(signature, plain_ed25519::sign(&key, b"message"));
        let verifying_key = key.verifying_key().to_bytes();
        assert!(verifies(&verifying_key, b"message", &signature));
        assert!(!verifies(&verifying_key, b"another", &signature));
        assert!(!verifies(&[2; 32], b"message", &signature));
    }
}

//! Device labels: what a user calls a device, encrypted so that only the user's own clients can read it.
//!
//! ```text
//! struct {
//!     opaque name<V>;                          // a DeviceName in UTF-8
//!     uint64 added_at;
//!     optional<QsClientId> qs_client_id;
//!     opaque padding[...];                     // zeros, up to 304 bytes in all
//! } DeviceLabel;
//! ```
//!
//! `encrypted_device_label = nonce[24] ‖ XChaCha20-Poly1305(device-label key, nonce, DeviceLabel, aad)`, with a random
//! nonce and, as `aad`, the device's `ClientId` under the label "DeviceLabel". All have one length, whatever the name, and
//! the label of one device does not open as another's.

use std::fmt;
use std::str::FromStr;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::{CryptoRng, RngCore};
use tls_codec::{
    DeserializeBytes, Serialize as _, Size, TlsDeserializeBytes, TlsSerialize, TlsSize, VLByteSlice, VLBytes,
};
use zeroize::Zeroizing;

use crate::encoding::Bytes;
use crate::limits::MAX_DEVICE_NAME_LENGTH;
use crate::name::ClientId;
use crate::queuing::QsClientId;
use crate::signed::labelled;
use crate::symmetric::DeviceLabelKey;
use crate::text_form::text_form;
use crate::time::Timestamp;

/// Length of the nonce in front of an encrypted label, in bytes.
const NONCE_LENGTH: usize = 24;
/// Length of every label, padding included, in bytes. The longest name leaves 5 to spare.
const LABEL_LENGTH: usize = 304;
/// Length of every encrypted label, in bytes.
pub const ENCRYPTED_DEVICE_LABEL_LENGTH: usize = NONCE_LENGTH + LABEL_LENGTH + 16;

/// Characters that are not seen themselves but change how others are shown: what is on the screen would not be what the
/// name is. Line and paragraph separators, and the controls of writing direction (Unicode Standard Annex 9).
const DECEPTIVE_CHARACTERS: [char; 14] = [
    '\u{061c}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}',
    '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}',
];

/// The text is not the name of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a device name is 1 to {MAX_DEVICE_NAME_LENGTH} printable characters")]
pub struct DeviceNameError;

/// What a user calls a device: 1 to [`MAX_DEVICE_NAME_LENGTH`] characters of which at least one is no white space, and
/// none a control character or one that changes the direction of writing. It can be shown as it is, in a line.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DeviceName(String);

impl DeviceName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name that is left of `text` without what a name cannot have, or `None` if nothing is.
    pub fn adapted_from(text: &str) -> Option<Self> {
        let allowed = text.trim().chars().filter(|character| is_allowed(*character));
        allowed.take(MAX_DEVICE_NAME_LENGTH).collect::<String>().parse().ok()
    }
}

fn is_allowed(character: char) -> bool {
    !character.is_control() && !DECEPTIVE_CHARACTERS.contains(&character)
}

impl FromStr for DeviceName {
    type Err = DeviceNameError;

    fn from_str(text: &str) -> Result<Self, DeviceNameError> {
        let is_printable = !text.trim().is_empty() && text.chars().all(is_allowed);
        let is_name = is_printable && text.chars().count() <= MAX_DEVICE_NAME_LENGTH;
        if is_name { Ok(Self(text.to_owned())) } else { Err(DeviceNameError) }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

text_form!(DeviceName, { "type": "string" });

impl Size for DeviceName {
    fn tls_serialized_len(&self) -> usize {
        VLByteSlice(self.0.as_bytes()).tls_serialized_len()
    }
}

impl tls_codec::Serialize for DeviceName {
    fn tls_serialize<W: std::io::Write>(&self, writer: &mut W) -> Result<usize, tls_codec::Error> {
        VLByteSlice(self.0.as_bytes()).tls_serialize(writer)
    }
}

impl DeserializeBytes for DeviceName {
    fn tls_deserialize_bytes(bytes: &[u8]) -> Result<(Self, &[u8]), tls_codec::Error> {
        let (text, rest) = VLBytes::tls_deserialize_bytes(bytes)?;
        let name = std::str::from_utf8(text.as_slice()).ok().and_then(|text| text.parse().ok());
        Ok((name.ok_or_else(|| tls_codec::Error::DecodingError(DeviceNameError.to_string()))?, rest))
    }
}

/// The key does not open it as this device's label, or what is inside is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("it is not the encrypted label of this device")]
pub struct DeviceLabelError;

/// What the user's clients know of one of them. It stands, encrypted, in the client's leaf of the user's identity.
#[derive(Clone, PartialEq, Eq, Debug, TlsSerialize, TlsDeserializeBytes, TlsSize)]
pub struct DeviceLabel {
    /// What the device is called.
    pub name: DeviceName,
    /// When it was added to the user's, by its own clock.
    pub added_at: Timestamp,
    /// Its client at the queuing service, if it has one: what must be deleted there when the device is removed.
    pub qs_client_id: Option<QsClientId>,
}

impl DeviceLabel {
    /// Encrypts the label of the device `client_id`: [`ENCRYPTED_DEVICE_LABEL_LENGTH`] bytes.
    pub fn seal(&self, client_id: &ClientId, key: &DeviceLabelKey, rng: &mut (impl RngCore + CryptoRng)) -> Bytes {
        let mut nonce = [0; NONCE_LENGTH];
        rng.fill_bytes(&mut nonce);
        let mut label = self.tls_serialize_detached().expect("a name is short");
        debug_assert!(label.len() <= LABEL_LENGTH, "the longest name fits");
        label.resize(LABEL_LENGTH, 0);
        let ciphertext = XChaCha20Poly1305::new(key.as_bytes().into())
            .encrypt(XNonce::from_slice(&nonce), Payload { msg: &label, aad: &associated_data(client_id) })
            .expect("the plaintext is shorter than 256 GiB");
        Bytes([nonce.as_slice(), &ciphertext].concat())
    }

    /// Decrypts the label of the device `client_id`.
    ///
    /// # Errors
    /// [`DeviceLabelError`].
    pub fn open(encrypted: &[u8], client_id: &ClientId, key: &DeviceLabelKey) -> Result<Self, DeviceLabelError> {
        if encrypted.len() != ENCRYPTED_DEVICE_LABEL_LENGTH {
            return Err(DeviceLabelError);
        }
        let (nonce, ciphertext) = encrypted.split_at(NONCE_LENGTH);
        let label = XChaCha20Poly1305::new(key.as_bytes().into())
            .decrypt(XNonce::from_slice(nonce), Payload { msg: ciphertext, aad: &associated_data(client_id) })
            .map(Zeroizing::new)
            .map_err(|_| DeviceLabelError)?;
        let (label, padding) = Self::tls_deserialize_bytes(&label).map_err(|_| DeviceLabelError)?;
        let is_padded = padding.iter().all(|byte| *byte == 0);
        if is_padded { Ok(label) } else { Err(DeviceLabelError) }
    }
}

pub(crate) fn associated_data(client_id: &ClientId) -> Vec<u8> {
    labelled("DeviceLabel", &client_id.tls_serialize_detached().expect("a client id is short"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;
    use crate::keys::{QsClientRecordKey, SigningKey};

    fn client_id(seed: u64) -> ClientId {
        let uuid = crate::name::ClientUuid::generate(&mut StdRng::seed_from_u64(seed));
        ClientId { user_name: "alice@example.org".parse().unwrap(), uuid }
    }

    fn key(seed: u64) -> DeviceLabelKey {
        DeviceLabelKey::generate(&mut StdRng::seed_from_u64(seed))
    }

    fn label(name: &str, has_queue: bool) -> DeviceLabel {
        let record_key = SigningKey::<QsClientRecordKey>::generate(&mut StdRng::seed_from_u64(3));
        DeviceLabel {
            name: name.parse().unwrap(),
            added_at: Timestamp::from_seconds(1_800_000_000),
            qs_client_id: has_queue.then(|| QsClientId::of(&record_key.verifying_key())),
        }
    }

    fn sealed(name: &str, has_queue: bool) -> Bytes {
        label(name, has_queue).seal(&client_id(1), &key(1), &mut StdRng::seed_from_u64(2))
    }

    #[test]
    fn a_device_name_can_be_shown_as_it_is() {
        for name in ["x", "alice's laptop", " x", "ноутбук 💻", &"ä".repeat(64)] {
            assert_eq!(name.parse::<DeviceName>().unwrap().as_str(), name);
        }
        for name in ["", "  ", "a\nb", "\u{1b}[2J", "\0", "moc.elpmaxe\u{202e}", "a\u{2028}b", &"a".repeat(65)] {
            assert_eq!(name.parse::<DeviceName>(), Err(DeviceNameError), "{name:?}");
        }
    }

    #[test]
    fn a_text_that_is_no_name_is_adapted_to_one() {
        let adapted = |text: &str| DeviceName::adapted_from(text).map(|name| name.to_string());
        assert_eq!(adapted(" alice-\u{202e}pc\n").as_deref(), Some("alice-pc"));
        assert_eq!(adapted(&"é".repeat(99)), Some("é".repeat(64)));
        assert_eq!(adapted(" \n"), None);
    }

    #[test]
    fn every_label_has_one_length() {
        for name in ["x", &"\u{10000}".repeat(64)] {
            for has_queue in [false, true] {
                assert_eq!(sealed(name, has_queue).0.len(), ENCRYPTED_DEVICE_LABEL_LENGTH);
            }
        }
    }

    #[test]
    fn a_label_opens_for_its_own_device_and_key_alone() {
        let sealed = sealed("laptop", true);
        assert_eq!(DeviceLabel::open(&sealed.0, &client_id(1), &key(1)), Ok(label("laptop", true)));
        assert_eq!(DeviceLabel::open(&sealed.0, &client_id(2), &key(1)), Err(DeviceLabelError));
        assert_eq!(DeviceLabel::open(&sealed.0, &client_id(1), &key(2)), Err(DeviceLabelError));
    }

    #[test]
    fn a_label_with_something_in_its_padding_is_refused() {
        let mut label = label("laptop", false).tls_serialize_detached().unwrap();
        label.resize(LABEL_LENGTH, 0);
        label[LABEL_LENGTH - 1] = 1;
        let nonce = [0; NONCE_LENGTH];
        let ciphertext = XChaCha20Poly1305::new(key(1).as_bytes().into())
            .encrypt(XNonce::from_slice(&nonce), Payload { msg: &label, aad: &associated_data(&client_id(1)) })
            .unwrap();
        let sealed = [nonce.as_slice(), &ciphertext].concat();
        assert_eq!(DeviceLabel::open(&sealed, &client_id(1), &key(1)), Err(DeviceLabelError));
    }

    proptest! {
        #[test]
        fn whatever_parses_is_a_label_that_is_read_back(name in ".{1,64}", has_queue: bool) {
            if name.parse::<DeviceName>().is_ok() {
                let opened = DeviceLabel::open(&sealed(&name, has_queue).0, &client_id(1), &key(1));
                prop_assert_eq!(opened, Ok(label(&name, has_queue)));
            }
        }

        #[test]
        fn an_altered_label_is_refused(position in 0..ENCRYPTED_DEVICE_LABEL_LENGTH, difference in 1..=u8::MAX) {
            let mut sealed = sealed("laptop", true);
            sealed.0[position] ^= difference;
            prop_assert_eq!(DeviceLabel::open(&sealed.0, &client_id(1), &key(1)), Err(DeviceLabelError));
            prop_assert_eq!(DeviceLabel::open(&sealed.0[1..], &client_id(1), &key(1)), Err(DeviceLabelError));
        }
    }
}

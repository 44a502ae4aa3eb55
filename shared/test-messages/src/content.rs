//! What the PrivateMessage of a test message says: the text, and who the sender is.

use tls_codec::{DeserializeBytes as _, Serialize as _, Size as _, VLByteSlice};
use vestibule_protocol::credential::ProtocolVersion;
use vestibule_protocol::encoding::{Bytes, SecretBytes as _};
use vestibule_protocol::symmetric::{SYMMETRIC_SECRET_LENGTH, SignatureEncryptionKey};
use zeroize::Zeroizing;

use crate::text::MessageText;

/// What is encrypted to the friend's devices. Of the sender it is a claim: nothing of it was checked.
pub(crate) struct Content {
    /// The sender's `ClientCredential`.
    pub(crate) client_credential: Bytes,
    /// The `AsIntermediateCredential` that signed it, which may be replaced by the time the message is read.
    pub(crate) as_intermediate_credential: Bytes,
    /// What opens the signature of the sender's leaf credential.
    pub(crate) signature_encryption_key: SignatureEncryptionKey,
    pub(crate) text: MessageText,
}

impl Content {
    pub(crate) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let credentials = [&self.client_credential, &self.as_intermediate_credential];
        let key = self.signature_encryption_key.to_secret_bytes();
        let text = VLByteSlice(self.text.as_str().as_bytes());
        // Written at once: a buffer that grows would leave copies behind.
        let version = ProtocolVersion::Vestibule1;
        let length = version.tls_serialized_len()
            + credentials.iter().map(|credential| credential.tls_serialized_len()).sum::<usize>()
            + key.len()
            + text.tls_serialized_len();
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        let written = "a Vec takes whatever is written";
        version.tls_serialize(&mut *bytes).expect(written);
        for credential in credentials {
            credential.tls_serialize(&mut *bytes).expect(written);
        }
        bytes.extend_from_slice(&key);
        text.tls_serialize(&mut *bytes).expect(written);
        bytes
    }

    /// Decodes it; `None` if that is not what the bytes are.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (ProtocolVersion::Vestibule1, rest) = ProtocolVersion::tls_deserialize_bytes(bytes).ok()?;
        let (client_credential, rest) = Bytes::tls_deserialize_bytes(rest).ok()?;
        let (as_intermediate_credential, rest) = Bytes::tls_deserialize_bytes(rest).ok()?;
        let (key, rest) = rest.split_at_checked(SYMMETRIC_SECRET_LENGTH)?;
        let text = Zeroizing::new(Bytes::tls_deserialize_exact_bytes(rest).ok()?.0);
        Some(Self {
            client_credential,
            as_intermediate_credential,
            signature_encryption_key: SignatureEncryptionKey::from_secret_bytes(key)?,
            text: MessageText::from_bytes(&text).ok()?,
        })
    }
}

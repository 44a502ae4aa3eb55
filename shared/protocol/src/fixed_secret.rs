//! `#[tls_codec(with = "crate::fixed_secret")]`: a secret of 32 bytes as `opaque[32]`.

use std::io::Write;

use crate::encoding::SecretBytes;

const LENGTH: usize = 32;

pub(crate) fn tls_serialized_len<T: SecretBytes>(_: &T) -> usize {
    LENGTH
}

pub(crate) fn tls_serialize<T: SecretBytes, W: Write>(secret: &T, writer: &mut W) -> Result<usize, tls_codec::Error> {
    let bytes = secret.to_secret_bytes();
    debug_assert_eq!(bytes.len(), LENGTH);
    writer.write_all(&bytes)?;
    Ok(bytes.len())
}

pub(crate) fn tls_deserialize_bytes<T: SecretBytes>(bytes: &[u8]) -> Result<(T, &[u8]), tls_codec::Error> {
    let (secret, rest) = bytes.split_at_checked(LENGTH).ok_or(tls_codec::Error::EndOfStream)?;
    let secret = T::from_secret_bytes(secret);
    Ok((secret.ok_or_else(|| tls_codec::Error::DecodingError("not a secret of 32 bytes".to_owned()))?, rest))
}

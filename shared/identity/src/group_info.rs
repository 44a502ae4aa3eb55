//! GroupInfos, read byte for byte: all but the external key and the signature follows from the commit that it comes with.

use openmls_rust_crypto::RustCrypto;
use openmls_traits::crypto::OpenMlsCrypto as _;
use openmls_traits::types::SignatureScheme;
use tls_codec::{DeserializeBytes as _, Serialize as _, VLByteSlice, VLBytes};
use vestibule_protocol::keys::HpkePublicKey;

use crate::IdentityError;

/// An `MLSMessage` of MLS 1.0 with a GroupInfo begins with this (RFC 9420, section 6).
const HEADER: [u8; 4] = [0, 1, 0, 4];
/// The number of the extension `ratchet_tree` (RFC 9420, section 17.3).
const RATCHET_TREE: [u8; 2] = [0, 2];
/// The number of the extension `external_pub`.
const EXTERNAL_PUB: [u8; 2] = [0, 4];
/// What a GroupInfo's signature is labelled with (RFC 9420, section 12.4.3).
const SIGNATURE_LABEL: &[u8] = b"MLS 1.0 GroupInfoTBS";

/// What a GroupInfo must say. The first three are as TLS writes them.
pub(crate) struct ExpectedGroupInfo<'a> {
    pub(crate) context: &'a [u8],
    pub(crate) ratchet_tree: &'a [u8],
    pub(crate) confirmation_tag: &'a [u8],
    pub(crate) signer: u32,
    pub(crate) signature_key: &'a [u8],
}

impl ExpectedGroupInfo<'_> {
    /// Checks a GroupInfo, an `MLSMessage`: context, exactly the two extensions in this order, tag, signer and signature.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<(), IdentityError> {
        let signed = bytes.strip_prefix(&HEADER).ok_or(IdentityError::Malformed)?;
        let rest = signed.strip_prefix(self.context).ok_or(IdentityError::GroupInfoContext)?;
        let (extensions, rest) = opaque(rest)?;
        self.check_extensions(extensions.as_slice())?;
        let rest = rest.strip_prefix(self.confirmation_tag).ok_or(IdentityError::GroupInfoConfirmationTag)?;
        let rest = rest.strip_prefix(&self.signer.to_be_bytes()).ok_or(IdentityError::GroupInfoSignature)?;
        let signed = &signed[..signed.len() - rest.len()];
        let signature = VLBytes::tls_deserialize_exact_bytes(rest).map_err(|_| IdentityError::Malformed)?;
        RustCrypto::default()
            .verify_signature(SignatureScheme::ED25519, &sign_content(signed), self.signature_key, signature.as_slice())
            .map_err(|_| IdentityError::GroupInfoSignature)
    }

    fn check_extensions(&self, extensions: &[u8]) -> Result<(), IdentityError> {
        let rest = extensions.strip_prefix(&RATCHET_TREE).ok_or(IdentityError::GroupInfoExtensions)?;
        let (ratchet_tree, rest) = opaque(rest)?;
        if ratchet_tree.as_slice() != self.ratchet_tree {
            return Err(IdentityError::GroupInfoTree);
        }
        let rest = rest.strip_prefix(&EXTERNAL_PUB).ok_or(IdentityError::GroupInfoExtensions)?;
        let (external_pub, rest) = opaque(rest)?;
        let is_key = HpkePublicKey::tls_deserialize_exact_bytes(external_pub.as_slice()).is_ok();
        if is_key && rest.is_empty() { Ok(()) } else { Err(IdentityError::GroupInfoExtensions) }
    }
}

fn opaque(bytes: &[u8]) -> Result<(VLBytes, &[u8]), IdentityError> {
    VLBytes::tls_deserialize_bytes(bytes).map_err(|_| IdentityError::Malformed)
}

/// What the signature covers (RFC 9420, section 5.1.2).
fn sign_content(content: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(content.len() + SIGNATURE_LABEL.len() + 8);
    for part in [SIGNATURE_LABEL, content] {
        VLByteSlice(part).tls_serialize(&mut framed).expect("a Vec takes whatever is written");
    }
    framed
}

//! Claiming a friend's KeyPackages.

use rand::RngCore as _;
use tls_codec::Serialize as _;
use vestibule_key_packages::{ClaimError, ClaimedPackage, verify_claim};
use vestibule_protocol::add_package::KeyPackageRef;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{ClaimKeyPackages, ClaimKeyPackagesRequest, GetCredentials};
use vestibule_protocol::friendship::FriendshipCode;
use vestibule_protocol::name::ClientId;

use super::get_keys;
use crate::chain::TrustedChains;
use crate::error::Error;
use crate::home::KeptRequest;
use crate::session::Session;
use crate::tokens::paying::pay;

/// Length of the nonce that ties the answer to the request, in bytes.
const NONCE_LENGTH: usize = 32;

/// A friend's KeyPackage: everything was checked, from the deployment's root to the leaf's key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClaimedKeyPackage {
    /// Its name (RFC 9420, section 5.2).
    pub key_package_ref: KeyPackageRef,
    /// Whether it is one that others may have claimed too.
    pub is_last_resort: bool,
    /// Whose it is: the client, and with it the user whom the friendship code names.
    pub client_id: ClientId,
    /// The MLS KeyPackage (RFC 9420, section 10), to be added to a group.
    pub key_package: Bytes,
}

/// Claims a KeyPackage of each of the clients of the user whom `code` names, for the application.
pub(crate) async fn claim(session: &Session<'_>, code: &FriendshipCode) -> Result<Vec<ClaimedKeyPackage>, Error> {
    Ok(claim_packages(session, code).await?.iter().map(ClaimedKeyPackage::of).collect())
}

/// Claims a KeyPackage of each of the clients of the user whom `code` names. If the answer is lost, its packages are, and the
/// token: the claim is then sent with another, and takes the next.
pub(crate) async fn claim_packages(session: &Session<'_>, code: &FriendshipCode) -> Result<Vec<ClaimedPackage>, Error> {
    // First what the answer will be judged by: packages that cannot be judged would be wasted.
    let offered = session.authentication_service.call::<GetCredentials>(&(), &[]).await?;
    let domain = code.user_name.domain();
    let chains = TrustedChains::choose(&offered, domain, session.trusted_root, session.now())?;
    let qs_keys = get_keys(session, &chains.root).await?;

    let mut nonce = vec![0; NONCE_LENGTH];
    session.connection.randomness.clone().fill_bytes(&mut nonce);
    let request = ClaimKeyPackagesRequest { friendship_token: code.token.clone(), nonce: Bytes(nonce) };
    let request = KeptRequest::new(&request);
    let answer = pay::<ClaimKeyPackages>(session, &(), request.as_bytes()).await?;

    // While the service's keys change, either may have signed.
    let mut outcome = Err(ClaimError::Empty);
    for keys in &qs_keys {
        outcome = verify_claim(&answer, request.as_bytes(), keys, code, chains.trusted(), session.now());
        if !matches!(outcome, Err(ClaimError::Answer(_))) {
            break;
        }
    }
    Ok(outcome?)
}

impl ClaimedKeyPackage {
    fn of(claimed: &ClaimedPackage) -> Self {
        let key_package = claimed.key_package.tls_serialize_detached();
        Self {
            key_package_ref: claimed.reference,
            is_last_resort: claimed.is_last_resort,
            client_id: claimed.client_id().clone(),
            key_package: Bytes(key_package.expect("it was decoded")),
        }
    }
}

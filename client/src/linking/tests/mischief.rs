//! Devices that do not do what they should, on a channel that is.

use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{AddClient, AddClientRequest, ClientPath, GetCredentials};
use vestibule_protocol::linking::{
    ExistingDevice, ExistingDeviceProgress, Expectation, Handover, NewDevice, NewDeviceProgress, Standing,
};

use super::*;
use crate::chain::TrustedChains;
use crate::session::Session;

/// Sends, and gives the next message to a machine.
async fn exchange(
    channel: &mut SecuredChannel<'_, '_>,
    messages: impl IntoIterator<Item = OutgoingMessage>,
    mut receive: impl FnMut(&[u8]) -> Result<(), LinkingError>,
) {
    send(channel, messages);
    let message = next_message(channel).await.unwrap().expect("the other device goes on");
    receive(message.as_bytes()).unwrap();
}

async fn chains(session: &Session<'_>) -> TrustedChains {
    let offered = session.authentication_service.call::<GetCredentials>(&(), &[]).await.unwrap();
    TrustedChains::choose(&offered, &"localhost".parse().unwrap(), session.trusted_root, session.now()).unwrap()
}

/// A new device that sends this in place of its KeyPackage.
async fn link_with(pair: &Pair, key_package: Bytes) -> Option<Ending> {
    let mut client = pair.client(0, Fuse::none()).unwrap();
    let mut rendezvous = client.create_rendezvous().await.unwrap();
    pair.screen.send_replace(rendezvous.pairing().cloned());
    let now = pair.devices[0].clock.now();
    let (root, intermediate) = {
        let deployment = pair.devices[0].service.deployment();
        (deployment.root.clone(), deployment.intermediate.clone())
    };
    let mut channel = rendezvous.secured(|_| {}).await.unwrap();
    let expectation =
        Expectation { domain: "localhost".parse().unwrap(), user_name: None, as_credential_fingerprint: None };
    let mut machine = NewDevice::start("tablet".parse().unwrap(), expectation);
    exchange(&mut channel, [], |message| machine.receive(message, now)).await;
    let request = machine.agree(&root, &intermediate, now, &mut rand::rngs::OsRng).unwrap();
    exchange(&mut channel, [request], |message| machine.receive(message, now)).await;
    assert!(matches!(machine.progress(), NewDeviceProgress::KeyPackageWanted(_)));
    let made = machine.key_package_made(key_package).unwrap();
    exchange(&mut channel, [made], |message| machine.receive(message, now)).await;
    match machine.progress() {
        NewDeviceProgress::Ended(ending) => {
            let ending = *ending;
            rendezvous.cancel().await.unwrap();
            Some(ending)
        }
        _ => None,
    }
}

#[tokio::test]
async fn a_key_package_that_is_not_the_new_clients_is_refused() {
    let pair = Pair::new().await;
    let approving = async {
        let mut screen = pair.screen.subscribe();
        let shown = screen.wait_for(Option::is_some).await.unwrap().clone().unwrap();
        pair.approve(&shown, Fuse::none()).await
    };
    let linking = link_with(&pair, Bytes(b"not a KeyPackage".to_vec()));
    let both = Box::pin(async { tokio::join!(linking, approving) });
    let (ending, approved) = tokio::time::timeout(PATIENCE, both).await.expect("somebody waits for ever");
    assert_eq!(ending, Some(Ending::PeerDeclined(DeclineReason::KeyPackageRefused)));
    assert!(matches!(approved, Err(Error::KeyPackageRefused(_))), "{approved:?}");
    pair.assert_nothing_is_left().await;
}

/// An existing device that hands over a Welcome of its own making.
async fn approve_with(pair: &Pair, welcome: Bytes) -> Option<Ending> {
    let mut screen = pair.screen.subscribe();
    let shown = screen.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    let now = pair.devices[1].clock.now();
    let account = pair.devices[1].account();
    let mut client = pair.client(1, Fuse::none()).unwrap();
    let (chains, service) = {
        let session = client.own_session().unwrap();
        (chains(&session).await, session.authentication_service.clone())
    };
    let mut rendezvous = client.join_rendezvous(&shown).await.unwrap();
    let mut channel = rendezvous.secured(|_| {}).await.unwrap();
    let (mut machine, first) = ExistingDevice::start(&Standing {
        user_name: account.user_name.clone(),
        as_credential: chains.root.clone(),
        as_intermediate_credentials: chains.intermediates().to_vec(),
        client_uuids: Vec::new(),
    });
    exchange(&mut channel, [first], |message| machine.receive(message, now)).await;
    machine.approve().unwrap();
    let ExistingDeviceProgress::CredentialWanted { client_id, client_credential_csr } = machine.progress() else {
        panic!("it was approved");
    };
    let path = ClientPath { user_name: account.user_name.clone(), client_uuid: client_id.uuid };
    let client_id = client_id.clone();
    let request = AddClientRequest { client_credential_csr: client_credential_csr.clone() };
    let body = serde_json::to_vec(&request).unwrap();
    let answer = service.call_signed::<AddClient, _>(&path, &body, &account.signer()).await.unwrap();
    let issued = machine.credential_issued(answer.client_credential, now).unwrap();
    exchange(&mut channel, [issued], |message| machine.receive(message, now)).await;

    let secrets = account.shared_secrets().unwrap();
    let follower = account.identity.as_ref().unwrap().member().follower();
    let handover = Handover {
        user_id: account.user_id,
        identity_generation: follower.generation(),
        identity_epoch: follower.epoch(),
        welcome,
        rotation: secrets.rotation,
        device_label_key: account.identity.as_ref().unwrap().device_label_key.clone(),
        friendship_token: secrets.friendship_token.clone(),
        friendship_encryption_key: secrets.friendship_encryption_key.clone(),
        welcome_attribution_info_key: secrets.welcome_attribution_info_key.clone(),
        qs_user_id: secrets.qs_user_id(),
        qs_user_record_key: secrets.clone().user_record_key,
    };
    let handed_over = machine.added(handover, Vec::new()).unwrap();
    exchange(&mut channel, handed_over, |message| machine.receive(message, now)).await;
    let ExistingDeviceProgress::SettlementWanted { client_id: same, .. } = machine.progress() else { return None };
    assert_eq!(*same, client_id);
    machine.settle(vestibule_protocol::linking::Fate::NotLinked).unwrap();
    let ExistingDeviceProgress::Ended(ending) = machine.progress() else { return None };
    let ending = *ending;
    rendezvous.cancel().await.unwrap();
    Some(ending)
}

#[tokio::test]
async fn a_welcome_that_is_none_to_the_identity_is_refused_and_nothing_kept() {
    let pair = Pair::new().await;
    let linking = pair.link(Fuse::none());
    let both = Box::pin(async { tokio::join!(linking, approve_with(&pair, Bytes(b"not a Welcome".to_vec()))) });
    let (linked, ending) = tokio::time::timeout(PATIENCE, both).await.expect("somebody waits for ever");
    assert!(matches!(linked, Err(Error::HandoverRefused)), "{linked:?}");
    assert_eq!(ending, Some(Ending::PeerDeclined(DeclineReason::HandoverRefused)));
    assert!(pair.home(0).is_none_or(|home| home.load().unwrap().is_none()));
    pair.assert_no_rendezvous_is_left();
}

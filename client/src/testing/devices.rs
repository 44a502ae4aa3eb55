//! Devices that are linked.

use tokio::sync::watch;
use vestibule_protocol::randomness::Randomness;
use vestibule_protocol::rendezvous::Pairing;
use vestibule_protocol::time::Timestamp;

use super::{Device, FakeRendezvous};
use crate::client::Client;
use crate::error::Error;
use crate::fuse::Fuse;
use crate::home::Home;
use crate::linking::{Deciding, Linked, LinkingInteraction, LinkingQuestion, LinkingStep};
use crate::queuing::new_client;

/// Somebody who shows the code to whoever reads it, and wants whatever is asked.
struct Agreeable(watch::Sender<Option<Pairing>>);

impl LinkingInteraction for Agreeable {
    fn show_code(&mut self, pairing: &Pairing, _: Timestamp) {
        self.0.send_replace(Some(pairing.clone()));
    }

    fn step(&mut self, _: LinkingStep) {}

    fn decide<'a>(&'a mut self, _: &'a LinkingQuestion) -> Deciding<'a> {
        Box::pin(async { Ok(true) })
    }
}

/// Has an existing device link a new one.
pub(crate) async fn link(new: &Device, existing: &Device, device_name: &str) -> Result<Linked, Error> {
    let fake = FakeRendezvous::new(new.service.clone(), new.clock.clone());
    let client = |device: &Device| {
        let options = device.options().transport(fake.clone()).relay_transport(fake.clone());
        Client::open(options).unwrap()
    };
    let screen = watch::Sender::new(None);
    let (mut at_new, mut at_existing) = (Agreeable(screen.clone()), Agreeable(watch::Sender::new(None)));
    let linking = async { client(new).link(device_name, None, &mut at_new).await };
    let approving = async {
        let mut shown = screen.subscribe();
        let pairing = shown.wait_for(Option::is_some).await.unwrap().clone();
        client(existing).approve(pairing.as_ref(), &mut at_existing).await
    };
    let (linked, approved) = Box::pin(async { tokio::join!(linking, approving) }).await;
    assert_eq!(linked.is_ok(), approved.is_ok(), "{linked:?} {approved:?}");
    linked
}

/// Leaves a linked device as one whose client at the queuing service does not exist yet.
pub(crate) fn leave_queuing_service(device: &Device) {
    device.service.deployment().queuing.clients.remove(&device.qs_client_id());
    let mut account = device.account();
    let user_secrets = account.shared_secrets().expect("it was linked").clone();
    account.pseudonym = Some(new_client(user_secrets, &mut Randomness::system()));
    let home = Home::open(device.home.path(), Randomness::system(), Fuse::none()).unwrap().unwrap();
    let mut state = home.load().unwrap().unwrap();
    state.account = Some(account);
    home.store(&state).unwrap();
}

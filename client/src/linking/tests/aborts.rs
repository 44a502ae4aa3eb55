//! How a linking ends otherwise than well: with a clear word on both sides, nothing left behind and the code used up.

use vestibule_protocol::encoding::Bytes;

use super::*;
use crate::identity::IdentityFailure;
use crate::transport::{Request, Response, Sending, Transport, TransportError};

/// The relay's transport, with a function that may change what the authentication service answers.
struct Tampered<F> {
    fake: Arc<FakeRendezvous>,
    change: F,
}

impl<F: Fn(&Request, Response) -> Response + Send + Sync> Transport for Tampered<F> {
    fn send<'a>(&'a self, request: &'a Request) -> Sending<'a> {
        Box::pin(async { Ok::<_, TransportError>((self.change)(request, self.fake.send(request).await?)) })
    }
}

impl Pair {
    /// Asserts that the code that was shown is of no use any more.
    async fn assert_code_is_used_up(&self) {
        let shown = self.screen.borrow().clone().unwrap();
        let again = self.approve(&shown, Fuse::none()).await.unwrap_err();
        assert_eq!(again.urn(), ProblemType::RendezvousCodeJoined.urn(), "{again}");
    }

    /// Both devices, of which one gets answers that `change` has changed.
    async fn meet_tampered(
        &self,
        side: usize,
        change: impl Fn(&Request, Response) -> Response + Send + Sync + 'static,
    ) -> [Result<Linked, Error>; 2] {
        let tampered = Arc::new(Tampered { fake: self.fake.clone(), change });
        let client = |of: usize| {
            let options = self.options(of);
            Client::open(if of == side { options.transport(tampered.clone()) } else { options }).unwrap()
        };
        let linking = async { client(0).link("tablet", None, &mut Person { pair: self, side: 0 }).await };
        let approving = async {
            let mut screen = self.screen.subscribe();
            let shown = screen.wait_for(Option::is_some).await.unwrap().clone().unwrap();
            client(1).approve(Some(&shown), &mut Person { pair: self, side: 1 }).await
        };
        let both = async { tokio::join!(linking, approving) };
        tokio::time::timeout(PATIENCE, both).await.expect("somebody waits for ever").into()
    }
}

fn replace(response: &mut Response, field: &str, value: &Bytes) {
    let mut body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    body[field] = serde_json::json!(value);
    response.body = serde_json::to_vec(&body).unwrap();
}

#[tokio::test]
async fn either_person_can_decline() {
    for side in [0, 1] {
        let mut pair = Pair::new().await;
        pair.answers[side] = false;
        let ends = pair.meet().await;
        assert_eq!(ending(&ends[side]), Some(Ending::Declined(DeclineReason::Person)), "{ends:?}");
        assert_eq!(ending(&ends[1 - side]), Some(Ending::PeerDeclined(DeclineReason::Person)), "{ends:?}");
        let words = ends.map(|end| end.unwrap_err().to_string());
        assert_eq!(words[side], "the device is not linked: ended by this device: its user declined");
        assert_eq!(words[1 - side], "the device is not linked: ended by the other device: its user declined");
        pair.assert_nothing_is_left().await;
        pair.assert_code_is_used_up().await;
    }
}

#[tokio::test]
async fn a_device_that_is_to_be_another_users_is_not_linked() {
    let mut pair = Pair::new().await;
    pair.wanted_user = Some("bob@localhost".parse().unwrap());
    let [new, existing] = pair.meet().await;
    assert_eq!(ending(&new), Some(Ending::Declined(DeclineReason::AnotherUser)));
    assert_eq!(ending(&existing), Some(Ending::PeerDeclined(DeclineReason::AnotherUser)));
    assert!(pair.asked.lock().unwrap().is_empty());
    pair.assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_credential_that_does_not_match_is_refused() {
    let pair = Pair::new().await;
    let other = pair.devices[1].another();
    other.register("bob@localhost").await.result.unwrap();
    let foreign = other.account().client_credential().unwrap().clone();
    let ends = pair
        .meet_tampered(1, move |request, mut response| {
            if request.method.as_str() == "PUT" && request.path.contains("/clients/") {
                replace(&mut response, "client_credential", &foreign);
            }
            response
        })
        .await;
    assert_eq!(ending(&ends[1]), Some(Ending::Declined(DeclineReason::CredentialRefused)), "{ends:?}");
    assert_eq!(ending(&ends[0]), Some(Ending::PeerDeclined(DeclineReason::CredentialRefused)), "{ends:?}");
    pair.assert_nothing_is_left().await;
}

#[tokio::test]
async fn a_history_that_does_not_fit_the_welcome_is_refused() {
    let pair = Pair::new().await;
    let ends = pair
        .meet_tampered(0, |request, mut response| {
            if request.path.contains("/identity?") {
                let mut body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
                body["commits"] = serde_json::json!([]);
                response.body = serde_json::to_vec(&body).unwrap();
            }
            response
        })
        .await;
    assert!(matches!(ends[0], Err(Error::Identity(IdentityFailure::HistoryIncomplete))), "{ends:?}");
    assert_eq!(ending(&ends[1]), Some(Ending::PeerDeclined(DeclineReason::HandoverRefused)), "{ends:?}");
    pair.assert_nothing_is_left().await;
}

#[tokio::test]
async fn the_eleventh_device_is_refused() {
    let mut pair = Pair::new().await;
    for _ in 0..9 {
        let [new, existing] = pair.meet().await;
        assert_eq!(new.unwrap(), existing.unwrap());
        let [_, existing_device] = pair.devices;
        pair = Pair::of([existing_device.another(), existing_device]);
    }
    let ends = pair.meet().await;
    assert!(matches!(&ends[1], Err(error) if error.urn() == ProblemType::ClientLimitReached.urn()), "{ends:?}");
    assert_eq!(ending(&ends[0]), Some(Ending::PeerDeclined(DeclineReason::ClientLimit)), "{ends:?}");
    assert_eq!(pair.clients_at_the_server(), (10, 10));
    assert!(pair.home(0).is_none_or(|home| home.load().unwrap().is_none()));
}

#[tokio::test]
async fn an_approver_that_is_removed_meanwhile_links_nobody() {
    let pair = Pair::new().await;
    let client_id = pair.devices[1].account().client_id().to_string();
    let service = pair.devices[1].service.clone();
    let ends = pair
        .meet_tampered(1, move |request, response| {
            // From when the signing request is granted on.
            if request.method.as_str() == "PUT" && request.path.contains("/clients/") {
                let mut deployment = service.deployment();
                deployment.clients.clients.get_mut(&client_id).unwrap().is_removed = true;
            }
            response
        })
        .await;
    assert!(matches!(&ends[1], Err(Error::DeviceRemoved(_))), "{ends:?}");
    assert_eq!(ending(&ends[0]), Some(Ending::PeerDeclined(DeclineReason::ApproverRemoved)), "{ends:?}");
    assert!(pair.home(0).is_none_or(|home| home.load().unwrap().is_none()));
    // What was issued lapses.
    pair.devices[1].clock.advance(Duration::from_secs(3600));
    assert_eq!(pair.clients_at_the_server().0, 0);
}

#[tokio::test]
async fn whoever_gives_up_leaves_nothing_on_either_side() {
    for side in [0, 1] {
        let pair = Pair::new().await;
        let [mut new, mut existing] = [0, 1].map(|side| pair.client(side, Fuse::none()).unwrap());
        // Somebody who takes time to answer.
        let mut persons = [0, 1].map(|of| Waverer { person: Person { pair: &pair, side: of }, wavers: of == side });
        let [at_new, at_existing] = &mut persons;
        let linking = new.link("tablet", None, at_new);
        let approving = async {
            let mut screen = pair.screen.subscribe();
            let shown = screen.wait_for(Option::is_some).await.unwrap().clone().unwrap();
            existing.approve(Some(&shown), at_existing).await
        };
        let waiting = async {
            while pair.asked.lock().unwrap().len() <= side {
                tokio::task::yield_now().await;
            }
        };
        let other = if side == 0 {
            let mut approving = std::pin::pin!(approving);
            tokio::select! {
                _ = linking => panic!("nobody has decided"),
                _ = &mut approving => panic!("nobody has decided"),
                () = waiting => {}
            }
            assert_eq!(new.abort_linking().await.unwrap(), None);
            approving.await
        } else {
            let mut linking = std::pin::pin!(linking);
            tokio::select! {
                _ = &mut linking => panic!("nobody has decided"),
                _ = approving => panic!("nobody has decided"),
                () = waiting => {}
            }
            assert_eq!(existing.abort_linking().await.unwrap(), None);
            linking.await
        };
        assert_eq!(other.unwrap_err().to_string(), "cancelled on the other device");
        drop((new, existing));
        pair.assert_nothing_is_left().await;
    }
}

/// A person who may never answer.
struct Waverer<'p> {
    person: Person<'p>,
    wavers: bool,
}

impl LinkingInteraction for Waverer<'_> {
    fn show_code(&mut self, pairing: &Pairing, expires_at: Timestamp) {
        self.person.show_code(pairing, expires_at);
    }

    fn step(&mut self, _: LinkingStep) {}

    fn decide<'a>(&'a mut self, question: &'a LinkingQuestion) -> Deciding<'a> {
        let decision = self.person.decide(question);
        if self.wavers { Box::pin(std::future::pending()) } else { decision }
    }
}

//! How a rendezvous ends otherwise than well.

use super::*;
use crate::relay::RelayUrlError;

/// Another random string under the same code.
fn mistaken(pairing: &Pairing) -> Pairing {
    let other = |bytes| Pairing { code: pairing.code, random_string: RandomString::from_bytes(bytes) };
    if other([0, 0]) == *pairing { other([0, 1]) } else { other([0, 0]) }
}

async fn created<'c>(client: &'c mut Client) -> (Rendezvous<'c>, Pairing) {
    let rendezvous = client.create_rendezvous().await.unwrap();
    let pairing = rendezvous.pairing().unwrap().clone();
    (rendezvous, pairing)
}

fn rendezvous_error(error: Error) -> RendezvousError {
    match error {
        Error::Rendezvous(error) => error,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn with_wrong_words_the_connection_ends_for_both_and_the_code_is_used_up() {
    let mut pair = Pair::new().await;
    let mut client = Client::open(pair.options(0)).unwrap();
    let (mut rendezvous, pairing) = created(&mut client).await;
    pair.screen.send_replace(Some(pairing.clone()));
    pair.typed = Some(mistaken(&pairing));
    let (new, existing) = tokio::join!(pair.converse(&mut rendezvous), pair.run_existing(Fuse::none()));
    for result in [new, existing] {
        let error = result.unwrap_err();
        assert_eq!(error.to_string(), "the connection ended");
        assert_eq!(error.urn(), "urn:vestibule:client:rendezvous-ended");
    }
    assert_eq!(pair.fake.outcome(), Some(MailboxOutcome::Aborted));
    pair.assert_nothing_is_left();

    // A second guess, with the right words even.
    pair.typed = None;
    let error = pair.run_existing(Fuse::none()).await.unwrap_err();
    assert_eq!(problem_type(&error), Some(ProblemType::RendezvousCodeJoined));
    pair.assert_nothing_is_left();
}

#[tokio::test]
async fn a_code_that_nobody_waits_under_is_refused_by_the_server() {
    let pair = Pair::new().await;
    pair.screen.send_replace(Some("1-aardvark-breakaway".parse().unwrap()));
    let error = pair.run_existing(Fuse::none()).await.unwrap_err();
    assert_eq!(problem_type(&error), Some(ProblemType::RendezvousCodeUnknown));
    pair.assert_nothing_is_left();
}

#[tokio::test]
async fn a_device_that_nobody_joins_waits_until_the_time_is_up_and_no_longer() {
    let pair = Pair::new().await;
    let mut client = Client::open(pair.options(0)).unwrap();
    let (mut rendezvous, pairing) = created(&mut client).await;
    assert_eq!(rendezvous.expires_at(), crate::testing::NOW.saturating_add(Duration::from_secs(600)));
    let clock = &pair.devices[0].clock;
    let time = async {
        clock.advance(Duration::from_secs(599));
        pair.waiting.clock_moved();
        tokio::task::yield_now().await;
        assert_eq!(pair.fake.outcome(), None);
        clock.advance(Duration::from_secs(1));
        pair.waiting.clock_moved();
    };
    let (end, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(pair.converse(&mut rendezvous), time) })
        .await
        .expect("it waits for ever");
    assert_eq!(end.unwrap_err().to_string(), "the devices did not come together in time: begin again with a new code");
    pair.assert_nothing_is_left();

    pair.screen.send_replace(Some(pairing));
    // This relay went by the abort; another one would say that the code has expired.
    pair.fake.relay().mailboxes[0].outcome = None;
    let error = pair.run_existing(Fuse::none()).await.unwrap_err();
    assert_eq!(problem_type(&error), Some(ProblemType::RendezvousCodeExpired));
}

#[tokio::test]
async fn an_expired_rendezvous_of_an_earlier_process_has_ended() {
    let pair = Pair::new().await;
    let mut client = Client::open(pair.options(0)).unwrap();
    drop(created(&mut client).await);
    assert!(matches!(client.create_rendezvous().await.map_err(rendezvous_error), Err(RendezvousError::UnderWay)));
    pair.devices[0].clock.advance(Duration::from_secs(3600));
    let mut leftover = client.resume_rendezvous().unwrap().unwrap();
    assert!(leftover.is_ended());
    leftover.cancel().await.unwrap();
    assert!(client.resume_rendezvous().unwrap().is_none());
    created(&mut client).await;
}

#[tokio::test]
async fn a_device_that_gives_up_ends_it_for_the_other() {
    for is_secured in [false, true] {
        for side in [0, 1] {
            let pair = Pair::new().await;
            let mut clients = [0, 1].map(|side| Client::open(pair.options(side)).unwrap());
            let [new, existing] = &mut clients;
            let (mut new, pairing) = created(new).await;
            let mut existing = existing.join_rendezvous(&pairing).await.unwrap();
            if is_secured {
                let (new, existing) = tokio::join!(new.secured(|_| {}), existing.secured(|_| {}));
                assert!(new.is_ok() && existing.is_ok());
            }
            let (leaving, staying) = if side == 0 { (&mut new, &mut existing) } else { (&mut existing, &mut new) };
            let stays = async { staying.secured(|_| {}).await?.receive().await };
            let (left, stayed) = tokio::join!(leaving.cancel(), stays);
            left.unwrap();
            let wanted = if is_secured { EndReason::PeerCancelled } else { EndReason::ConnectionEnded };
            assert_eq!(rendezvous_error(stayed.unwrap_err()), RendezvousError::Ended(wanted));
            let again = leaving.secured(|_| {}).await.unwrap_err();
            assert_eq!(rendezvous_error(again), RendezvousError::Ended(EndReason::Cancelled));
            pair.assert_nothing_is_left();
        }
    }
}

#[tokio::test]
async fn what_the_relay_refuses_for_good_ends_it_with_its_reason() {
    for side in [0, 1] {
        let pair = Pair::new().await;
        let mishap = Mishap::Refuse(ProblemType::MessageNumberTaken);
        pair.fake.relay().planned = Some(Planned { side, frame: 1, mishap });
        let ends = pair.meet().await;
        let Some(EndReason::Refused(problem)) = reason(&ends[side]) else { panic!("{ends:?}") };
        assert_eq!(problem.detail, "refused by a test");
        assert_eq!(reason(&ends[1 - side]), Some(&EndReason::ConnectionEnded));
        pair.assert_nothing_is_left();
    }
}

#[tokio::test]
async fn a_relay_that_talks_nonsense_ends_it() {
    let failure = r#"{"message":"Internal server error","connectionId":"AAAA=","requestId":"BBBB"}"#;
    let stored = r#"{"type":"stored","number":7}"#;
    for (text, is_end) in [("nonsense", true), (stored, true), (failure, false), (r#"{"type":"new"}"#, false)] {
        let pair = Pair::new().await;
        let mut client = Client::open(pair.options(0)).unwrap();
        let (mut rendezvous, _) = created(&mut client).await;
        let waiting = async { rendezvous.secured(|_| {}).await.map(drop) };
        let talking = async { pair.fake.relay().say(0, text) };
        tokio::select! {
            biased;
            end = async { tokio::join!(waiting, talking).0 } => {
                assert!(is_end, "{text}");
                assert_eq!(rendezvous_error(end.unwrap_err()), RendezvousError::Ended(EndReason::RelayMisbehaved));
            }
            () = tokio::task::yield_now() => assert!(!is_end, "{text}"),
        }
    }
}

#[tokio::test]
async fn a_relay_elsewhere_without_tls_is_not_connected_to() {
    let pair = Pair::new().await;
    pair.fake.relay().url = "ws://relay.example.org/v1".to_owned();
    let error = pair.run_new(Fuse::none()).await.unwrap_err();
    assert_eq!(error.urn(), "urn:vestibule:client:server-answer-refused");
    assert_eq!(rendezvous_error(error), RendezvousError::RelayUrl(RelayUrlError));

    pair.fake.relay().url = "wss://relay.example.org/v1".to_owned();
    let mut client = Client::open(pair.options(0)).unwrap();
    let (_, pairing) = created(&mut client).await;
    pair.fake.relay().url = "ws://relay.example.org/v1".to_owned();
    pair.screen.send_replace(Some(pairing));
    let error = pair.run_existing(Fuse::none()).await.unwrap_err();
    assert_eq!(rendezvous_error(error), RendezvousError::RelayUrl(RelayUrlError));
    assert!(!pair.devices[1].home.path().join("rendezvous").exists());
}

#[tokio::test]
async fn a_relay_that_cannot_be_reached_is_tried_some_times_and_the_rendezvous_kept() {
    let pair = Pair::new().await;
    let mut client = Client::open(pair.options(0)).unwrap();
    let (mut rendezvous, _) = created(&mut client).await;
    pair.fake.relay().failing_connects = 5;
    let error = rendezvous.secured(|_| {}).await.unwrap_err();
    assert_eq!(error.to_string(), "no connection to wss://relay.example.org/v1: unplugged");
    assert_eq!(pair.waiting.waits().len(), 4);
    assert!(!rendezvous.is_ended());
    rendezvous.cancel().await.unwrap();
    assert_eq!(pair.fake.outcome(), Some(MailboxOutcome::Aborted));
}

#[tokio::test]
async fn a_relay_that_lets_nobody_in_ends_it() {
    let pair = Pair::new().await;
    pair.fake.relay().refusal = Some(403);
    let error = pair.run_new(Fuse::none()).await.unwrap_err();
    assert_eq!(rendezvous_error(error), RendezvousError::RelayRefused(403));
    pair.assert_nothing_is_left();
}

#[tokio::test]
async fn a_join_without_an_answer_is_repeated_with_the_same_ticket_and_stands_in_nobodys_way() {
    let pair = Pair::new().await;
    let mut client = Client::open(pair.options(0)).unwrap();
    let (_new, pairing) = created(&mut client).await;
    let killed = |points| Client::open(pair.options(1).fuse(Fuse::after(points))).unwrap();
    // Past the six points of writing the ticket down, to the request that the server has and this device not.
    let error = killed(6).join_rendezvous(&pairing).await.unwrap_err();
    assert!(error.is_stopped());
    let mut client = Client::open(pair.options(1)).unwrap();
    assert!(client.resume_rendezvous().unwrap().is_none());
    client.join_rendezvous(&pairing).await.unwrap().cancel().await.unwrap();
    let tickets: Vec<serde_json::Value> = {
        let relay = pair.fake.relay();
        let bodies = relay.requests.iter().filter(|request| request.path.ends_with("/join"));
        bodies
            .map(|request| serde_json::from_slice::<serde_json::Value>(&request.body).unwrap()["ticket"].clone())
            .collect()
    };
    assert!(tickets.len() == 2 && tickets[0] == tickets[1], "{}", tickets.len());

    drop(client);
    let another = "7-aardvark-breakaway".parse().unwrap();
    assert!(killed(5).join_rendezvous(&another).await.unwrap_err().is_stopped());
    created(&mut Client::open(pair.options(1)).unwrap()).await;
}

#[tokio::test]
async fn who_has_no_account_joins_nobody() {
    let pair = Pair::new().await;
    let pairing = "27182-aardvark-breakaway".parse().unwrap();
    let mut client = Client::open(pair.options(0)).unwrap();
    assert!(matches!(client.join_rendezvous(&pairing).await, Err(Error::NotRegistered)));
    assert!(pair.fake.relay().requests.is_empty());
}

//! Connections that break and processes that are killed, everywhere.

use super::*;

/// Of how many turns devices that have something to do make no more.
const IDLE_TURNS: usize = 1000;

/// Has both devices meet with a mishap at every frame in turn, until there are no more frames.
async fn mishaps_everywhere(mishap: Mishap) -> usize {
    let mut pair = Pair::new().await;
    let mut places = 0;
    for side in [0, 1] {
        for frame in 0.. {
            pair.fake.relay().planned = Some(Planned { side, frame, mishap });
            let ends = meet_while_time_passes(&pair).await;
            pair.assert_both_finished(&ends);
            if !pair.fake.relay().has_happened() {
                break;
            }
            places += 1;
            pair = pair.again();
        }
        pair = pair.again();
    }
    places
}

/// Has both devices meet, and whenever both have nothing to do for long, half a minute pass.
async fn meet_while_time_passes(pair: &Pair) -> [End; 2] {
    let mut meeting = std::pin::pin!(pair.meet());
    loop {
        for _ in 0..IDLE_TURNS {
            tokio::select! {
                biased;
                ends = &mut meeting => return ends,
                () = tokio::task::yield_now() => {}
            }
        }
        pair.devices[0].clock.advance(Duration::from_secs(30));
        pair.waiting.clock_moved();
    }
}

#[tokio::test]
async fn a_connection_that_breaks_before_any_frame_is_replaced() {
    assert!(mishaps_everywhere(Mishap::BreakBefore).await > 12);
}

#[tokio::test]
async fn a_connection_that_breaks_after_any_frame_is_replaced() {
    assert!(mishaps_everywhere(Mishap::BreakAfter).await > 12);
}

#[tokio::test]
async fn a_connection_that_breaks_in_place_of_any_frame_of_the_relay_is_replaced() {
    assert!(mishaps_everywhere(Mishap::BreakOnReceipt).await > 12);
}

#[tokio::test]
async fn a_relay_that_owes_an_answer_and_is_silent_is_connected_to_again() {
    assert!(mishaps_everywhere(Mishap::Lose).await > 12);
    assert!(mishaps_everywhere(Mishap::LoseAnswers).await > 12);
}

#[tokio::test]
async fn what_the_relay_does_not_take_for_now_is_sent_again() {
    assert!(mishaps_everywhere(Mishap::Refuse(ProblemType::RateLimited)).await > 12);
}

/// Kills one of the devices at every point in turn. Returns how many meetings ended well and how many did not.
async fn kill_everywhere(side: usize) -> (usize, usize) {
    let mut pair = Pair::new().await;
    let (mut finished, mut aborted) = (0, 0);
    for points in 0.. {
        let mut fuses = [Fuse::none(), Fuse::none()];
        fuses[side] = Fuse::after(points);
        let ends = pair.meet_with(fuses.clone()).await;
        pair.assert_nothing_is_left();
        let failures = ends.iter().filter(|end| matches!(end, End::Failed(_))).count();
        if failures == 0 {
            pair.assert_both_finished(&ends);
            finished += 1;
        } else {
            // Only a handshake is lost with the process, and then both devices are told.
            assert_eq!(failures, 2, "after {points} points: {ends:?}");
            assert_eq!(reason(&ends[side]), Some(&EndReason::StateLost), "after {points} points");
            assert_eq!(reason(&ends[1 - side]), Some(&EndReason::ConnectionEnded), "after {points} points");
            assert_eq!(pair.fake.outcome(), Some(MailboxOutcome::Aborted));
            aborted += 1;
        }
        // The mailbox itself refuses a second SPAKE2 message; under a code that was lost none was sent.
        let used = pair.fake.relay().mailboxes.iter().filter(|mailbox| mailbox.has_messages()).count();
        assert!(used <= 1, "after {points} points");
        if !fuses[side].is_burnt() {
            break;
        }
        pair = pair.again();
    }
    (finished, aborted)
}

#[tokio::test]
async fn a_new_device_that_is_killed_anywhere_resumes_or_ends_the_meeting() {
    let (finished, aborted) = kill_everywhere(0).await;
    assert!(finished > 30 && aborted > 5, "{finished} finished, {aborted} aborted");
}

#[tokio::test]
async fn an_existing_device_that_is_killed_anywhere_resumes_or_ends_the_meeting() {
    let (finished, aborted) = kill_everywhere(1).await;
    assert!(finished > 30 && aborted > 5, "{finished} finished, {aborted} aborted");
}

#[tokio::test]
async fn a_future_that_is_dropped_at_any_point_loses_nothing() {
    let pair = Pair::new().await;
    let mut clients = [0, 1].map(|side| Client::open(pair.options(side)).unwrap());
    let [new, existing] = &mut clients;
    let mut new = new.create_rendezvous().await.unwrap();
    let pairing = new.pairing().unwrap().clone();
    let mut existing = existing.join_rendezvous(&pairing).await.unwrap();
    // Each gets one poll at a time, in turn.
    let (mut is_new_secured, mut is_existing_secured) = (false, false);
    while !(is_new_secured && is_existing_secured) {
        tokio::select! {
            biased;
            secured = new.secured(|_| {}), if !is_new_secured => is_new_secured = secured.is_ok(),
            () = std::future::ready(()) => {}
        }
        tokio::select! {
            biased;
            secured = existing.secured(|_| {}), if !is_existing_secured => is_existing_secured = secured.is_ok(),
            () = std::future::ready(()) => {}
        }
    }
}

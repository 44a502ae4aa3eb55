//! A linking that is cut at every message and at every call of DynamoDB: after it was tried again, the device is linked on
//! both sides or on neither.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use vestibule_local::{Fault, Service, ServiceCall, Transfer};

use super::*;

/// The devices between which the linkings take place, side 0 and side 1.
const SIDES: [&str; 2] = ["laptop", "phone"];

/// How many clouds there are at a time.
const LANES: usize = 4;

/// How many linkings go on in one household, whose history every new device follows.
const LINKINGS: usize = 8;

impl Household {
    /// Links the laptop by the phone; one of them is killed when it is `cut`, and started again. What a new process shows is
    /// typed again.
    async fn link_with_cut(&self, side: usize, cut: &Notify) -> [Result<Linked, Error>; 2] {
        let (screen, over) = (watch::Sender::new(None), watch::Sender::new(false));
        let linking = async {
            let link = || async { self.client(SIDES[0]).link(SIDES[0], None, &mut Agreeable(Some(&screen))).await };
            let linked = killed_at(link, cut, side == 0).await;
            over.send_replace(true);
            linked
        };
        let approving = async {
            let (mut over, mut shown) = (over.subscribe(), screen.subscribe());
            shown.wait_for(Option::is_some).await.unwrap();
            loop {
                let pairing = shown.borrow_and_update().clone();
                let approve = || async { self.client(SIDES[1]).approve(pairing.as_ref(), &mut Agreeable(None)).await };
                let approved = killed_at(approve, cut, side == 1).await;
                if approved.is_ok() {
                    return approved;
                }
                tokio::select! {
                    biased;
                    changed = shown.changed() => changed.unwrap(),
                    _ = over.wait_for(|is_over| *is_over) => return approved,
                }
            }
        };
        let both = Box::pin(async { tokio::join!(linking, approving) });
        tokio::time::timeout(PATIENCE, both).await.expect("somebody waits for ever").into()
    }

    /// Asserts that the server and both devices agree on what came of a linking, and removes the laptop. Gives whether it was
    /// linked.
    async fn assert_both_or_neither(&self, ends: [Result<Linked, Error>; 2], what: &str) -> bool {
        let mut phone = self.client(SIDES[1]);
        phone.catch_up().await.unwrap();
        let devices = phone.devices().await.unwrap();
        let laptop = devices.iter().find(|device| !device.is_this);
        let [linked, approved] = ends;
        match laptop {
            Some(laptop) => {
                assert!(laptop.is_confirmed, "{what}");
                assert_eq!(linked.expect(what).client_id, laptop.client_id, "{what}");
                let is_known = approved.as_ref().is_ok_and(|approved| approved.client_id == laptop.client_id);
                // In a process that was killed when everything was over.
                let is_over = approved.is_err_and(|error| error.urn() == ProblemType::RendezvousCodeJoined.urn());
                assert!(is_known || is_over, "{what}");
                let seen = self.client(SIDES[0]).devices().await.unwrap();
                assert_eq!(seen.len(), 2, "{what}");
                phone.remove_device(&laptop.client_id.to_string(), password()).await.unwrap();
            }
            None => {
                assert!(linked.is_err() && approved.is_err(), "{what}: {linked:?} {approved:?}");
                assert!(matches!(self.client(SIDES[0]).status(), Err(Error::NotRegistered)), "{what}");
            }
        }
        let is_linked = devices.len() == 2;
        std::fs::remove_dir_all(self.home(SIDES[0])).unwrap();
        is_linked
    }
}

/// Runs a process, which is killed when it is `cut`, and then another one.
async fn killed_at<F: Future<Output = Result<Linked, Error>>>(
    process: impl Fn() -> F,
    cut: &Notify,
    is_concerned: bool,
) -> Result<Linked, Error> {
    let killed = async {
        if is_concerned {
            cut.notified().await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        () = killed => {}
        outcome = process() => return outcome,
    }
    process().await
}

/// What happens to a linking.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// The device of this side is killed at this message on the relay's connections.
    Message { number: usize, side: usize },
    /// This call of DynamoDB fails like this, with every attempt of the SDK's.
    Call { number: usize, fault: Fault },
}

/// How many times the SDK attempts a call.
const SDK_ATTEMPTS: usize = 3;

/// Links with this cut. Gives whether it linked, and whether there was anything to cut.
async fn link_cut(household: &Household, cut: Cut) -> (bool, bool) {
    let seen = Arc::new(AtomicUsize::new(0));
    let killing = Arc::new(Notify::new());
    let (side, last) = match cut {
        Cut::Message { number, side } => {
            let (seen, killing) = (Arc::clone(&seen), Arc::clone(&killing));
            household.cloud.cloud.disturb(move |_: &Transfer| {
                if seen.fetch_add(1, Ordering::SeqCst) == number {
                    killing.notify_one();
                }
                None
            });
            (side, number)
        }
        Cut::Call { number, fault } => {
            let seen = Arc::clone(&seen);
            household.cloud.cloud.inject(move |call: &ServiceCall| {
                if call.service != Service::DynamoDb {
                    return None;
                }
                let is_hit = (number..number + SDK_ATTEMPTS).contains(&seen.fetch_add(1, Ordering::SeqCst));
                is_hit.then_some(fault)
            });
            (0, number)
        }
    };
    let ends = household.link_with_cut(side, &killing).await;
    household.cloud.cloud.clear_faults();
    household.cloud.cloud.disturb(|_: &Transfer| None);
    let is_linked = household.assert_both_or_neither(ends, &format!("{cut:?}")).await;
    (is_linked, seen.load(Ordering::SeqCst) > last)
}

/// Has a linking cut at every place, in turn, until there are no more. Gives how many linked, and how many did not.
async fn cut_everywhere(cut_at: fn(usize) -> Cut) -> (usize, usize) {
    let mut lanes = tokio::task::JoinSet::new();
    for lane in 0..LANES {
        lanes.spawn(async move {
            let cloud = Arc::new(TestCloud::start().await);
            let mut household = Household::new(&cloud, "alice@localhost").await;
            let (mut linked, mut not_linked) = (0, 0);
            for number in (lane..).step_by(LANES) {
                let (is_linked, was_cut) = Box::pin(link_cut(&household, cut_at(number))).await;
                if !was_cut {
                    break;
                }
                (linked, not_linked) = (linked + usize::from(is_linked), not_linked + usize::from(!is_linked));
                if (linked + not_linked) % LINKINGS == 0 {
                    household = Household::new(&cloud, &format!("alice{number}@localhost")).await;
                }
            }
            (linked, not_linked)
        });
    }
    let all = lanes.join_all().await;
    (all.iter().map(|(linked, _)| linked).sum(), all.iter().map(|(_, not_linked)| not_linked).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linking_that_is_cut_at_any_message_links_both_devices_or_neither() {
    let (linked, not_linked) = cut_everywhere(|number| Cut::Message { number, side: number % 2 }).await;
    assert!(linked > 30, "{linked} linked, {not_linked} not");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_linking_in_which_any_call_of_dynamodb_fails_links_both_devices_or_neither() {
    let faults = |number| {
        let fault = [Fault::BeforeEffect, Fault::AfterEffect, Fault::TransactionConflict][number % 3];
        Cut::Call { number, fault }
    };
    let (linked, not_linked) = cut_everywhere(faults).await;
    assert!(linked > 30, "{linked} linked, {not_linked} not");
}

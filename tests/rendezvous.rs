//! The rendezvous service: codes, tickets, and the relay.

mod codes;
mod connections;
mod ends;
mod joins;
mod messages;
mod secrecy;
mod sessions;

use vestibule_tests::rendezvous::Seat;
use vestibule_tests::{Applicant, TestCloud};

/// A cloud in which alice has joined the code of a new device. Neither device is connected.
async fn cloud_with_pair() -> (TestCloud, [Seat; 2]) {
    let cloud = TestCloud::start().await;
    let alice = Applicant::enrolled(&cloud, "alice@localhost", 1).await;
    let pair = cloud.pair(&alice, 1).await;
    (cloud, pair)
}

//! The scenarios of the rendezvous service, whose relay is a WebSocket API.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Mutex;
use vestibule_protocol::endpoint::{CreateRendezvous, Endpoint as _, JoinRendezvous, JoinRendezvousResponse};
use vestibule_protocol::problem::PROBLEM_MEDIA_TYPE;
use vestibule_protocol::rendezvous::frame::{DeviceFrame, RelayFrame};
use vestibule_tests::rendezvous::{Link, Seat, creating_call, message, ticket};
use vestibule_tests::{Answer, Applicant, TestCloud};

use super::{Prepared, Scenario};

/// Those of the HTTP API.
pub(super) const CODES: &[Scenario] = &[
    Scenario {
        function: CreateRendezvous::DESCRIPTION.function,
        prepare: |_| {
            Box::pin(async {
                Prepared {
                    // Another attempt draws another code.
                    stable: |answer| answer.status.into(),
                    settled: |item| is_of_rendezvous(&item).then(|| item["sk"].clone()),
                    ..Prepared::new(|_| creating_call(&ticket(1)))
                }
            })
        },
        budget: 1,
        rate_limits: 1,
        posts: 0,
    },
    Scenario {
        function: JoinRendezvous::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let alice = Applicant::enrolled(cloud, "alice@localhost", 1).await;
                let code = cloud.new_device(1).await.code;
                Prepared {
                    // Each cloud has its relay elsewhere.
                    stable: |answer| answer.success::<JoinRendezvousResponse>().mailbox_id.to_string().into(),
                    ..Prepared::new(move |cloud| alice.joining_call(cloud, code, &ticket(2)))
                }
            })
        },
        // One read of the client, one of the code, one transaction.
        budget: 3,
        rate_limits: 1,
        posts: 0,
    },
];

/// Those of the WebSocket API.
pub(super) const RELAY: &[Scenario] = &[
    Scenario {
        function: "rs-connect",
        prepare: |cloud| {
            Box::pin(async {
                let [seat, _] = pair(cloud).await;
                let links = Arc::new(Mutex::new(Vec::new()));
                let prepared = Prepared::performing(move |cloud| {
                    let (seat, links) = (seat.clone(), Arc::clone(&links));
                    Box::pin(async move {
                        let connected = seat.try_connect(cloud).await;
                        let status = connected.as_ref().map_or_else(|status| *status, |_| 200);
                        links.lock().await.extend(connected.ok());
                        answer(status)
                    })
                });
                Prepared { settled: without_connections, ..prepared }
            })
        },
        // One read, two writes.
        budget: 3,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: "rs-relay",
        prepare: |cloud| Box::pin(frame_of_pair(cloud, message(1, b"one"))),
        // One read, two writes: one post to the other device, one to this.
        budget: 3,
        rate_limits: 0,
        posts: 2,
    },
    Scenario {
        function: "rs-relay",
        prepare: |cloud| Box::pin(frame_of_pair(cloud, DeviceFrame::Resume { received: 0 })),
        // One read, one query: the answer, the message that waits, and a word to the other device.
        budget: 2,
        rate_limits: 0,
        posts: 3,
    },
    Scenario {
        function: "rs-relay",
        prepare: |cloud| Box::pin(frame_of_pair(cloud, DeviceFrame::Acknowledge { received: 1 })),
        budget: 2,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: "rs-relay",
        prepare: |cloud| Box::pin(frame_of_pair(cloud, DeviceFrame::Finish {})),
        budget: 2,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: "rs-relay",
        prepare: |cloud| {
            Box::pin(async {
                let prepared = frame_of_pair(cloud, DeviceFrame::Abort {}).await;
                // What a failure leaves of a mailbox that has ended expires, or the next frame finds it.
                Prepared { settled: outcome_alone, ..prepared }
            })
        },
        // One read, one write that ends it, a batch of messages, one write that clears it up.
        budget: 4,
        rate_limits: 0,
        posts: 2,
    },
    Scenario {
        function: "rs-relay",
        prepare: |cloud| {
            Box::pin(async {
                let [new, _] = pair(cloud).await;
                let mut former = new.resume(cloud, 0).await.0;
                let connection = new.connection(cloud, "new").await;
                let link = new.resume(cloud, 0).await.0;
                former.closed().await;
                let frame = new.frame(message(0, b"zero"));
                relaying(connection, frame, vec![former, link])
            })
        },
        // Over a connection that was replaced: as any other message, and once it cannot be answered a write for nothing.
        budget: 4,
        rate_limits: 0,
        posts: 1,
    },
    Scenario {
        function: "rs-disconnect",
        prepare: |cloud| {
            Box::pin(async {
                let (seats, links) = connected_pair(cloud).await;
                let connection = seats[0].connection(cloud, "new").await;
                let links = Arc::new(links);
                let prepared = Prepared::performing(move |cloud| {
                    let (connection, links) = (connection.clone(), Arc::clone(&links));
                    Box::pin(async move {
                        let status = cloud.disconnected(&connection).await;
                        drop(links);
                        answer(status)
                    })
                });
                Prepared { settled: without_connections, ..prepared }
            })
        },
        // One read, two writes.
        budget: 3,
        rate_limits: 0,
        posts: 1,
    },
];

async fn pair(cloud: &TestCloud) -> [Seat; 2] {
    let alice = Applicant::enrolled(cloud, "alice@localhost", 1).await;
    cloud.pair(&alice, 1).await
}

/// A pair whose devices are connected and have stored a message each.
async fn connected_pair(cloud: &TestCloud) -> ([Seat; 2], Vec<Link>) {
    let seats = pair(cloud).await;
    let mut links = Vec::new();
    for seat in &seats {
        let mut link = seat.connect(cloud).await;
        while link.ask(message(0, b"zero")).await != (RelayFrame::Stored { number: 0 }) {}
        links.push(link);
    }
    (seats, links)
}

/// The new device of such a pair sends this frame.
async fn frame_of_pair(cloud: &TestCloud, frame: DeviceFrame) -> Prepared {
    let (seats, links) = connected_pair(cloud).await;
    let connection = seats[0].connection(cloud, "new").await;
    relaying(connection, seats[0].frame(frame), links)
}

/// The relay handles a frame that came over this connection. What it refuses, it says over the first of the links.
fn relaying(connection: String, frame: String, links: Vec<Link>) -> Prepared {
    let links = Arc::new(Mutex::new(links));
    let prepared = Prepared::performing(move |cloud| {
        let (connection, frame, links) = (connection.clone(), frame.clone(), Arc::clone(&links));
        Box::pin(async move {
            let status = cloud.relay(&connection, &frame).await;
            // A connection that was replaced cannot be told.
            if status < 300 || links.lock().await[0].is_closed() {
                return answer(status);
            }
            loop {
                if let RelayFrame::Refused { problem, .. } = links.lock().await[0].frame().await {
                    assert_eq!(problem.status, status);
                    let body = serde_json::to_vec(&problem).expect("a problem");
                    let fields = [("content-type", PROBLEM_MEDIA_TYPE), ("retry-after", "1")];
                    let headers = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
                    let headers =
                        if status == 503 { BTreeMap::from(headers) } else { headers.into_iter().take(1).collect() };
                    return Answer { status, headers, body };
                }
            }
        })
    });
    Prepared { settled: without_connections, ..prepared }
}

fn answer(status: u16) -> Answer {
    Answer { status, headers: BTreeMap::new(), body: Vec::new() }
}

fn is_of_rendezvous(item: &Value) -> bool {
    ["CODE", "TICKET", "MAILBOX"].iter().any(|sort_key| item["sk"]["S"] == *sort_key)
}

/// An item without the connections, which are others every time.
fn without_connections(mut item: Value) -> Option<Value> {
    if item["sk"]["S"] == "CONNECTION" {
        return None;
    }
    for (name, value) in item.as_object_mut()? {
        if name.ends_with("_connection") {
            *value = "connected".into();
        }
    }
    Some(item)
}

/// What says how a mailbox has ended.
fn outcome_alone(item: Value) -> Option<Value> {
    match item["sk"]["S"].as_str()? {
        "MAILBOX" => Some(item["outcome"].clone()),
        sort_key if sort_key.starts_with("MESSAGE#") => None,
        _ => without_connections(item),
    }
}

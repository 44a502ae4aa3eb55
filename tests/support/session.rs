//! A real session over the relay, driven to its end through whatever happens on the way.

use std::time::Duration;

use vestibule_protocol::rendezvous::{EndReason, Event, Session};

use crate::TestCloud;
use crate::rendezvous::{Link, Seat, Seen};

/// What a device has got when its session is over.
#[derive(Debug, PartialEq, Eq)]
pub struct Ended {
    /// The other device's messages.
    pub received: Vec<Vec<u8>>,
    /// Why it ended, unless it finished.
    pub reason: Option<EndReason>,
}

/// Runs a session that says these lines and hears the other device's. If it hears nothing for so long, it connects again,
/// as a client does after much longer.
pub async fn run(cloud: &TestCloud, seat: &Seat, mut session: Session, lines: &[Vec<u8>], patience: Duration) -> Ended {
    let mut received = Vec::new();
    loop {
        let mut link = match seat.try_connect(cloud).await {
            Ok(link) => link,
            // The server has a fault that passes.
            Err(500..) => continue,
            Err(status) => panic!("the ticket is refused: {status}"),
        };
        session.connected();
        let over = use_link(&mut link, &mut session, lines, &mut received, patience).await;
        if let Some(reason) = over {
            return Ended { received, reason };
        }
        session.disconnected();
    }
}

/// Uses a connection until it ends or is quiet. Gives the end of the session, if it comes to that.
async fn use_link(
    link: &mut Link,
    session: &mut Session,
    lines: &[Vec<u8>],
    received: &mut Vec<Vec<u8>>,
    patience: Duration,
) -> Option<Option<EndReason>> {
    let mut over = None;
    loop {
        session.save(|_| Ok::<_, ()>(())).expect("nothing is written");
        for frame in session.frames() {
            link.send_text(&frame.to_json()).await;
        }
        if over.is_some() {
            return over;
        }
        let Ok(Seen::Text(text)) = tokio::time::timeout(patience, link.next()).await else { return None };
        for event in session.receive_text(&text) {
            match event {
                Event::Secured => {
                    let mut secured = session.secured().expect("it is secured");
                    for line in lines {
                        secured.send(line).expect("there is room");
                    }
                    secured.close().expect("there is room");
                }
                Event::Message(message) => received.push(message.as_bytes().to_vec()),
                Event::Finished => over = Some(None),
                Event::Ended(reason) => over = Some(Some(reason)),
                Event::PeerArrived | Event::PeerLeft | Event::PeerClosed | Event::TryLater(_) => {}
            }
        }
    }
}

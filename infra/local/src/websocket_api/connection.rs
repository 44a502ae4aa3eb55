//! A connection, as functions and API Gateway's management know it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::header;
use http::request::Parts;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use vestibule_protocol::time::Timestamp;

use super::disturbance::{Transfer, TransferKind};
use super::registry::Refusal;
use crate::api_gateway::{header_text, random_id};
use crate::lambda::Lambda;
use crate::template::RouteKey;

/// How many messages wait for a client that does not read. AWS documents that there is such a buffer, not its size.
const BUFFERED_MESSAGES: usize = 256;

/// A connection from the moment a client asks for it.
pub(crate) struct Connection {
    pub(super) id: String,
    pub(super) api_id: String,
    pub(super) source_ip: String,
    pub(super) user_agent: String,
    pub(super) connected_at: Timestamp,
    outgoing: mpsc::Sender<String>,
    is_closing: watch::Sender<bool>,
    activity: Mutex<Activity>,
    events: AtomicU64,
    posts: AtomicU64,
    held_events: Mutex<Vec<(Arc<Lambda>, Value)>>,
    held_posts: Mutex<Vec<String>>,
}

/// When a message last went over a connection: by the clock that measures, and by the clock that functions see.
#[derive(Clone, Copy)]
pub(super) struct Activity {
    pub(super) instant: Instant,
    pub(super) time: Timestamp,
}

impl Connection {
    pub(super) fn new(api_id: &str, parts: &Parts, peer: SocketAddr, now: Timestamp) -> (Self, mpsc::Receiver<String>) {
        let (outgoing, queue) = mpsc::channel(BUFFERED_MESSAGES);
        let connection = Self {
            id: random_id(),
            api_id: api_id.to_owned(),
            source_ip: peer.ip().to_string(),
            user_agent: header_text(&parts.headers, header::USER_AGENT),
            connected_at: now,
            outgoing,
            is_closing: watch::Sender::new(false),
            activity: Mutex::new(Activity { instant: Instant::now(), time: now }),
            events: AtomicU64::new(0),
            posts: AtomicU64::new(0),
            held_events: Mutex::default(),
            held_posts: Mutex::default(),
        };
        (connection, queue)
    }

    /// Notes that a message went over the connection.
    pub(super) fn touch(&self, time: Timestamp) {
        *lock(&self.activity) = Activity { instant: Instant::now(), time };
    }

    pub(super) fn last_activity(&self) -> Activity {
        *lock(&self.activity)
    }

    /// Sends a message to the client, and after it those that were held back until now.
    pub(super) fn send(&self, text: String) -> Result<(), Refusal> {
        // Held while sending, so that nothing comes in between.
        let mut held = lock(&self.held_posts);
        self.enqueue(text)?;
        for held in held.drain(..) {
            // Whoever posted it was told long ago that it was taken.
            let _ = self.enqueue(held);
        }
        Ok(())
    }

    /// Ends the connection after what was sent before, if the client reads that. This needs no room among the messages, so
    /// that a client that does not read cannot stay.
    pub(super) fn close(&self) {
        self.is_closing.send_replace(true);
    }

    /// Comes back when the connection is to be closed.
    pub(super) async fn closing(&self) {
        // The sender is here, so this cannot fail.
        let _ = self.is_closing.subscribe().wait_for(|is_closing| *is_closing).await;
    }

    /// Sends a message of API Gateway's own, which is about a message of the client.
    pub(super) fn tell(&self, message: &str, request_id: &str) {
        let text = json!({"message": message, "connectionId": self.id, "requestId": request_id});
        if self.enqueue(text.to_string()).is_err() {
            tracing::debug!("the client cannot be told: {message}");
        }
    }

    pub(super) fn hold_post(&self, text: String) {
        lock(&self.held_posts).push(text);
    }

    pub(super) fn hold_event(&self, lambda: Arc<Lambda>, event: Value) {
        lock(&self.held_events).push((lambda, event));
    }

    pub(super) fn take_held_events(&self) -> Vec<(Arc<Lambda>, Value)> {
        std::mem::take(&mut lock(&self.held_events))
    }

    pub(super) fn next_event(&self, route: RouteKey, body: &str) -> Transfer {
        self.transfer(TransferKind::Event(route), &self.events, body)
    }

    pub(super) fn next_post(&self, body: &str) -> Transfer {
        self.transfer(TransferKind::Post, &self.posts, body)
    }

    fn transfer(&self, kind: TransferKind, counter: &AtomicU64, body: &str) -> Transfer {
        let number = counter.fetch_add(1, Ordering::Relaxed);
        Transfer { connection_id: self.id.clone(), kind, number, body: body.to_owned() }
    }

    fn enqueue(&self, text: String) -> Result<(), Refusal> {
        self.outgoing.try_send(text).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::BufferFull,
            mpsc::error::TrySendError::Closed(_) => Refusal::Gone,
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

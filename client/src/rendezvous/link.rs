//! The connection to the relay, and those that take its place.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use vestibule_protocol::rendezvous::Session;
use vestibule_protocol::rendezvous::frame::RelayFrame;
use vestibule_protocol::time::Timestamp;
use zeroize::Zeroizing;

use super::RendezvousError;
use crate::api::{ApiError, Connection};
use crate::error::Error;
use crate::relay::{RelayConnection, RelayError, RelayTransport, RelayUrl, WebSocketOffer};
use crate::text::one_line;

/// How long the relay may say nothing while it owes an answer. Longer than a Lambda function may take; then what was sent,
/// or the answer, is lost, although the connection stands.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);

/// What came of an exchange with the relay.
pub(super) enum Received {
    /// A frame.
    Frame(String),
    /// Nothing: the connection is gone, or the time is up.
    Nothing,
    /// The relay does not let this device in any more, with this HTTP status.
    Refusal(u16),
}

/// A connection to the relay, as long as there is one.
pub(super) struct Link {
    transport: Arc<dyn RelayTransport>,
    relay_url: RelayUrl,
    surroundings: Connection,
    connection: Option<Box<dyn RelayConnection>>,
    /// Frames that are to be sent on this connection. They stay until they are known to be gone, so that a future which is
    /// dropped loses none; one that is sent twice has no second effect.
    outbox: VecDeque<Zeroizing<String>>,
    /// Since when the relay owes an answer and has said nothing, if it does.
    silent_since: Option<Timestamp>,
    /// How often in a row there was no connection, or one on which nothing came.
    failures: u32,
    /// Whether this process ever heard anything of the relay.
    was_up: bool,
}

impl Link {
    pub(super) fn new(transport: Arc<dyn RelayTransport>, relay_url: RelayUrl, surroundings: Connection) -> Self {
        Self {
            transport,
            relay_url,
            surroundings,
            connection: None,
            outbox: VecDeque::new(),
            silent_since: None,
            failures: 0,
            was_up: false,
        }
    }

    pub(super) fn relay_url(&self) -> &RelayUrl {
        &self.relay_url
    }

    pub(super) fn is_up(&self) -> bool {
        self.connection.is_some()
    }

    /// Connects if there is no connection, sends what the session has to say, and waits for a frame; at most until the
    /// session's time is up. After a failure it has waited as long as the next attempt should.
    ///
    /// # Errors
    /// [`RendezvousError::RelayUnreachable`] if there never was a connection in all the attempts of the retry policy. One
    /// that was there once is sought until the time is up.
    pub(super) async fn exchange(&mut self, session: &mut Session) -> Result<Received, Error> {
        if self.connection.is_none() {
            self.reach("before connecting")?;
            let connecting = self.transport.connect(&self.relay_url, &WebSocketOffer::relay(session.ticket())).await;
            self.reach("after connecting")?;
            match connecting {
                Ok(connection) => self.connection = Some(connection),
                Err(RelayError::Refused(status)) if !RelayError::Refused(status).may_pass() => {
                    return Ok(Received::Refusal(status));
                }
                Err(error) => return self.lost(session, &error).await,
            }
            session.connected();
        }
        if let Some(lost) = self.flush(session).await? {
            return Ok(lost);
        }
        let patience = self.patience(session);
        let Connection { waiting, clock, .. } = &self.surroundings;
        let connection = self.connection.as_mut().expect("it was made above");
        let received = tokio::select! {
            biased;
            received = connection.receive() => received,
            () = waiting.until(patience.min(session.expires_at()), clock) => {
                if clock.now() >= session.expires_at() {
                    return Ok(Received::Nothing);
                }
                return self.lost(session, &RelayError::Broken("the relay does not answer".to_owned())).await;
            }
        };
        self.silent_since = None;
        match received {
            Ok(Some(text)) => {
                self.reach("after a frame was received")?;
                self.was_up = true;
                if RelayFrame::is_gateway_failure(&text) {
                    // Whatever was not handled is sent again on the next connection.
                    let reason = "the relay could not handle a frame".to_owned();
                    return self.lost(session, &RelayError::Broken(reason)).await;
                }
                self.failures = 0;
                Ok(Received::Frame(text))
            }
            Ok(None) => self.lost(session, &RelayError::Broken("the relay has closed the connection".to_owned())).await,
            Err(error) => self.lost(session, &error).await,
        }
    }

    /// Until when the relay may say nothing: without end if it owes no answer.
    fn patience(&mut self, session: &Session) -> Timestamp {
        if !session.awaits_answer() {
            self.silent_since = None;
            return Timestamp::from_seconds(u64::MAX);
        }
        let now = self.surroundings.clock.now();
        self.silent_since.get_or_insert(now).saturating_add(LONGEST_SILENCE)
    }

    /// Sends what the session has to say, if there is a connection. Gives what came of it if that is lost.
    ///
    /// # Errors
    /// As [`exchange`](Self::exchange).
    pub(super) async fn flush(&mut self, session: &mut Session) -> Result<Option<Received>, Error> {
        let Some(connection) = &mut self.connection else { return Ok(None) };
        self.outbox.extend(session.frames().iter().map(|frame| frame.to_json()));
        while let Some(frame) = self.outbox.front() {
            let fuse = &self.surroundings.fuse;
            fuse.reach("before a frame is sent").map_err(ApiError::from)?;
            let sent = connection.send(frame).await;
            fuse.reach("after a frame was sent").map_err(ApiError::from)?;
            if let Err(error) = sent {
                return self.lost(session, &error).await.map(Some);
            }
            self.outbox.pop_front();
        }
        Ok(None)
    }

    async fn lost(&mut self, session: &mut Session, error: &RelayError) -> Result<Received, Error> {
        self.connection = None;
        self.outbox.clear();
        self.silent_since = None;
        session.disconnected();
        self.failures += 1;
        let Connection { retry_policy, waiting, randomness, .. } = &self.surroundings;
        if !self.was_up && self.failures >= retry_policy.attempts {
            self.failures = 0;
            let (relay, reason) = (self.relay_url.to_string(), one_line(&error.to_string()));
            return Err(RendezvousError::RelayUnreachable { relay, reason }.into());
        }
        waiting.wait(retry_policy.wait_without_end(self.failures, &mut randomness.clone())).await;
        Ok(Received::Nothing)
    }

    /// Closes the connection, if there is one.
    pub(super) async fn close(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            // Whoever does not close properly is gone all the same.
            let _ = connection.close().await;
        }
    }

    fn reach(&self, point: &'static str) -> Result<(), ApiError> {
        Ok(self.surroundings.fuse.reach(point)?)
    }
}

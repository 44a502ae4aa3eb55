//! Listening: waiting until there may be something in the client's queue (`docs/protocol.md`, section 26).
//!
//! The service says over a WebSocket that there is something, and no more. It says so at best: what was put into the queue
//! while there was no connection, nobody is told later, and a notice can get lost. So it is time to fetch after every
//! connection that was made, at every notice, and when there was none for long.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use vestibule_protocol::encoding::SecretBytes as _;
use vestibule_protocol::endpoint::GetQsKeys;
use vestibule_protocol::keys::{QsClientRecordKey, SigningKey};
use vestibule_protocol::name::Domain;
use vestibule_protocol::queuing::{ListenNotice, ListenRequest, QsClientId};
use vestibule_protocol::time::Timestamp;

use super::OwnClient;
use crate::api::{Api, ApiError, Connection};
use crate::error::Error;
use crate::relay::{RelayConnection, RelayError, RelayTransport, RelayUrl, WebSocketOffer};
use crate::session::Session;
use crate::text::one_line;

/// After how long without a notice it is time to fetch all the same. API Gateway ends a connection over which nothing goes
/// after as long, so this is seldom a request more.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(10 * 60);

/// How long a connection must have lasted for its end to be the first failure, and not one more in a row.
pub(super) const LASTING: Duration = Duration::from_secs(60);

/// How many notices that wait already are taken for one. More come, if at all, from a service that wants to be a nuisance.
const MOST_NOTICES_AT_ONCE: usize = 1000;

/// Why nobody can be told of new messages.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ListeningError {
    /// The server says to listen where no device connects: not at a `wss` URL, nor at a `ws` URL of this computer.
    #[error("the server says to listen at a place that is neither wss:// nor on this computer")]
    Url,
    /// No connection came about, in all the attempts of the retry policy.
    #[error("no connection to {server}, where new messages are announced: {reason}")]
    Unreachable {
        /// Where.
        server: String,
        /// What went wrong.
        reason: String,
    },
    /// The queuing service does not let this device listen, with this HTTP status, though it may fetch its messages.
    #[error("the queuing service does not let this device listen for messages (status {0})")]
    Refused(u16),
}

/// Waits for messages. Dropped, it does not listen any more.
pub(crate) struct Listener {
    queuing_service: Api,
    transport: Arc<dyn RelayTransport>,
    surroundings: Connection,
    domain: Domain,
    qs_client_id: QsClientId,
    key: SigningKey<QsClientRecordKey>,
    /// Where to listen, as the service said. Asked for again after a failure: it may be elsewhere by then.
    url: Option<RelayUrl>,
    /// The connection, and since when there is one.
    connection: Option<(Box<dyn RelayConnection>, Timestamp)>,
    /// When it was last said that it is time to fetch.
    last_notice: Timestamp,
    /// How often in a row there was no connection, or none that lasted.
    failures: u32,
    /// Whether there ever was a connection.
    was_up: bool,
    /// Whether the last attempt to connect was refused.
    was_refused: bool,
}

impl Listener {
    /// Gets ready to listen for the session's client. Nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::RegistrationUnderWay`], [`Error::NotAtQueuingService`] if the client has no queue.
    pub(crate) fn new(session: &Session<'_>) -> Result<Self, Error> {
        let client = OwnClient::of(session.account())?;
        let key = client.pseudonym.client_record_key.to_secret_bytes();
        Ok(Self {
            queuing_service: session.queuing_service.clone(),
            transport: Arc::clone(&session.relay_transport),
            surroundings: session.connection.clone(),
            domain: client.account.user_name.domain().clone(),
            qs_client_id: client.qs_client_id,
            key: SigningKey::from_secret_bytes(&key).expect("it is a key"),
            url: None,
            connection: None,
            last_notice: session.now(),
            failures: 0,
            was_up: false,
            was_refused: false,
        })
    }

    /// Comes back when it is time to fetch: at once when a connection was made, at the first also; at every notice; and at
    /// the latest after [`LONGEST_WAIT`]. Whoever fetches until nothing is left, and only then calls this again, misses
    /// nothing. If the future is dropped, nothing is lost: the next call goes on.
    ///
    /// A connection that breaks is made again, with the waits of the retry policy, without end if there ever was one. A
    /// refusal does not say why, so the first is a reason to fetch: that does.
    ///
    /// # Errors
    /// [`Error::Listening`], [`Error::Api`].
    pub(crate) async fn notice(&mut self) -> Result<(), Error> {
        loop {
            let is_time = match self.connection {
                Some(_) => self.wait().await?,
                None => self.connect().await?,
            };
            if is_time || self.now() >= self.last_notice.saturating_add(LONGEST_WAIT) {
                self.last_notice = self.now();
                return Ok(());
            }
        }
    }

    /// Tries to connect. Whether it is time to fetch.
    async fn connect(&mut self) -> Result<bool, Error> {
        let url = match self.find().await {
            Ok(url) => url,
            Err(Error::Api(error)) if self.was_up && error.may_pass() => {
                self.pause().await;
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let request = ListenRequest::issue(self.domain.clone(), self.qs_client_id, self.now(), &self.key);
        self.reach("before listening")?;
        let connecting = self.transport.connect(&url, &WebSocketOffer::listening(&request)).await;
        self.reach("after the attempt to listen")?;
        match connecting {
            Ok(connection) => {
                self.connection = Some((connection, self.now()));
                (self.url, self.was_up, self.was_refused) = (Some(url), true, false);
                Ok(true)
            }
            Err(RelayError::Refused(status)) if !RelayError::Refused(status).may_pass() => {
                if std::mem::replace(&mut self.was_refused, true) {
                    return Err(ListeningError::Refused(status).into());
                }
                Ok(true)
            }
            Err(error) => {
                self.lost();
                if !self.was_up && self.failures >= self.surroundings.retry_policy.attempts {
                    self.failures = 0;
                    let (server, reason) = (url.to_string(), one_line(&error.to_string()));
                    return Err(ListeningError::Unreachable { server, reason }.into());
                }
                self.pause().await;
                Ok(false)
            }
        }
    }

    /// Where to listen. The service is asked without a signature, as by anybody.
    async fn find(&mut self) -> Result<RelayUrl, Error> {
        // Until a connection at this place stands, it is as good as unknown.
        if let Some(url) = self.url.take() {
            return Ok(url);
        }
        let answer = self.queuing_service.call::<GetQsKeys>(&(), &[]).await?;
        answer.listen_url.parse().map_err(|_| ListeningError::Url.into())
    }

    /// Waits for a notice, or the end of the connection. Whether it is time to fetch.
    async fn wait(&mut self) -> Result<bool, Error> {
        let Connection { waiting, clock, .. } = &self.surroundings;
        let (connection, _) = self.connection.as_mut().expect("this is done with a connection alone");
        let received = tokio::select! {
            biased;
            received = connection.receive() => received,
            () = waiting.until(self.last_notice.saturating_add(LONGEST_WAIT), clock) => return Ok(true),
        };
        let Ok(Some(text)) = received else {
            self.lost();
            self.pause().await;
            return Ok(false);
        };
        self.reach("after a notice")?;
        if ListenNotice::from_json(&text) != (ListenNotice::Messages {}) {
            return Ok(false);
        }
        self.failures = 0;
        self.pass_over();
        Ok(true)
    }

    /// Takes what waits already: it is fetched together.
    fn pass_over(&mut self) {
        let Some((connection, _)) = &mut self.connection else { return };
        for _ in 0..MOST_NOTICES_AT_ONCE {
            match connection.receive().now_or_never() {
                Some(Ok(Some(_))) => {}
                Some(_) => return self.lost(),
                None => return,
            }
        }
    }

    fn lost(&mut self) {
        if let Some((_, since)) = self.connection.take()
            && self.now().saturating_since(since) >= LASTING
        {
            self.failures = 0;
        }
        self.failures += 1;
    }

    /// Waits as long as there should be between this attempt and the next.
    async fn pause(&mut self) {
        let Connection { retry_policy, waiting, randomness, .. } = &self.surroundings;
        waiting.wait(retry_policy.wait_without_end(self.failures, &mut randomness.clone())).await;
    }

    fn now(&self) -> Timestamp {
        self.surroundings.clock.now()
    }

    fn reach(&self, point: &'static str) -> Result<(), ApiError> {
        Ok(self.surroundings.fuse.reach(point)?)
    }
}

//! `$connect` of the queuing service: lets a client wait for messages that shows that it is one, with the key of its record.
#![deny(missing_docs)]

use vestibule_backend::queues::{Listeners, QueueName, Queues};
use vestibule_backend::websocket::{Accepted, Connect, Connections, WebSocketFunction};
use vestibule_backend::{Clock, Environment, StartError};
use vestibule_protocol::name::Domain;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::queuing::{LISTEN_SUBPROTOCOL, ListenRequest, ListenRequestError};

/// The function.
pub struct QsListen {
    domain: Domain,
    clock: Clock,
    queues: Queues,
    listeners: Listeners,
    connections: Connections,
}

impl WebSocketFunction for QsListen {
    const NAME: &'static str = "qs-listen";
    type Event = Connect;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            domain: environment.domain()?,
            clock: environment.clock().clone(),
            queues: Queues::new(environment, "QS_QUEUE_TABLE")?,
            listeners: Listeners::new(environment)?,
            connections: Connections::new(environment, "QS_CONNECTIONS_URL")?,
        })
    }

    async fn handle(&self, connect: Connect) -> Result<Accepted, Problem> {
        let now = self.clock.now();
        let subprotocols = connect.subprotocols().collect::<Vec<_>>().join(",");
        let request = ListenRequest::from_subprotocols(&subprotocols).ok_or_else(|| {
            let detail =
                format!("Sec-WebSocket-Protocol must ask for {LISTEN_SUBPROTOCOL} and bring a request to listen");
            Problem::new(ProblemType::SignatureMalformed, detail)
        })?;
        request.claim().check(&self.domain, now).map_err(refused)?;
        let qs_client_id = request.claim().qs_client_id;
        let queue = self.queues.read(&QueueName::of_qs_client(&qs_client_id), now).await?;
        let owner_key = queue.owner_key()?;
        request.verify(owner_key).map_err(|error| Problem::new(ProblemType::SignatureInvalid, error))?;
        let (connections, connection) = (&self.connections, &connect.connection_id);
        self.listeners.connect(&qs_client_id, owner_key, connections, connection, now).await?;
        Ok(Accepted::with_subprotocol(LISTEN_SUBPROTOCOL))
    }
}

fn refused(error: ListenRequestError) -> Problem {
    let problem_type = match error {
        ListenRequestError::ForeignDomain => ProblemType::SignatureForAnotherService,
        ListenRequestError::Stale => ProblemType::SignatureStale,
    };
    Problem::new(problem_type, error)
}

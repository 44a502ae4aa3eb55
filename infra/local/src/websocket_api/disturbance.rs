//! What can happen to what goes over a connection. AWS promises neither that it arrives once, nor in what order.

use std::time::Duration;

use crate::template::RouteKey;

/// Something that goes over a WebSocket connection: an event on its way to a function, or a posted message on its way
/// to the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The connection's id.
    pub connection_id: String,
    /// What it is.
    pub kind: TransferKind,
    /// How many events, of whatever route, or how many posts there were before on this connection. `$connect` is event 0.
    pub number: u64,
    /// The text of the message; empty for `$connect` and `$disconnect`.
    pub body: String,
}

/// A kind of transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferKind {
    /// An event on its way to the function of this route.
    Event(RouteKey),
    /// A message that a function posted, on its way to the client.
    Post,
}

/// Something that happens to a transfer. What makes a *post* fail is a [`Fault`](crate::Fault).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// It is delivered twice, one right after the other. Of a `$connect` handled twice, the first answer counts.
    Twice,
    /// It is delivered later, and all that comes after it is not.
    Delayed(Duration),
    /// It is delivered after the next event, or the next post, that arrives on this connection, and never if none does. A `$connect` is
    /// not put off.
    AfterNext,
    /// It is never delivered. A `$connect` is not lost.
    Lost,
}

/// Says of each transfer whether something happens to it.
pub(crate) type DisturbancePlan = dyn Fn(&Transfer) -> Option<Disturbance> + Send + Sync;

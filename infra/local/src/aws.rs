//! The services behind the SDK: DynamoDB, Secrets Manager, the connections of WebSocket APIs, and the connectors and
//! the endpoint that lead to them.

pub(crate) mod answer;
pub(crate) mod capacity;
pub(crate) mod connections;
pub(crate) mod connector;
pub(crate) mod dynamodb;
pub(crate) mod endpoint;
pub(crate) mod secrets;
pub(crate) mod watch;

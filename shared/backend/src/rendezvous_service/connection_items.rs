//! Connections: which side of which mailbox a connection is for, because `$disconnect` names the connection alone.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use vestibule_protocol::problem::Problem;
use vestibule_protocol::time::Timestamp;

use super::{Side, alive, expiry};
use crate::dynamodb::{EXPIRES_AT, Item, PARTITION_KEY, corrupt_item, failed_call};
use crate::websocket::ConnectionId;

/// Keeps what a connection is for: one write. A connection's id is never used again, so what is there is the same.
pub(super) async fn put(
    client: &Client,
    table: &str,
    connection: &ConnectionId,
    side: Side,
    now: Timestamp,
) -> Result<(), Problem> {
    let item = side.write(key(connection)).time(EXPIRES_AT, expiry(now));
    let request = client
        .put_item()
        .table_name(table)
        .set_item(Some(item.into()))
        .condition_expression(format!("attribute_not_exists({PARTITION_KEY})"));
    match request.send().await {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) => {
            Ok(())
        }
        Err(error) => Err(failed_call("PutItem", &error)),
    }
}

/// What a connection is for: one read.
pub(super) async fn read(
    client: &Client,
    table: &str,
    connection: &ConnectionId,
    now: Timestamp,
) -> Result<Option<Side>, Problem> {
    let request = client.get_item().table_name(table).consistent_read(true).set_key(Some(key(connection).into()));
    let answer = request.send().await.map_err(|error| failed_call("GetItem", &error))?;
    let Some(item) = answer.item.and_then(|item| alive(item.into(), now)) else { return Ok(None) };
    Side::read(&item).map(Some).ok_or_else(|| corrupt_item("a connection"))
}

/// Forgets what a connection was for: one write.
pub(super) async fn delete(client: &Client, table: &str, connection: &ConnectionId) -> Result<(), Problem> {
    let request = client.delete_item().table_name(table).set_key(Some(key(connection).into()));
    request.send().await.map(drop).map_err(|error| failed_call("DeleteItem", &error))
}

fn key(connection: &ConnectionId) -> Item {
    Item::keyed(format!("CONNECTION#{connection}"), "CONNECTION")
}

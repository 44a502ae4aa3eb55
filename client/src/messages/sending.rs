//! Sending a message to all devices of a friend.

use vestibule_key_packages::ClaimedPackage;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{EnqueueQsMessage, EnqueueQsMessageRequest};
use vestibule_protocol::friendship::FriendshipCode;
use vestibule_protocol::problem::ProblemType;
use vestibule_test_messages::{MessageText, Sender};

use super::Sent;
use super::outbox::{CallDigest, Delivery, Outbox};
use crate::chain::Chain;
use crate::error::Error;
use crate::home::KeptRequest;
use crate::queuing::{OwnClient, claim_packages, client_credential};
use crate::session::Session;
use crate::tokens::paying::pay;

/// Sends a text to all devices of the user whom `code` names, and calls `told` when they have it. Only after that is it
/// forgotten: the same call after an interruption goes on where that was, or tells again what was sent and sends nothing.
///
/// Another message that was interrupted is sent first.
pub(crate) async fn send(
    session: &Session<'_>,
    code: &FriendshipCode,
    text: MessageText,
    told: impl FnOnce(&Sent),
) -> Result<(), Error> {
    OwnClient::of(session.account())?;
    let digest = CallDigest::of(code, &text);
    let (client_id, now) = (session.account().client_id(), session.now());
    if let Some(mut earlier) = session.home.load_outbox()? {
        if earlier.is_current(&client_id, now) {
            deliver(session, &mut earlier).await?;
            if earlier.is_of(&digest) {
                return conclude(session, &earlier, told);
            }
        }
        session.home.remove_outbox()?;
    }
    let mut outbox = prepare(session, code, text, &digest).await?;
    session.home.store_outbox(&outbox)?;
    deliver(session, &mut outbox).await?;
    conclude(session, &outbox, told)
}

/// Makes the message and a request for each device. If it is interrupted, the packages that it has claimed are lost, and
/// nothing was sent.
async fn prepare(
    session: &Session<'_>,
    code: &FriendshipCode,
    text: MessageText,
    digest: &CallDigest,
) -> Result<Outbox, Error> {
    let (account, now) = (session.account(), session.now());
    // First what may fail here: packages that are claimed in vain are wasted.
    let chain = Chain::of_account(account, now)?;
    let client_credential = client_credential(account, &chain, now)?;
    let claimed = claim_packages(session, code).await?;
    let sender = Sender {
        client_credential: &client_credential,
        as_intermediate_credential: &chain.intermediate,
        client_key: &account.client_credential_key,
    };
    let recipients: Vec<_> = claimed.iter().map(|package| package.key_package.clone()).collect();
    let message = sender.seal(text, &recipients, now, &mut session.connection.randomness.clone())?;
    let message = Bytes(message.to_bytes());
    let request = |package: &ClaimedPackage| {
        let queue_config = Bytes(package.queue_config().to_vec());
        KeptRequest::new(&EnqueueQsMessageRequest { queue_config, message: message.clone() })
    };
    let requests = claimed.iter().map(request).collect();
    Ok(Outbox::new(account.client_id(), digest, code.user_name.clone(), now, requests))
}

/// Sends what was not sent yet, and keeps what comes of it.
async fn deliver(session: &Session<'_>, outbox: &mut Outbox) -> Result<(), Error> {
    for index in 0..outbox.deliveries().len() {
        let Delivery::Waiting { request } = &outbox.deliveries()[index] else { continue };
        let outcome = match pay::<EnqueueQsMessage>(session, &(), request.as_bytes()).await {
            Ok(_) => Delivery::Done,
            Err(error) if is_refusal(&error) => Delivery::Refused,
            Err(error) => return Err(error),
        };
        outbox.settle(index, outcome);
        session.home.store_outbox(outbox)?;
    }
    Ok(())
}

/// Whether the device's queue does not take the message, and did not.
fn is_refusal(error: &Error) -> bool {
    let Error::Api(error) = error else { return false };
    matches!(
        error.problem_type(),
        Some(
            ProblemType::QueueConfigInvalid
                | ProblemType::QueueUnknown
                | ProblemType::QueueFull
                | ProblemType::MessageTooLarge
        )
    )
}

/// Tells what came of it, and then forgets it.
fn conclude(session: &Session<'_>, outbox: &Outbox, told: impl FnOnce(&Sent)) -> Result<(), Error> {
    let sent = outbox.sent();
    if sent.devices > 0 {
        told(&sent);
    }
    session.home.remove_outbox()?;
    if sent.devices > 0 { Ok(()) } else { Err(Error::Undeliverable(sent.to)) }
}

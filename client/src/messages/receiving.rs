//! Reading the client's queue.

use vestibule_protocol::endpoint::{DequeueQsMessages, DequeueResponse, GetCredentials, QsQueuePath};
use vestibule_protocol::queue::QueueReader;
use vestibule_test_messages::SenderTrust;

use super::Received;
use super::inbox::Inbox;
use super::opening::{PrivateParts, drop_used};
use crate::chain::TrustedChains;
use crate::error::Error;
use crate::home::OwnQueue;
use crate::queuing::OwnClient;
use crate::session::Session;

/// Fetches what waits in the queue, opens and keeps it, and gives everything that the application has not acknowledged.
///
/// What is read is on disk together with what reads on from there before the service is asked again, which lets it forget
/// what was read.
pub(crate) async fn receive(session: &mut Session<'_>) -> Result<Received, Error> {
    let mut inbox = open_inbox(session)?;
    // An earlier run may have been interrupted before it did.
    drop_used(session, &mut inbox)?;
    let mut chains = None;
    while !inbox.is_full() {
        let page = fetch(session, inbox.next_sequence()).await?;
        let before = inbox.next_sequence();
        let messages = inbox.read(&page.messages)?;
        if inbox.next_sequence() == before {
            return Ok(inbox.received(false));
        }
        if !messages.is_empty() {
            let chains = match &mut chains {
                Some(chains) => chains,
                none => none.insert(trusted_chains(session).await?),
            };
            let trust = SenderTrust { root: &chains.root, revoked: chains.revoked() };
            let private_parts = PrivateParts::load(session)?;
            for message in messages {
                let opened = private_parts.open(&message.content, &mut inbox, trust, session.now());
                inbox.keep(message.sequence, opened);
                // Each takes its time, and other tasks may run here too.
                tokio::task::yield_now().await;
            }
        }
        inbox.tidy(session.now());
        session.home.store_inbox(&inbox)?;
        drop_used(session, &mut inbox)?;
    }
    Ok(inbox.received(true))
}

/// Forgets the messages up to a number, which the application has taken care of.
pub(crate) fn acknowledge(session: &Session<'_>, sequence: u64) -> Result<(), Error> {
    let qs_client_id = OwnClient::of(session.account())?.qs_client_id;
    let Some(mut inbox) = session.home.load_inbox()?.filter(|inbox| inbox.is_of(&qs_client_id)) else { return Ok(()) };
    if inbox.acknowledge(sequence) { Ok(session.home.store_inbox(&inbox)?) } else { Ok(()) }
}

/// The inbox as it is on disk; an empty one, which then is there, if this client never had one. What the queue was created
/// with is forgotten once there is an inbox.
fn open_inbox(session: &mut Session<'_>) -> Result<Inbox, Error> {
    let client = OwnClient::of(session.account())?;
    let qs_client_id = client.qs_client_id;
    let queue = client.pseudonym.queue.as_ref();
    let inbox = match (session.home.load_inbox()?.filter(|inbox| inbox.is_of(&qs_client_id)), queue) {
        (Some(inbox), _) => inbox,
        (None, Some(OwnQueue { decryption_key, ratchet_key })) => {
            let inbox = Inbox::new(qs_client_id, QueueReader::new(decryption_key.clone(), ratchet_key.clone()));
            session.home.store_inbox(&inbox)?;
            inbox
        }
        (None, None) => return Err(Error::InboxMissing),
    };
    if queue.is_some() {
        session.change_account(|account| account.pseudonym.as_mut().expect("it is there").queue = None)?;
    }
    Ok(inbox)
}

async fn fetch(session: &Session<'_>, from: u64) -> Result<DequeueResponse, Error> {
    let client = OwnClient::of(session.account())?;
    let path = QsQueuePath { qs_client_id: client.qs_client_id, from };
    Ok(session.queuing_service.call_signed::<DequeueQsMessages, _>(&path, &[], &client.signer()).await?)
}

/// What senders are judged by. The request says nothing of who asks.
async fn trusted_chains(session: &Session<'_>) -> Result<TrustedChains, Error> {
    let offered = session.authentication_service.call::<GetCredentials>(&(), &[]).await?;
    let domain = session.account().user_name.domain();
    Ok(TrustedChains::choose(&offered, domain, session.trusted_root, session.now())?)
}

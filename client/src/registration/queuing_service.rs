//! The fifth stage: the client takes tokens, and becomes a pseudonym at the queuing service.

use std::time::Duration;

use rand::Rng as _;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{CreateQsUser, CreateQsUserRequest, CreateQsUserResponse};
use vestibule_protocol::keys::{HpkePrivateKey, SigningKey};
use vestibule_protocol::queue::{QueueKeys, RatchetKey};
use vestibule_protocol::queuing::{QsClientId, QsClientRecord, QsUserId};
use vestibule_protocol::randomness::Randomness;
use vestibule_protocol::symmetric::PushTokenKey;

use super::Registration;
use crate::api::RequestSigner;
use crate::error::Error;
use crate::home::{KeptRequest, OwnQueue, Pseudonym, Publications, QueuingServiceState, UserSecrets};
use crate::tokens::{self, paying::pay_signed};

pub(super) async fn run(registration: &mut Registration<'_>) -> Result<(), Error> {
    let session = &mut registration.session;
    if session.account().pseudonym.is_none() {
        let pseudonym = new_pseudonym(&mut session.connection.randomness);
        session.change_account(|account| account.pseudonym = Some(pseudonym))?;
    }
    // Taken now and not when the pseudonym is paid for, or the time would tell whose it is.
    tokens::refill(&registration.session).await?;
    wait_a_while(registration).await;
    let created = create(registration).await?;
    registration.session.change_account(|account| {
        account.pseudonym.as_mut().expect("it is there by now").queuing_service = created;
    })
}

/// Makes the pseudonym's keys, and the request that will create it.
pub(super) fn new_pseudonym(randomness: &mut Randomness) -> Pseudonym {
    let user_secrets = UserSecrets::generate(randomness);
    let client_record_key = SigningKey::generate(randomness);
    let queue = OwnQueue {
        decryption_key: HpkePrivateKey::generate(randomness),
        ratchet_key: RatchetKey::generate(randomness),
    };
    let user_record_verifying_key = user_secrets.user_record_key.verifying_key();
    let client_record = QsClientRecord::issue(QsUserId::of(&user_record_verifying_key), &client_record_key);
    let request = KeptRequest::new(&CreateQsUserRequest {
        user_record_verifying_key: Bytes(user_record_verifying_key.as_bytes().to_vec()),
        client_record: client_record.to_bytes(),
        friendship_token_hash: Bytes(user_secrets.friendship_token.hash().as_bytes().to_vec()),
        queue: QueueKeys {
            encryption_key: Bytes(queue.decryption_key.public_key().as_bytes().to_vec()),
            ratchet_key: queue.ratchet_key.clone(),
        },
    });
    Pseudonym {
        user_secrets,
        client_record_key,
        queue,
        push_token_key: PushTokenKey::generate(randomness),
        queuing_service: QueuingServiceState::Creating { request },
        publications: Publications::default(),
    }
}

/// Sends the request as it was kept, and checks that what was created is what was asked for.
async fn create(registration: &Registration<'_>) -> Result<QueuingServiceState, Error> {
    let account = registration.session.account();
    let pseudonym = account.pseudonym.as_ref().expect("it is there by now");
    let QueuingServiceState::Creating { request } = &pseudonym.queuing_service else {
        panic!("this stage is run until its answer is there");
    };
    let qs_user_id = pseudonym.user_secrets.qs_user_id();
    let qs_client_id = QsClientId::of(&pseudonym.client_record_key.verifying_key());
    let signer = RequestSigner {
        key: &pseudonym.user_secrets.user_record_key,
        key_id: qs_user_id.to_string(),
        domain: account.user_name.domain().clone(),
    };
    let answer = pay_signed::<CreateQsUser, _>(&registration.session, &(), request.as_bytes(), &signer).await?;
    if answer == (CreateQsUserResponse { qs_user_id, qs_client_id }) {
        Ok(QueuingServiceState::Created { qs_user_id, qs_client_id })
    } else {
        Err(Error::PseudonymForAnotherRequest)
    }
}

/// Lets a random time pass. Were a pseudonym always created the moment after a user, the times of the two requests would
/// tell whoever sees both services' traffic, or keeps both services' times, which belong together. So the creation is lost
/// among those of others who registered at about the same time.
async fn wait_a_while(registration: &Registration<'_>) {
    let longest = registration.longest_delay;
    if longest > Duration::ZERO {
        let delay = registration.session.connection.randomness.clone().gen_range(Duration::ZERO..=longest);
        registration.session.connection.waiting.wait(delay).await;
    }
}

//! How the client comes to be known to the queuing service: as the first of a user who is new there, or as another one of a
//! user's.

use std::time::Duration;

use rand::Rng as _;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{
    CreateQsClient, CreateQsClientRequest, CreateQsClientResponse, CreateQsUser, CreateQsUserRequest,
    CreateQsUserResponse, QsUserPath,
};
use vestibule_protocol::keys::{HpkePrivateKey, QsClientRecordKey, SigningKey};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::queue::{QueueKeys, RatchetKey};
use vestibule_protocol::queuing::{QsClientId, QsClientRecord};
use vestibule_protocol::randomness::Randomness;
use vestibule_protocol::symmetric::PushTokenKey;

use super::learn_record_key;
use crate::api::RequestSigner;
use crate::error::Error;
use crate::home::{KeptRequest, OwnQueue, Pseudonym, Publications, QueuingServiceState, UserSecrets};
use crate::identity::ensure_labelled;
use crate::session::Session;
use crate::tokens;
use crate::tokens::paying::pay_signed;

/// Makes the keys of a user who is new at the queuing service, and the request that will create the user with this client.
pub(crate) fn new_user(randomness: &mut Randomness) -> Pseudonym {
    let user_secrets = UserSecrets::generate(randomness);
    let user_record_verifying_key = user_secrets.user_record_key.verifying_key();
    let friendship_token_hash = user_secrets.friendship_token.hash();
    new_pseudonym(user_secrets, randomness, |client_record, queue| {
        KeptRequest::new(&CreateQsUserRequest {
            user_record_verifying_key: Bytes(user_record_verifying_key.as_bytes().to_vec()),
            client_record,
            friendship_token_hash: Bytes(friendship_token_hash.as_bytes().to_vec()),
            queue,
        })
    })
}

/// Makes the keys of another client of a user's, and the request that will create it.
pub(crate) fn new_client(user_secrets: UserSecrets, randomness: &mut Randomness) -> Pseudonym {
    new_pseudonym(user_secrets, randomness, |client_record, queue| {
        KeptRequest::new(&CreateQsClientRequest { client_record, queue })
    })
}

fn new_pseudonym(
    user_secrets: UserSecrets,
    randomness: &mut Randomness,
    request: impl FnOnce(Bytes, QueueKeys) -> KeptRequest,
) -> Pseudonym {
    let client_record_key: SigningKey<QsClientRecordKey> = SigningKey::generate(randomness);
    let queue = OwnQueue {
        decryption_key: HpkePrivateKey::generate(randomness),
        ratchet_key: RatchetKey::generate(randomness),
    };
    let client_record = QsClientRecord::issue(user_secrets.qs_user_id(), &client_record_key).to_bytes();
    let queue_keys = QueueKeys {
        encryption_key: Bytes(queue.decryption_key.public_key().as_bytes().to_vec()),
        ratchet_key: queue.ratchet_key.clone(),
    };
    Pseudonym {
        user_secrets,
        client_record_key,
        queue: Some(queue),
        push_token_key: PushTokenKey::generate(randomness),
        queuing_service: QueuingServiceState::Creating { request: request(client_record, queue_keys) },
        publications: Publications::default(),
    }
}

/// Creates the client at the queuing service, if it is not known to exist. What it pays with is taken a while before,
/// `longest_delay` at most: so the authentication service's time is not the queuing service's.
pub(crate) async fn ensure_created(session: &mut Session<'_>, longest_delay: Duration) -> Result<(), Error> {
    if session.account().has_pseudonym() {
        return Ok(());
    }
    make_pseudonym(session)?;
    // Whoever removes this device must know what there is to be deleted.
    ensure_labelled(session).await?;
    tokens::refill(session).await?;
    wait_a_while(session, longest_delay).await;
    let created = loop {
        match create(session).await {
            Err(Error::Api(error)) if error.problem_type() == Some(ProblemType::SignatureInvalid) => {
                if !learn_record_key(session).await? {
                    return Err(error.into());
                }
            }
            outcome => break outcome?,
        }
    };
    session.change_account(|account| {
        account.pseudonym.as_mut().expect("it was made before").queuing_service = created;
    })
}

/// Makes the pseudonym of an account of before there was one.
fn make_pseudonym(session: &mut Session<'_>) -> Result<(), Error> {
    if session.account().pseudonym.is_some() {
        return Ok(());
    }
    let mut randomness = session.connection.randomness.clone();
    session.change_account(|account| {
        account.pseudonym = Some(match account.user_secrets.take() {
            Some(user_secrets) => new_client(user_secrets, &mut randomness),
            None => new_user(&mut randomness),
        });
    })
}

/// Lets a random time pass. Were a pseudonym always created the moment after a user, or after a device was linked, the times
/// of the two services' requests would tell whoever sees both, or keeps both services' times, which belong together. So the
/// creation is lost among those of others at about the same time.
async fn wait_a_while(session: &Session<'_>, longest: Duration) {
    if longest > Duration::ZERO {
        let delay = session.connection.randomness.clone().gen_range(Duration::ZERO..=longest);
        session.connection.waiting.wait(delay).await;
    }
}

/// Sends the request as it was kept, and checks that what was created is what was asked for.
async fn create(session: &Session<'_>) -> Result<QueuingServiceState, Error> {
    let account = session.account();
    let pseudonym = account.pseudonym.as_ref().expect("it was made before");
    let QueuingServiceState::Creating { request } = &pseudonym.queuing_service else {
        panic!("this is done until its answer is there");
    };
    let qs_user_id = pseudonym.user_secrets.qs_user_id();
    let qs_client_id = QsClientId::of(&pseudonym.client_record_key.verifying_key());
    let signer = RequestSigner {
        key: &pseudonym.user_secrets.user_record_key,
        key_id: qs_user_id.to_string(),
        domain: account.user_name.domain().clone(),
    };
    let body = request.as_bytes();
    let is_the_one = if account.is_linked() {
        let answer = pay_signed::<CreateQsClient, _>(session, &QsUserPath { qs_user_id }, body, &signer).await?;
        answer == CreateQsClientResponse { qs_client_id }
    } else {
        let answer = pay_signed::<CreateQsUser, _>(session, &(), body, &signer).await?;
        answer == CreateQsUserResponse { qs_user_id, qs_client_id }
    };
    if is_the_one {
        Ok(QueuingServiceState::Created { qs_user_id, qs_client_id })
    } else {
        Err(Error::PseudonymForAnotherRequest)
    }
}

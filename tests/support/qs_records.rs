//! What a user and its clients do about their records at the queuing service, request by request.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use vestibule_protocol::encoding::{Bytes, SecretBytes as _};
use vestibule_protocol::endpoint::{
    CreateQsClient, CreateQsClientRequest, DeleteQsClient, DeleteQsUser, GetQsUser, GetQsUserResponse, QsClientPath,
    QsUserPath, UpdateQsClient, UpdateQsClientRequest, UpdateQsUser, UpdateQsUserRequest,
};
use vestibule_protocol::friendship::FriendshipCode;
use vestibule_protocol::keys::{HpkePrivateKey, KeyPurpose, QsClientRecordKey, QsUserRecordKey, SigningKey};
use vestibule_protocol::queue::RatchetKey;
use vestibule_protocol::queuing::{QsClientId, QsClientRecord, QsClientRekey, QsUserRekey};
use vestibule_protocol::symmetric::{FriendshipToken, PushTokenKey};

use crate::{Call, Pseudonym, TestCloud, json_body, sign_for_qs};

/// The same key again.
pub fn copy<P: KeyPurpose>(key: &SigningKey<P>) -> SigningKey<P> {
    SigningKey::from_secret_bytes(&key.to_secret_bytes()).expect("it is a key")
}

impl Pseudonym {
    /// Another client of the same user, which nobody knows yet. It has the same client credential, which the queuing service
    /// does not see.
    pub fn another(&self, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0xc11e47);
        Self {
            client_credential: self.client_credential.clone(),
            client_key: copy(&self.client_key),
            user_record_key: copy(&self.user_record_key),
            client_record_key: SigningKey::generate(&mut rng),
            code: self.code.clone(),
            qs_keys: self.qs_keys.clone(),
            push_token_key: PushTokenKey::generate(&mut rng),
            queue_decryption_key: HpkePrivateKey::generate(&mut rng),
            queue_ratchet_key: RatchetKey::generate(&mut rng),
            rng,
        }
    }

    /// The path of the user.
    pub fn qs_user_path(&self) -> QsUserPath {
        QsUserPath { qs_user_id: self.qs_user_id() }
    }

    /// The path of the client.
    pub fn qs_client_path(&self) -> QsClientPath {
        QsClientPath { qs_client_id: self.qs_client_id() }
    }

    /// What creates this client of a user that there is.
    pub fn client_creation(&self) -> CreateQsClientRequest {
        CreateQsClientRequest {
            client_record: QsClientRecord::issue(self.qs_user_id(), &self.client_record_key).to_bytes(),
            queue: self.queue_keys(),
        }
    }

    /// The call that sends it, paid for and signed by the user.
    pub fn client_creating_call(&self, cloud: &TestCloud, creation: &CreateQsClientRequest) -> Call {
        let call = Call::new::<CreateQsClient>(&self.qs_user_path(), json_body(creation)).paid();
        self.sign_as_user(cloud, &call)
    }

    /// Creates another client of the same user.
    pub async fn add(&self, cloud: &TestCloud, seed: u64) -> Self {
        let other = self.another(seed);
        let answer = cloud.send(&other.client_creating_call(cloud, &other.client_creation())).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        other
    }

    /// The call that asks for the user's record, signed.
    pub fn record_call(&self, cloud: &TestCloud) -> Call {
        self.sign_as_user(cloud, &Call::new::<GetQsUser>(&self.qs_user_path(), Vec::new()))
    }

    /// The user's clients, as the service knows them.
    pub async fn clients(&self, cloud: &TestCloud) -> Vec<QsClientId> {
        cloud.send(&self.record_call(cloud)).await.success::<GetQsUserResponse>().qs_client_ids
    }

    /// A fresh key for the user's record, and a fresh friendship code.
    pub fn rotation(&mut self) -> (SigningKey<QsUserRecordKey>, FriendshipCode) {
        let code = FriendshipCode { token: FriendshipToken::generate(&mut self.rng), ..self.code.clone() };
        (SigningKey::generate(&mut self.rng), code)
    }

    /// The call that gives the user another key and friendship token, signed by the key before.
    pub fn updating_call(&self, cloud: &TestCloud, key: &SigningKey<QsUserRecordKey>, code: &FriendshipCode) -> Call {
        let request = UpdateQsUserRequest {
            rekey: QsUserRekey::issue(self.qs_user_id(), key).to_bytes(),
            friendship_token_hash: Bytes(code.token.hash().as_bytes().to_vec()),
        };
        self.sign_as_user(cloud, &Call::new::<UpdateQsUser>(&self.qs_user_path(), json_body(&request)))
    }

    /// The call that gives the client another key, and a push token, signed by the key before.
    pub fn client_updating_call(
        &self,
        cloud: &TestCloud,
        version: u64,
        key: &SigningKey<QsClientRecordKey>,
        encrypted_push_token: Option<Bytes>,
    ) -> Call {
        let rekey = QsClientRekey::issue(self.qs_client_id(), key).to_bytes();
        let request = UpdateQsClientRequest { version, rekey, encrypted_push_token };
        self.sign(cloud, &Call::new::<UpdateQsClient>(&self.qs_client_path(), json_body(&request)))
    }

    /// The call that deletes this client, signed by the user.
    pub fn client_deleting_call(&self, cloud: &TestCloud) -> Call {
        self.sign_as_user(cloud, &Call::new::<DeleteQsClient>(&self.qs_client_path(), Vec::new()))
    }

    /// The call that deletes the user, signed.
    pub fn user_deleting_call(&self, cloud: &TestCloud) -> Call {
        self.sign_as_user(cloud, &Call::new::<DeleteQsUser>(&self.qs_user_path(), Vec::new()))
    }

    /// The same call, signed by a key that the user's record has by now.
    pub fn sign_with(&self, cloud: &TestCloud, call: &Call, key: &SigningKey<impl KeyPurpose>) -> Call {
        sign_for_qs(cloud, call, key, &self.qs_user_id().to_string())
    }
}

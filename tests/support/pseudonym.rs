//! Somebody at the queuing service, request by request.

use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};
use vestibule_backend::secret::AsSigningDocument;
use vestibule_key_packages::{
    ClaimError, ClaimedPackage, KeyPackageMaker, NewPackage, TrustedCredentials, verify_claim,
};
use vestibule_protocol::credential::{AsIntermediateCredential, ClientCredential, ClientCredentialPayload};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{
    ClaimKeyPackages, ClaimKeyPackagesRequest, CreateQsUser, CreateQsUserRequest, GetKeyPackages,
    GetKeyPackagesResponse, GetQsKeys, GetQsKeysResponse, PublishKeyPackages, PublishKeyPackagesRequest, QsClientPath,
};
use vestibule_protocol::friendship::FriendshipCode;
use vestibule_protocol::keys::{
    AsIntermediateCredentialKey, ClientCredentialKey, HpkePrivateKey, KeyPurpose, QsClientRecordKey, QsUserRecordKey,
    SigningKey,
};
use vestibule_protocol::name::{ClientId, ClientUuid};
use vestibule_protocol::queue::{QueueKeys, RatchetKey};
use vestibule_protocol::queuing::{QsClientId, QsClientRecord, QsKeys, QsUserId};
use vestibule_protocol::request_signature::Service;
use vestibule_protocol::signed::Verified;
use vestibule_protocol::symmetric::{FriendshipEncryptionKey, FriendshipToken, PushTokenKey};

use crate::{Answer, Call, TestCloud, json_body};

/// A client of a user at the queuing service. Everything random follows from the seed, but for what HPKE draws.
pub struct Pseudonym {
    /// The client's credential at the authentication service, which the queuing service never sees.
    pub client_credential: ClientCredential,
    /// Its key.
    pub client_key: SigningKey<ClientCredentialKey>,
    /// The user record's key.
    pub user_record_key: SigningKey<QsUserRecordKey>,
    /// The client record's key.
    pub client_record_key: SigningKey<QsClientRecordKey>,
    /// What friends are given.
    pub code: FriendshipCode,
    /// The queuing service's keys.
    pub qs_keys: QsKeys,
    /// The user's randomness.
    pub rng: StdRng,
    /// The client's push-token key.
    pub push_token_key: PushTokenKey,
    /// What opens the key updates of the client's queue.
    pub queue_decryption_key: HpkePrivateKey,
    /// The queue's initial ratchet key.
    pub queue_ratchet_key: RatchetKey,
}

impl Pseudonym {
    /// Somebody with a credential that the deployment's intermediate could have signed, who is not registered.
    pub async fn new(cloud: &TestCloud, user_name: &str, seed: u64) -> Self {
        let (_, intermediate) = cloud.credentials().await;
        let mut rng = StdRng::seed_from_u64(seed);
        let client_id =
            ClientId { user_name: user_name.parse().expect("a user name"), uuid: ClientUuid::generate(&mut rng) };
        let client_key = SigningKey::generate(&mut rng);
        let payload =
            ClientCredentialPayload::requesting(client_id, client_key.verifying_key(), &intermediate, cloud.now());
        let credential = Verified::sign(payload, &intermediate_key(cloud));
        Self::with_credential(cloud, credential, client_key, seed).await
    }

    /// Somebody with this credential.
    pub async fn with_credential(
        cloud: &TestCloud,
        client_credential: ClientCredential,
        client_key: SigningKey<ClientCredentialKey>,
        seed: u64,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x5eed);
        Self {
            code: FriendshipCode {
                token: FriendshipToken::generate(&mut rng),
                encryption_key: FriendshipEncryptionKey::generate(&mut rng),
                user_name: client_credential.payload().client_id.user_name.clone(),
            },
            client_credential,
            client_key,
            user_record_key: SigningKey::generate(&mut rng),
            client_record_key: SigningKey::generate(&mut rng),
            push_token_key: PushTokenKey::generate(&mut rng),
            queue_decryption_key: HpkePrivateKey::generate(&mut rng),
            queue_ratchet_key: RatchetKey::generate(&mut rng),
            qs_keys: cloud.qs_keys().await,
            rng,
        }
    }

    /// Under what the queuing service knows the user.
    pub fn qs_user_id(&self) -> QsUserId {
        QsUserId::of(&self.user_record_key.verifying_key())
    }

    /// Under what the queuing service knows the client.
    pub fn qs_client_id(&self) -> QsClientId {
        QsClientId::of(&self.client_record_key.verifying_key())
    }

    /// What creates the user.
    pub fn creation(&self) -> CreateQsUserRequest {
        CreateQsUserRequest {
            user_record_verifying_key: Bytes(self.user_record_key.verifying_key().as_bytes().to_vec()),
            client_record: QsClientRecord::issue(self.qs_user_id(), &self.client_record_key).to_bytes(),
            friendship_token_hash: Bytes(self.code.token.hash().as_bytes().to_vec()),
            queue: self.queue_keys(),
        }
    }

    /// The keys of the client's queue, as the service gets them.
    pub fn queue_keys(&self) -> QueueKeys {
        QueueKeys {
            encryption_key: Bytes(self.queue_decryption_key.public_key().as_bytes().to_vec()),
            ratchet_key: self.queue_ratchet_key.clone(),
        }
    }

    /// The call that sends `creation`, paid for and signed.
    pub fn creating_call(&self, cloud: &TestCloud, creation: &CreateQsUserRequest) -> Call {
        let call = Call::new::<CreateQsUser>(&(), json_body(creation)).paid();
        sign(cloud, &call, &self.user_record_key, &self.qs_user_id().to_string())
    }

    /// Creates the user.
    pub async fn create(self, cloud: &TestCloud) -> Self {
        let answer = cloud.send(&self.creating_call(cloud, &self.creation())).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        self
    }

    /// What makes the client's KeyPackages.
    pub fn maker(&self) -> KeyPackageMaker<'_> {
        KeyPackageMaker {
            client_credential: &self.client_credential,
            client_key: &self.client_key,
            friendship_encryption_key: &self.code.encryption_key,
            client_record_key: &self.client_record_key,
            push_token_key: &self.push_token_key,
            queue_config_key: &self.qs_keys.payload().queue_config_key,
        }
    }

    /// A fresh package.
    pub fn package(&mut self, cloud: &TestCloud, is_last_resort: bool) -> Bytes {
        let mut rng = StdRng::seed_from_u64(self.rng.next_u64());
        let NewPackage { add_package, .. } =
            self.maker().make(is_last_resort, cloud.now(), &mut rng).expect("a package is made");
        add_package
    }

    /// A generation of `count` fresh packages and a last-resort one.
    pub fn generation(&mut self, cloud: &TestCloud, generation: u64, count: usize) -> PublishKeyPackagesRequest {
        PublishKeyPackagesRequest {
            generation,
            add_packages: (0..count).map(|_| self.package(cloud, false)).collect(),
            last_resort_add_package: Some(self.package(cloud, true)),
        }
    }

    /// The call that publishes a generation, signed.
    pub fn publishing_call(&self, cloud: &TestCloud, generation: &PublishKeyPackagesRequest) -> Call {
        let path = QsClientPath { qs_client_id: self.qs_client_id() };
        self.sign(cloud, &Call::new::<PublishKeyPackages>(&path, json_body(generation)))
    }

    /// Publishes a generation of fresh packages and gives them.
    pub async fn publish(&mut self, cloud: &TestCloud, number: u64, count: usize) -> PublishKeyPackagesRequest {
        let generation = self.generation(cloud, number, count);
        let answer = cloud.send(&self.publishing_call(cloud, &generation)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        generation
    }

    /// The call that asks for the client's supply, signed.
    pub fn supply_call(&self, cloud: &TestCloud) -> Call {
        let path = QsClientPath { qs_client_id: self.qs_client_id() };
        self.sign(cloud, &Call::new::<GetKeyPackages>(&path, Vec::new()))
    }

    /// The client's supply.
    pub async fn supply(&self, cloud: &TestCloud) -> GetKeyPackagesResponse {
        cloud.send(&self.supply_call(cloud)).await.success()
    }

    /// The call with which a friend claims, with a fresh nonce, paid for.
    pub fn claiming_call(&self) -> Call {
        let mut nonce = vec![0; 32];
        rand::rngs::OsRng.fill_bytes(&mut nonce);
        let claim = ClaimKeyPackagesRequest { friendship_token: self.code.token.clone(), nonce: Bytes(nonce) };
        Call::new::<ClaimKeyPackages>(&(), json_body(&claim)).paid()
    }

    /// What a friend makes of the answer to a claim.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn as_friend(
        &self,
        cloud: &TestCloud,
        call: &Call,
        answer: &Answer,
    ) -> Result<Vec<ClaimedPackage>, ClaimError> {
        let intermediates: [AsIntermediateCredential; 1] = [cloud.credentials().await.1];
        let trusted = TrustedCredentials { intermediates: &intermediates, revoked: &[] };
        verify_claim(&answer.success(), &call.body, &self.qs_keys, &self.code, trusted, cloud.now())
    }

    /// The same call under a fresh signature of the client record's key.
    pub fn sign(&self, cloud: &TestCloud, call: &Call) -> Call {
        sign(cloud, call, &self.client_record_key, &self.qs_client_id().to_string())
    }

    /// The same call under a fresh signature of the user record's key.
    pub fn sign_as_user(&self, cloud: &TestCloud, call: &Call) -> Call {
        sign(cloud, call, &self.user_record_key, &self.qs_user_id().to_string())
    }
}

impl TestCloud {
    /// The queuing service's keys, checked.
    pub async fn qs_keys(&self) -> QsKeys {
        let (root, _) = self.credentials().await;
        let answer: GetQsKeysResponse = self.send(&Call::new::<GetQsKeys>(&(), Vec::new())).await.success();
        QsKeys::verify_chain(&answer.qs_keys[0].0, &root, self.now()).expect("the keys verify")
    }
}

/// The same call under a fresh signature of some key at the queuing service.
pub fn sign<P: KeyPurpose>(cloud: &TestCloud, call: &Call, key: &SigningKey<P>, key_id: &str) -> Call {
    call.signed(key, key_id, &Service::Queuing.tag(&cloud.domain()), cloud.now())
}

/// The key of the deployment's intermediate: a test cloud's keys follow from a seed.
pub(crate) fn intermediate_key(cloud: &TestCloud) -> SigningKey<AsIntermediateCredentialKey> {
    let rng = &mut StdRng::seed_from_u64(TestCloud::KEY_SEED);
    let deployment = vestibule_keys::Deployment::generate(cloud.domain(), cloud.now(), rng);
    let document = deployment.secrets.iter().find(|secret| secret.purpose == "as-signing").expect("a document");
    let document: AsSigningDocument = serde_json::from_str(&document.json).expect("the document decodes");
    document.intermediates.into_iter().next().expect("an intermediate").signing_key
}

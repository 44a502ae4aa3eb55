//! Somebody who registers, request by request.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use vestibule_protocol::connection_package::ConnectionPackage;
use vestibule_protocol::credential::{
    AsIntermediateCredential, ClientCredential, ClientCredentialCsr, ClientCredentialCsrPayload,
    ClientCredentialPayload,
};
use vestibule_protocol::endpoint::{
    FinishRegistration, FinishRegistrationRequest, FinishRegistrationResponse, InitiateRegistration,
    InitiateRegistrationRequest, InitiateRegistrationResponse, UserPath,
};
use vestibule_protocol::keys::{ClientCredentialKey, HpkePrivateKey, SigningKey};
use vestibule_protocol::name::{ClientId, ClientUuid, UserId, UserName};
use vestibule_protocol::opaque::{ClientRegistration, Parameters, Password};
use vestibule_protocol::queue::QueueKeys;
use vestibule_protocol::request_signature::Service;
use vestibule_protocol::signed::Verified;

use crate::{Call, TestCloud, json_body};

/// Somebody who registers. Everything random follows from the seed.
pub struct Applicant {
    /// The client.
    pub client_id: ClientId,
    /// Its key.
    pub client_key: SigningKey<ClientCredentialKey>,
    /// The id of the user that the last completion makes.
    pub user_id: Option<UserId>,
    /// The credential it asks for.
    pub requested: ClientCredentialPayload,
    pub(crate) rng: StdRng,
    /// The keys of the queue that it last made.
    pub(crate) queue: Option<(HpkePrivateKey, QueueKeys)>,
    opaque: Option<ClientRegistration>,
}

impl Applicant {
    /// The password that everybody registers with.
    pub const PASSWORD: &str = "correct horse";

    /// Somebody who wants `user_name`.
    pub async fn new(cloud: &TestCloud, user_name: &str, seed: u64) -> Self {
        let (_, intermediate) = cloud.credentials().await;
        Self::with_signer(cloud, user_name, seed, &intermediate)
    }

    /// Somebody who wants `user_name` and asks `signer` for a credential.
    pub fn with_signer(cloud: &TestCloud, user_name: &str, seed: u64, signer: &AsIntermediateCredential) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let user_name: UserName = user_name.parse().expect("a user name");
        let client_id = ClientId { user_name, uuid: ClientUuid::generate(&mut rng) };
        let client_key = SigningKey::generate(&mut rng);
        let requested =
            ClientCredentialPayload::requesting(client_id.clone(), client_key.verifying_key(), signer, cloud.now());
        Self { client_id, client_key, user_id: None, requested, rng, queue: None, opaque: None }
    }

    /// The signing request.
    pub fn csr(&self) -> ClientCredentialCsr {
        Verified::sign(ClientCredentialCsrPayload(self.requested.clone()), &self.client_key)
    }

    /// What initiates the registration.
    pub fn initiation(&mut self) -> InitiateRegistrationRequest {
        let (opaque, request) = ClientRegistration::start(Password::new(Self::PASSWORD.to_owned()), &mut self.rng);
        self.opaque = Some(opaque);
        InitiateRegistrationRequest {
            user_name: self.client_id.user_name.clone(),
            client_credential_csr: self.csr().to_bytes(),
            opaque_registration_request: request,
        }
    }

    /// What finishes the registration that `response` answers. `initiation` must have been called before.
    pub fn completion(&mut self, response: &InitiateRegistrationResponse) -> FinishRegistrationRequest {
        let opaque = self.opaque.take().expect("a registration was initiated");
        let finished = opaque
            .finish(
                &response.opaque_registration_response.0,
                &Parameters::of_user(&self.client_id.user_name),
                &mut self.rng,
            )
            .expect("the server's OPAQUE message makes sense");
        let user_id = UserId::generate(&mut self.rng);
        self.user_id = Some(user_id);
        let queue = self.new_queue();
        FinishRegistrationRequest {
            provisional_credential: response.provisional_credential.clone(),
            sealed_registration: response.sealed_registration.clone(),
            opaque_registration_record: finished.record,
            user_id,
            connection_packages: Vec::new(),
            queue,
        }
    }

    /// A connection package of the client, valid from today.
    pub fn connection_package(&mut self, cloud: &TestCloud) -> ConnectionPackage {
        let key = HpkePrivateKey::generate(&mut self.rng).public_key();
        ConnectionPackage::issue(self.client_id.clone(), key, &self.client_key, cloud.now())
    }

    /// Initiates the registration and gives what would finish it, with three connection packages.
    pub async fn initiate(&mut self, cloud: &TestCloud) -> FinishRegistrationRequest {
        let call = Call::new::<InitiateRegistration>(&(), json_body(&self.initiation()));
        let mut completion = self.completion(&cloud.send(&call).await.success());
        completion.connection_packages = (0..3).map(|_| self.connection_package(cloud).to_bytes()).collect();
        completion
    }

    /// The call that sends `completion`, signed.
    pub fn finishing_call(&self, cloud: &TestCloud, completion: &FinishRegistrationRequest) -> Call {
        self.sign(cloud, &self.unsigned_finishing_call(completion))
    }

    /// The call that sends `completion`, not signed yet.
    pub fn unsigned_finishing_call(&self, completion: &FinishRegistrationRequest) -> Call {
        let path = UserPath { user_name: self.client_id.user_name.clone() };
        Call::new::<FinishRegistration>(&path, json_body(completion))
    }

    /// The same call under a fresh signature.
    pub fn sign(&self, cloud: &TestCloud, call: &Call) -> Call {
        let tag = Service::Authentication.tag(&cloud.domain());
        call.signed(&self.client_key, &self.client_id.to_string(), &tag, cloud.now())
    }

    /// Registers.
    pub async fn register(mut self, cloud: &TestCloud) -> Self {
        self.register_for_credential(cloud).await;
        self
    }

    /// Registers and gives the credential that comes of it.
    pub async fn register_for_credential(&mut self, cloud: &TestCloud) -> ClientCredential {
        let (_, intermediate) = cloud.credentials().await;
        let completion = self.initiate(cloud).await;
        let answer = cloud.send(&self.finishing_call(cloud, &completion)).await;
        let response: FinishRegistrationResponse = answer.success();
        ClientCredential::verify_chain(&response.client_credential.0, &intermediate, cloud.now())
            .expect("the credential verifies")
    }
}

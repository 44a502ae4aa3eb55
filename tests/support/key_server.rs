//! Somebody who uses the key server, request by request.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use vestibule_protocol::endpoint::{
    OpenSession as OpenSessionEndpoint, OpenSessionRequest, OpenSessionResponse, SessionPath, UseSession,
    UseSessionRequest, UseSessionResponse,
};
use vestibule_protocol::key_server::{
    AwaitedResponse, ClientSession, Operation, PasswordChange, Recorded, Registration, Request, Retrieved, Session,
    SessionId, SessionOpening, StorageKey,
};
use vestibule_protocol::name::{UserId, UserName};
use vestibule_protocol::opaque::Password;
use vestibule_protocol::request_signature::Service;

use crate::{Answer, Applicant, Call, TestCloud, json_body};

/// A registered user with the password "correct horse". Everything random follows from the seed.
pub struct KeyServerUser {
    /// The user and its first client.
    pub client: Applicant,
    /// The user's id.
    pub user_id: UserId,
    rng: StdRng,
}

/// An open session.
pub struct OpenedSession<S: Session> {
    /// Which.
    pub session_id: SessionId,
    /// The client's end of it.
    pub session: ClientSession<S>,
}

impl<S: Session> OpenedSession<S> {
    /// The call that uses the session for `operation`, and what opens the response.
    pub fn send<O: Operation<Session = S>>(self, operation: O) -> (AwaitedResponse<O>, Call) {
        let (awaited, request) = self.session.send(operation);
        (awaited, using_call(self.session_id, &request))
    }
}

/// The call that uses a session with `request`.
fn using_call(session_id: SessionId, request: &UseSessionRequest) -> Call {
    Call::new::<UseSession>(&SessionPath { session_id }, json_body(request))
}

impl KeyServerUser {
    /// The password that the user registers with.
    pub const PASSWORD: &str = "correct horse";

    /// Registers at the authentication service.
    pub async fn new(cloud: &TestCloud, user_name: &str, seed: u64) -> Self {
        let client = Applicant::new(cloud, user_name, seed).await.register(cloud).await;
        let user_id = client.user_id.expect("the registration was finished");
        Self { client, user_id, rng: StdRng::seed_from_u64(seed) }
    }

    /// The user's name.
    pub fn user_name(&self) -> UserName {
        self.client.client_id.user_name.clone()
    }

    /// The random numbers that follow from the seed.
    pub fn rng(&mut self) -> &mut StdRng {
        &mut self.rng
    }

    /// The state and call with which a session is opened.
    pub fn opening<S>(&mut self, password: &str) -> (SessionOpening<S>, OpenSessionRequest)
    where
        S: Session<RegistrationUnderWay = (), NewRegistration = ()>,
    {
        SessionOpening::<S>::start(self.user_name(), Password::new(password.to_owned()), &mut self.rng)
    }

    /// Opens a session with the right password.
    pub async fn open<S>(&mut self, cloud: &TestCloud) -> OpenedSession<S>
    where
        S: Session<RegistrationUnderWay = (), NewRegistration = ()>,
    {
        self.open_with(cloud, Self::PASSWORD).await.expect("the password is right")
    }

    /// Opens a session, or does not because the password is wrong.
    pub async fn open_with<S>(&mut self, cloud: &TestCloud, password: &str) -> Option<OpenedSession<S>>
    where
        S: Session<RegistrationUnderWay = (), NewRegistration = ()>,
    {
        let (opening, request) = self.opening::<S>(password);
        let answer: OpenSessionResponse = cloud.send(&opening_call(&request)).await.success();
        let session = opening.finish(&answer, &mut self.rng).ok()?;
        Some(OpenedSession { session_id: answer.session_id, session })
    }

    /// Opens a session to change the password.
    pub async fn open_change(&mut self, cloud: &TestCloud, old: &str, new: &str) -> OpenedSession<PasswordChange> {
        let [old, new] = [old, new].map(|text| Password::new(text.to_owned()));
        let (opening, request) = SessionOpening::<PasswordChange>::start(self.user_name(), old, new, &mut self.rng);
        let answer: OpenSessionResponse = cloud.send(&opening_call(&request)).await.success();
        let session = opening.finish(&answer, &mut self.rng).expect("the password is right");
        OpenedSession { session_id: answer.session_id, session }
    }

    /// The call that completes the registration with `storage_key`.
    pub async fn completing_call(
        &mut self,
        cloud: &TestCloud,
        storage_key: &StorageKey,
    ) -> (AwaitedResponse<vestibule_protocol::key_server::CompleteRegistration>, Call) {
        let OpenedSession { session_id, session } = self.open::<Registration>(cloud).await;
        let (awaited, request) = session.complete_registration(self.user_id, storage_key, &mut self.rng);
        (awaited, using_call(session_id, &request))
    }

    /// Stores a storage key.
    pub async fn complete(&mut self, cloud: &TestCloud) -> StorageKey {
        let storage_key = StorageKey::generate(&mut self.rng);
        let (awaited, call) = self.completing_call(cloud, &storage_key).await;
        let _: Recorded = awaited.open(&cloud.send(&call).await.success()).expect("the response is ours");
        storage_key
    }

    /// The call that changes the password.
    pub async fn changing_call(&mut self, cloud: &TestCloud, old: &str, new: &str, storage_key: &StorageKey) -> Call {
        let OpenedSession { session_id, session } = self.open_change(cloud, old, new).await;
        let (_, request) = session.change_password(self.user_id, storage_key, &mut self.rng);
        using_call(session_id, &request)
    }

    /// Retrieves the storage key, if the password is right.
    pub async fn retrieve_with(&mut self, cloud: &TestCloud, password: &str) -> Option<Retrieved> {
        let OpenedSession { session_id, session } = self.open_with::<Request>(cloud, password).await?;
        let (awaited, request) = session.retrieve_storage_key();
        let response: UseSessionResponse = cloud.send(&using_call(session_id, &request)).await.success();
        Some(awaited.open_storage_key(&response).expect("the response is ours"))
    }

    /// The same call under a fresh signature of the user's first client.
    pub fn sign(&self, cloud: &TestCloud, call: &Call) -> Call {
        let tag = Service::KeyServer.tag(&cloud.domain());
        call.signed(&self.client.client_key, &self.client.client_id.to_string(), &tag, cloud.now())
    }
}

/// The call that opens a session, not signed.
pub fn opening_call(request: &OpenSessionRequest) -> Call {
    Call::new::<OpenSessionEndpoint>(&(), json_body(request))
}

/// The call with other contents.
pub fn altered_use(call: &Call, alter: impl FnOnce(&mut UseSessionRequest)) -> Call {
    let mut request: UseSessionRequest = serde_json::from_slice(&call.body).expect("a use of a session");
    alter(&mut request);
    Call { body: json_body(&request), ..call.clone() }
}

/// The operation's response in an answer.
#[track_caller]
pub fn response<O: Operation>(awaited: &AwaitedResponse<O>, answer: &Answer) -> O::Response {
    awaited.open(&answer.success()).expect("the response is ours")
}

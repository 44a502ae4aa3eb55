//! Both sides of a session, and what somebody between them can do.

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;
use crate::encoding::Bytes;
use crate::endpoint::{OpenSessionRequest, OpenSessionResponse, UseSessionRequest, UseSessionResponse};
use crate::name::{UserId, UserName};
use crate::opaque::{
    ClientRegistration, CredentialIdentifier, OpaqueError, Parameters, Password, RegistrationRecord, ServerSetup,
};
use crate::time::Timestamp;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

/// A server with one user.
struct Server {
    setup: ServerSetup,
    user: SessionUser,
    record: RegistrationRecord,
    credential_identifier: CredentialIdentifier,
    rng: StdRng,
}

fn alice() -> UserName {
    "alice@localhost".parse().unwrap()
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned())
}

impl Server {
    fn new() -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        let setup = ServerSetup::generate(&mut rng);
        let credential_identifier = CredentialIdentifier::generate(&mut rng);
        let (registration, request) = ClientRegistration::start(password("correct horse"), &mut rng);
        let response = setup.respond_to_registration(&request.0, credential_identifier.as_ref()).unwrap();
        let registered = registration.finish(&response.0, &Parameters::of_user(&alice()), &mut rng).unwrap();
        let record = RegistrationRecord::from_upload(&registered.record.0).unwrap();
        let user = SessionUser { user_id: UserId::generate(&mut rng), version: 1 };
        Self { setup, user, record, credential_identifier, rng }
    }

    fn open(&mut self, request: &OpenSessionRequest) -> (StoredSession, OpenSessionResponse) {
        self.try_open(request, true).unwrap()
    }

    fn try_open(
        &mut self,
        request: &OpenSessionRequest,
        is_known: bool,
    ) -> Result<(StoredSession, OpenSessionResponse), ServerSessionError> {
        let owner = PasswordOwner {
            record: is_known.then_some(&self.record),
            credential_identifier: self.credential_identifier,
            user: self.user,
        };
        StoredSession::open(request, &self.setup, &owner, NOW, &mut self.rng)
    }

    /// An open session, on both sides.
    fn session<S>(&mut self) -> (ClientSession<S>, StoredSession)
    where
        S: Session<RegistrationUnderWay = (), NewRegistration = ()>,
    {
        let (opening, request) = SessionOpening::<S>::start(alice(), password("correct horse"), &mut self.rng);
        let (stored, answer) = self.open(&request);
        (opening.finish(&answer, &mut self.rng).unwrap(), stored)
    }
}

fn entry(user_id: &UserId) -> AuditEntry {
    let head = AuditHead::before_first(user_id);
    head.next(Timestamp::from_seconds(1_800_000_000), AuditAction::RegistrationCompleted, AuditOutcome::Succeeded)
}

fn receive(stored: &StoredSession, request: &UseSessionRequest) -> Result<ReceivedRequest, ServerSessionError> {
    stored.receive(&request.ke3, &request.sealed_request)
}

#[test]
fn a_storage_key_is_stored_over_one_session_and_retrieved_over_another() {
    let mut server = Server::new();
    let user_id = server.user.user_id;
    let storage_key = StorageKey::generate(&mut server.rng);
    let (client, stored) = server.session::<Registration>();
    let (awaited, request) = client.complete_registration(user_id, &storage_key, &mut server.rng);
    let Ok(ReceivedRequest::Registration(completion, session)) = receive(&stored, &request) else {
        panic!("it is a registration")
    };
    assert_eq!(completion.user_id, user_id);
    let kept = EncryptedStorageKey::from_bytes(completion.encrypted_storage_key()).unwrap();
    let recorded = Recorded { audit_entry: entry(&user_id) };
    let sealed_response = session.respond::<CompleteRegistration>(&recorded);
    assert_eq!(awaited.open(&UseSessionResponse { sealed_response }).unwrap(), recorded);

    let (client, stored) = server.session::<Request>();
    let (awaited, request) = client.retrieve_storage_key();
    let Ok(ReceivedRequest::Request(RequestOperation::RetrieveStorageKey, session)) = receive(&stored, &request) else {
        panic!("it is a retrieval")
    };
    let response = RetrievedStorageKey::new(session.user().user_id, &kept.to_bytes().0, entry(&user_id));
    let sealed_response = session.respond::<RetrieveStorageKey>(&response);
    let retrieved = awaited.open_storage_key(&UseSessionResponse { sealed_response }).unwrap();
    assert_eq!(retrieved.storage_key.fingerprint(), storage_key.fingerprint());
    assert_eq!(retrieved.user_id, user_id);
}

#[test]
fn a_new_password_takes_the_place_of_the_old_one() {
    let mut server = Server::new();
    let user_id = server.user.user_id;
    let storage_key = StorageKey::generate(&mut server.rng);
    let (opening, request) = SessionOpening::<PasswordChange>::start(
        alice(),
        password("correct horse"),
        password("battery staple"),
        &mut server.rng,
    );
    let (stored, answer) = server.open(&request);
    let client = opening.finish(&answer, &mut server.rng).unwrap();
    let (_, request) = client.change_password(user_id, &storage_key, &mut server.rng);
    let Ok(ReceivedRequest::PasswordChange(change, identifier, _)) = receive(&stored, &request) else {
        panic!("it is a change of the password")
    };
    server.record = RegistrationRecord::from_upload(change.registration_record()).unwrap();
    server.credential_identifier = identifier;
    let encrypted = change.encrypted_storage_key().to_vec();

    let log_in = |server: &mut Server, text: &str| {
        let (opening, request) = SessionOpening::<Request>::start(alice(), password(text), &mut server.rng);
        let (stored, answer) = server.open(&request);
        opening.finish(&answer, &mut server.rng).map(|client| (client, stored))
    };
    let refused = log_in(&mut server, "correct horse").err();
    assert_eq!(refused, Some(OpaqueError::NotAuthenticated.into()));
    let (client, stored) = log_in(&mut server, "battery staple").unwrap();
    let (awaited, request) = client.retrieve_storage_key();
    let Ok(ReceivedRequest::Request(_, session)) = receive(&stored, &request) else { panic!("it is a request") };
    let response = RetrievedStorageKey::new(user_id, &encrypted, entry(&user_id));
    let sealed_response = session.respond::<RetrieveStorageKey>(&response);
    let retrieved = awaited.open_storage_key(&UseSessionResponse { sealed_response }).unwrap();
    assert_eq!(retrieved.storage_key.fingerprint(), storage_key.fingerprint());
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_the_same_to_the_client() {
    let mut server = Server::new();
    for (text, is_known) in [("wrong", true), ("correct horse", false), ("wrong", false)] {
        let (opening, request) = SessionOpening::<Request>::start(alice(), password(text), &mut server.rng);
        let (_, answer) = server.try_open(&request, is_known).unwrap();
        assert_eq!(answer.ke2.0.len(), 320);
        let refused = opening.finish(&answer, &mut server.rng).err();
        assert_eq!(refused, Some(OpaqueError::NotAuthenticated.into()));
    }
}

#[test]
fn whatever_is_altered_in_the_opening_makes_the_login_fail() {
    let mut server = Server::new();
    let start = |server: &mut Server| {
        let (old, new) = (password("correct horse"), password("battery staple"));
        SessionOpening::<PasswordChange>::start(alice(), old, new, &mut server.rng)
    };
    let alterations: [fn(&mut OpenSessionResponse, &mut StdRng); 4] = [
        |answer, rng| answer.session_id = SessionId::generate(rng),
        |answer, _| answer.ke2.0[300] ^= 1,
        |answer, _| answer.opaque_registration_response = None,
        // Another valid element, as somebody would choose it who wants to try passwords against the new record.
        |answer, rng| {
            let (_, other) = ClientRegistration::start(password("anything"), rng);
            answer.opaque_registration_response.as_mut().unwrap().0[..32].copy_from_slice(&other.0);
        },
    ];
    for alter in alterations {
        let (opening, request) = start(&mut server);
        let (_, mut answer) = server.open(&request);
        alter(&mut answer, &mut server.rng);
        assert!(opening.finish(&answer, &mut server.rng).is_err());
    }
    // The client's own message, altered on its way to the server.
    let (opening, mut request) = start(&mut server);
    let (_, other) = ClientRegistration::start(password("anything"), &mut server.rng);
    request.opaque_registration_request = Some(other);
    let (_, answer) = server.open(&request);
    assert!(opening.finish(&answer, &mut server.rng).is_err());
}

#[test]
fn an_answer_with_a_registration_response_that_nobody_asked_for_is_malformed() {
    let mut server = Server::new();
    let (opening, request) = SessionOpening::<Request>::start(alice(), password("correct horse"), &mut server.rng);
    let (_, mut answer) = server.open(&request);
    let (_, registration) = ClientRegistration::start(password("anything"), &mut server.rng);
    let identifier = CredentialIdentifier::generate(&mut server.rng);
    let response = server.setup.respond_to_registration(&registration.0, identifier.as_ref()).unwrap();
    answer.opaque_registration_response = Some(response);
    let refused = opening.finish(&answer, &mut server.rng).err();
    assert_eq!(refused, Some(ClientSessionError::MalformedAnswer));
}

#[test]
fn a_session_of_one_kind_is_not_one_of_another() {
    let mut server = Server::new();
    let (opening, mut request) = SessionOpening::<Request>::start(alice(), password("correct horse"), &mut server.rng);
    request.kind = SessionKind::Registration;
    let (_, answer) = server.open(&request);
    assert_eq!(opening.finish(&answer, &mut server.rng).err(), Some(OpaqueError::NotAuthenticated.into()));
}

#[test]
fn an_operation_of_another_kind_of_session_is_refused() {
    let mut server = Server::new();
    let encrypted = Bytes(vec![7; ENCRYPTED_STORAGE_KEY_LENGTH]);
    let completion = CompleteRegistration::with_bytes(server.user.user_id, &encrypted);
    let change = ChangePassword::with_bytes(&Bytes(vec![6; 192]), &encrypted);
    let (client, stored) = server.session::<Request>();
    let refused = receive(&stored, &client.send_anything(&completion)).err();
    assert_eq!(refused, Some(ChannelError.into()));
    let (client, stored) = server.session::<Request>();
    assert_eq!(receive(&stored, &client.send_anything(&change)).err(), Some(ChannelError.into()));
    for operation in [RequestOperation::RetrieveStorageKey, RequestOperation::DeleteStorageKey] {
        let (client, stored) = server.session::<Registration>();
        assert_eq!(receive(&stored, &client.send_anything(&operation)).err(), Some(ChannelError.into()));
    }
    let (client, stored) = server.session::<Registration>();
    assert_eq!(receive(&stored, &client.send_anything(&change)).err(), Some(ChannelError.into()));
}

#[test]
fn only_a_change_of_the_password_brings_a_registration_request() {
    let mut server = Server::new();
    let (_, request) = SessionOpening::<Request>::start(alice(), password("correct horse"), &mut server.rng);
    let without = OpenSessionRequest { kind: SessionKind::PasswordChange, ..request.clone() };
    let (_, registration) = ClientRegistration::start(password("anything"), &mut server.rng);
    let with = OpenSessionRequest { opaque_registration_request: Some(registration), ..request };
    for request in [with, without] {
        let refused = server.try_open(&request, true).err();
        assert_eq!(refused, Some(ServerSessionError::RegistrationRequestMisplaced));
    }
}

#[test]
fn an_altered_truncated_or_foreign_request_is_refused() {
    let mut server = Server::new();
    let (client, stored) = server.session::<Request>();
    let (_, request) = client.retrieve_storage_key();
    let refused = |request: &UseSessionRequest| receive(&stored, request).err();
    for position in 0..request.sealed_request.0.len() {
        let mut altered = request.clone();
        altered.sealed_request.0[position] ^= 1;
        assert_eq!(refused(&altered), Some(ChannelError.into()));
        altered.sealed_request.0.truncate(position);
        assert_eq!(refused(&altered), Some(ChannelError.into()));
    }
    for position in 0..request.ke3.0.len() {
        let mut altered = request.clone();
        altered.ke3.0[position] ^= 1;
        assert_eq!(refused(&altered), Some(OpaqueError::NotAuthenticated.into()));
    }
    let short = UseSessionRequest { ke3: Bytes(request.ke3.0[1..].to_vec()), ..request.clone() };
    assert_eq!(refused(&short), Some(OpaqueError::MalformedMessage.into()));

    let (_, other) = server.session::<Request>().0.retrieve_storage_key();
    assert_eq!(refused(&other), Some(OpaqueError::NotAuthenticated.into()));
    let crossed = UseSessionRequest { sealed_request: other.sealed_request, ..request };
    assert_eq!(refused(&crossed), Some(ChannelError.into()));
}

#[test]
fn a_response_of_another_request_or_a_reflected_one_is_refused() {
    let mut server = Server::new();
    let response = Recorded { audit_entry: entry(&server.user.user_id) };
    let storage_key = StorageKey::generate(&mut server.rng);
    let user_id = server.user.user_id;
    let mut exchange = || {
        let (client, stored) = server.session::<Registration>();
        let (awaited, request) = client.complete_registration(user_id, &storage_key, &mut server.rng);
        let Ok(ReceivedRequest::Registration(_, session)) = receive(&stored, &request) else {
            panic!("it is a registration")
        };
        (awaited, request, session.respond::<CompleteRegistration>(&response))
    };
    let (awaited, request, sealed_response) = exchange();
    let (_, _, other) = exchange();
    let mut altered = sealed_response.clone();
    altered.0[0] ^= 1;
    for sealed_response in [request.sealed_request, other, altered, Bytes(Vec::new())] {
        assert_eq!(awaited.open(&UseSessionResponse { sealed_response }), Err(ChannelError));
    }
    assert_eq!(awaited.open(&UseSessionResponse { sealed_response }), Ok(response));
}

#[test]
fn a_session_is_for_one_user_under_one_name_and_for_sixty_seconds() {
    let mut server = Server::new();
    let (_, stored) = server.session::<Request>();
    let (id, other) = (*stored.session_id(), SessionId::generate(&mut server.rng));
    let later = |seconds| NOW.saturating_add(std::time::Duration::from_secs(seconds));
    assert!(stored.is_for(&alice(), &id, later(59)));
    assert!(!stored.is_for(&alice(), &id, later(60)));
    assert!(!stored.is_for(&alice(), &other, NOW));
    assert!(!stored.is_for(&"bob@localhost".parse().unwrap(), &id, NOW));
}

#[test]
fn a_session_is_the_same_after_it_was_stored() {
    use tls_codec::{DeserializeBytes as _, Serialize as _};

    let mut server = Server::new();
    let (client, stored) = server.session::<Request>();
    let bytes = stored.tls_serialize_detached().unwrap();
    let read = StoredSession::tls_deserialize_exact_bytes(&bytes).unwrap();
    let (_, request) = client.read_audit_log(Some(7));
    let received = receive(&read, &request);
    assert!(matches!(
        received,
        Ok(ReceivedRequest::Request(RequestOperation::ReadAuditLog(ReadAuditLog { before: Some(7) }), _))
    ));
}

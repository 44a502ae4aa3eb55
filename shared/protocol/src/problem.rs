//! Problem details (RFC 9457): how a service says what is wrong.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The media type of a problem.
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

macro_rules! problem_types {
    ($($(#[$doc:meta])* $name:ident = ($slug:literal, $status:literal, $title:literal);)*) => {
        /// What kind of problem it is. Its `type` is `urn:vestibule:problem:<slug>` and stays the same for ever.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum ProblemType { $($(#[$doc])* $name,)* }

        impl ProblemType {
            /// Every type.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The last part of the URN.
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug,)* }
            }

            /// The HTTP status it comes with.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// A short summary, the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

problem_types! {
    /// The body is not JSON.
    MalformedJson = ("malformed-json", 400, "The body is not well-formed JSON");
    /// The JSON lacks a field, has one too many, or one of the wrong type.
    InvalidField = ("invalid-field", 400, "A field is missing, unknown or of the wrong type");
    /// A binary field is not base64url without padding.
    MalformedBase64 = ("malformed-base64", 400, "A binary field is not base64url without padding");
    /// A user name in the path is not one.
    InvalidUserName = ("invalid-user-name", 400, "The user name is not well-formed");
    /// A user name is of another deployment.
    ForeignDomain = ("foreign-domain", 400, "The name belongs to another domain");
    /// The body is larger than the endpoint takes.
    BodyTooLarge = ("body-too-large", 413, "The body is too large");
    /// The body is not sent as JSON.
    UnsupportedMediaType = ("unsupported-media-type", 415, "The body must be application/json");

    /// An OPAQUE message has the wrong length or is no valid element.
    InvalidOpaqueMessage = ("invalid-opaque-message", 400, "The OPAQUE message is malformed");
    /// The signing request does not decode.
    MalformedCsr = ("malformed-csr", 400, "The credential signing request is malformed");
    /// The signing request is not signed by the key it is for.
    CsrSignatureInvalid = ("csr-signature-invalid", 400, "The credential signing request is not signed by its own key");
    /// The signing request is for another user than the request.
    CsrForAnotherUser = ("csr-for-another-user", 400, "The credential signing request is for another user");
    /// The signing request asks for a validity that is not given.
    CsrValidityRefused = ("csr-validity-refused", 400, "The credential signing request asks for a validity that is not given");
    /// The signing request names a signer that is not there (any more).
    UnknownSigner = ("unknown-signer", 400, "The signer named is not a current intermediate credential");

    /// The request must be signed and is not.
    SignatureMissing = ("signature-missing", 401, "The request must be signed");
    /// The request's signature does not parse.
    SignatureMalformed = ("signature-malformed", 400, "The request's signature is malformed");
    /// The request's signature covers too little, or the wrong things.
    SignatureCoverageInsufficient = ("signature-coverage-insufficient", 401, "The signature does not cover what it must");
    /// The request's signature is too old, or from the future.
    SignatureStale = ("signature-stale", 401, "The signature is too old or from the future");
    /// The request's signature is for another service or deployment.
    SignatureForAnotherService = ("signature-for-another-service", 401, "The signature is for another service or deployment");
    /// The request's signature does not fit the request and the key.
    SignatureInvalid = ("signature-invalid", 401, "The signature does not fit the request and the key");
    /// The digest is not the body's.
    ContentDigestMismatch = ("content-digest-mismatch", 400, "The content digest is not the body's");

    /// The name has an owner, or had one.
    UserNameTaken = ("user-name-taken", 409, "The user name is taken");
    /// The user id has an owner, or had one.
    UserIdTaken = ("user-id-taken", 409, "The user id is taken");
    /// The registration was not finished in time.
    RegistrationExpired = ("registration-expired", 403, "The registration has expired");
    /// What was offered as the provisional credential is not one of this deployment's for this name.
    ProvisionalCredentialInvalid = ("provisional-credential-invalid", 403, "The provisional credential is not valid here");
    /// The sealed registration is altered, or of another registration.
    SealedRegistrationInvalid = ("sealed-registration-invalid", 400, "The sealed registration is not this registration's");
    /// Too few or too many connection packages.
    ConnectionPackageCount = ("connection-package-count", 400, "There are too few or too many connection packages");
    /// A connection package is malformed, another client's, or not valid.
    ConnectionPackageInvalid = ("connection-package-invalid", 400, "A connection package is not valid");
    /// Two connection packages have the same key.
    ConnectionPackageDuplicate = ("connection-package-duplicate", 400, "Two connection packages are the same");
    /// The client has published connection packages meanwhile, or never did.
    ConnectionPackagesOutdated = ("connection-packages-outdated", 409, "The client's connection packages are other ones by now");
    /// A queue comes with a client's first connection packages, and is missing there or comes with others.
    QueueMisplaced = ("queue-misplaced", 400, "A queue comes with a client's first connection packages alone");
    /// A queue's encryption key is not a valid key.
    QueueKeyInvalid = ("queue-key-invalid", 400, "The queue's encryption key is not valid");

    /// A session id in the path is not one.
    InvalidSessionId = ("invalid-session-id", 400, "The session id is not well-formed");
    /// There is no such session for this user (any more).
    SessionUnknown = ("session-unknown", 404, "There is no such session, or it has expired");
    /// The session has been used for another request.
    SessionUsed = ("session-used", 409, "The session has been used");
    /// The `KE3` does not prove that the password is known.
    PasswordRefused = ("password-refused", 403, "The password is not right");
    /// The sealed request is not one of this session's kind, or not sealed for this session.
    SessionRequestInvalid = ("session-request-invalid", 400, "The sealed request is not one of this session");
    /// The password was changed, or the user removed, after the session was opened.
    SessionSuperseded = ("session-superseded", 409, "The session is not valid any more");
    /// The user id in the request is not the session's user's.
    UserIdMismatch = ("user-id-mismatch", 403, "The user id is another user's");
    /// The encrypted storage key has another format or length.
    EncryptedStorageKeyInvalid = ("encrypted-storage-key-invalid", 400, "The encrypted storage key is malformed");
    /// The user has a storage key already.
    StorageKeyExists = ("storage-key-exists", 409, "The user has a storage key");
    /// The user has not stored a storage key yet.
    StorageKeyMissing = ("storage-key-missing", 404, "The user has no storage key");
    /// The user's storage key was deleted.
    StorageKeyDeleted = ("storage-key-deleted", 410, "The user's storage key was deleted");
    /// The request is signed by none of the user's clients.
    ClientUnknown = ("client-unknown", 403, "The user has no such client");

    /// The client was issued a credential, but has not confirmed it in the user's identity.
    ClientUnconfirmed = ("client-unconfirmed", 403, "The client has not joined the user's identity yet");
    /// A client's UUID in the path is not one.
    InvalidClientUuid = ("invalid-client-uuid", 400, "The client UUID is not well-formed");
    /// The client id has, or had, an owner.
    ClientIdTaken = ("client-id-taken", 409, "The client id is taken");
    /// The user has as many clients as a user can have.
    ClientLimitReached = ("client-limit-reached", 409, "The user has as many clients as there can be");
    /// The signing request is for another client than the path.
    CsrForAnotherClient = ("csr-for-another-client", 400, "The credential signing request is for another client");
    /// The signing request of a client that renews its credential is for another key.
    CsrForAnotherKey = ("csr-for-another-key", 400, "A credential is renewed for the same key");
    /// A client removes itself.
    ClientRemovesItself = ("client-removes-itself", 409, "A client is removed by another one");
    /// There is no such client to remove.
    ClientNotFound = ("client-not-found", 404, "There is no such client");
    /// The sealed login is altered, was for another operation, client or password, or has expired.
    LoginInvalid = ("login-invalid", 403, "The login is not valid for this");
    /// The operation needs the password.
    LoginMissing = ("login-missing", 401, "The user's password is wanted");

    /// The query's parameters are not numbers, or one is missing.
    InvalidIdentityPosition = ("invalid-identity-position", 400, "The position in the identity is not well-formed");
    /// The user has no identity, or not this generation of it.
    IdentityUnknown = ("identity-unknown", 404, "There is no such identity");
    /// Another change of the identity came first.
    IdentitySuperseded = ("identity-superseded", 409, "The identity has changed meanwhile");
    /// A commit is malformed, or not one that the identity allows.
    CommitRefused = ("commit-refused", 400, "The commit is not allowed");
    /// A GroupInfo is malformed, or does not fit the commit.
    GroupInfoRefused = ("group-info-refused", 400, "The GroupInfo does not fit");

    /// A QS client id in the path is not one.
    InvalidQsClientId = ("invalid-qs-client-id", 400, "The QS client id is not well-formed");
    /// A QS user id in the path is not one.
    InvalidQsUserId = ("invalid-qs-user-id", 400, "The QS user id is not well-formed");
    /// There is no such user at the queuing service (any more).
    QsUserUnknown = ("qs-user-unknown", 404, "There is no such user at the queuing service");
    /// There is no such client at the queuing service (any more).
    QsClientUnknown = ("qs-client-unknown", 404, "There is no such client at the queuing service");
    /// The user has as many clients at the queuing service as a user can have.
    QsClientLimitReached = ("qs-client-limit-reached", 409, "The user has as many clients as there can be");
    /// A later update of the record was made before.
    RecordUpdateOutdated = ("record-update-outdated", 409, "A later update of the record was made");
    /// An encrypted push token has another length than all have.
    PushTokenInvalid = ("push-token-invalid", 400, "The encrypted push token is malformed");
    /// A record key is not an Ed25519 key, or the client record is not signed by its own key or is for another user.
    QsRecordInvalid = ("qs-record-invalid", 400, "A QS record is not valid");
    /// The record key has been used before, with something else.
    QsRecordTaken = ("qs-record-taken", 409, "A QS record with this key exists");
    /// The friendship token's hash is, or was, another user's.
    FriendshipTokenTaken = ("friendship-token-taken", 409, "The friendship token is taken");
    /// No user has this friendship token (any more).
    FriendshipTokenUnknown = ("friendship-token-unknown", 403, "The friendship token is unknown or retired");
    /// The user has no KeyPackage that could be handed out.
    NoKeyPackages = ("no-key-packages", 404, "The user has no KeyPackages");

    /// More KeyPackages than may be published at once.
    KeyPackageCount = ("key-package-count", 400, "There are too many KeyPackages");
    /// A KeyPackage with what belongs to it is too large.
    KeyPackageTooLarge = ("key-package-too-large", 400, "A KeyPackage is too large");
    /// A KeyPackage, or what surrounds it, does not decode or breaks a rule of MLS.
    KeyPackageMalformed = ("key-package-malformed", 400, "A KeyPackage is malformed");
    /// A KeyPackage is of another ciphersuite.
    KeyPackageCiphersuite = ("key-package-ciphersuite", 400, "A KeyPackage is of another ciphersuite");
    /// A signature of a KeyPackage is wrong.
    KeyPackageSignatureInvalid = ("key-package-signature-invalid", 400, "A KeyPackage's signature is not valid");
    /// A KeyPackage is not valid yet, or not any more.
    KeyPackageExpired = ("key-package-expired", 400, "A KeyPackage is not valid at this time");
    /// A KeyPackage's lifetime is too long or not in whole days.
    KeyPackageLifetime = ("key-package-lifetime", 400, "A KeyPackage has a lifetime that is not accepted");
    /// A KeyPackage's capabilities lack what it uses itself.
    KeyPackageCapabilities = ("key-package-capabilities", 400, "A KeyPackage's capabilities lack what is needed");
    /// A KeyPackage has extensions that it must not have.
    KeyPackageExtensions = ("key-package-extensions", 400, "A KeyPackage has an extension that is not accepted");
    /// A KeyPackage's credential is not a leaf credential for its key and lifetime.
    LeafCredentialInvalid = ("leaf-credential-invalid", 400, "A KeyPackage's leaf credential is not valid");
    /// A KeyPackage has no queue config, or one of the wrong size.
    QueueConfigMissing = ("queue-config-missing", 400, "A KeyPackage has no queue config of the right size");
    /// No last-resort KeyPackage was sent.
    LastResortMissing = ("last-resort-missing", 400, "The last-resort KeyPackage is missing");
    /// The last-resort extension is where it must not be, or not where it must be.
    LastResortMisplaced = ("last-resort-misplaced", 400, "The last-resort extension is not where it belongs");
    /// Two KeyPackages are the same or have something in common.
    KeyPackageDuplicate = ("key-package-duplicate", 400, "Two KeyPackages have something in common");
    /// A newer generation of KeyPackages was published before.
    GenerationOutdated = ("generation-outdated", 409, "A newer generation of KeyPackages is published");
    /// Other KeyPackages were published under this generation.
    GenerationTaken = ("generation-taken", 409, "Other KeyPackages are published under this generation");

    /// What asks for tokens is not a request for a whole batch.
    TokenRequestInvalid = ("token-request-invalid", 400, "The request is not one for a batch of tokens");
    /// Tokens are asked for under another key than the current one.
    TokenKeyNotCurrent = ("token-key-not-current", 409, "Tokens are not issued under this key, or not now");
    /// The client has had its tokens for this time-frame.
    TokenAllowanceUsedUp = ("token-allowance-used-up", 429, "The client has had its tokens for this time-frame");
    /// The request must be paid for with a token, and is not.
    TokenMissing = ("token-missing", 401, "The request must come with a token");
    /// What presents a token does not parse.
    TokenMalformed = ("token-malformed", 400, "The token is malformed");
    /// The token answers another challenge.
    TokenForAnotherService = ("token-for-another-service", 401, "The token is for another service or deployment");
    /// The token's key was never in use, or is not any more.
    TokenKeyUnknown = ("token-key-unknown", 401, "The token's key is not in use, or not any more");
    /// The token was not issued by this deployment.
    TokenInvalid = ("token-invalid", 401, "The token is not genuine");
    /// The token has paid for another request.
    TokenSpent = ("token-spent", 401, "The token has been spent");

    /// The user has no connection package that could be handed out.
    NoConnectionPackages = ("no-connection-packages", 404, "The user has no connection packages");
    /// A queue config is not encrypted to this service, or not signed by the client that it names.
    QueueConfigInvalid = ("queue-config-invalid", 403, "The queue config is not valid");
    /// There is no such queue, or its owner has not fetched anything for so long that it has expired.
    QueueUnknown = ("queue-unknown", 404, "There is no such queue");
    /// The queue's owner has left too many messages unfetched.
    QueueFull = ("queue-full", 409, "The queue takes no more messages");
    /// The message is larger than a queue takes.
    MessageTooLarge = ("message-too-large", 413, "The message is too large");
    /// The number in the query is not one.
    InvalidSequence = ("invalid-sequence", 400, "The message number is not well-formed");
    /// The queue never had so many messages.
    QueueSequenceAhead = ("queue-sequence-ahead", 409, "The queue has not so many messages");
    /// A rendezvous code in the path is not one.
    InvalidRendezvousCode = ("invalid-rendezvous-code", 400, "The rendezvous code is not well-formed");
    /// No device waits under this rendezvous code.
    RendezvousCodeUnknown = ("rendezvous-code-unknown", 404, "No device waits under this rendezvous code");
    /// The rendezvous code was not joined in time.
    RendezvousCodeExpired = ("rendezvous-code-expired", 410, "The rendezvous code has expired");
    /// The rendezvous code was joined before, with another ticket.
    RendezvousCodeJoined = ("rendezvous-code-joined", 409, "The rendezvous code has been used");
    /// The ticket opens another mailbox, or the other side of this one.
    RendezvousTicketTaken = ("rendezvous-ticket-taken", 409, "The rendezvous ticket is taken");

    /// What was sent to the relay is not one of its frames.
    MalformedFrame = ("malformed-frame", 400, "The frame is malformed");
    /// There is no such mailbox.
    MailboxUnknown = ("mailbox-unknown", 404, "There is no such mailbox");
    /// The ticket does not open this mailbox.
    MailboxTicketRefused = ("mailbox-ticket-refused", 403, "The ticket does not open this mailbox");
    /// The mailbox has another message of this device under this number.
    MessageNumberTaken = ("message-number-taken", 409, "Another message has this number");
    /// The device has put as much into the mailbox as it may.
    MailboxFull = ("mailbox-full", 413, "The mailbox takes no more messages");

    /// Too many requests of this kind.
    RateLimited = ("rate-limited", 429, "Too many requests");
    /// Something the service needs does not answer, or two requests met. The same request may be sent again.
    TemporarilyUnavailable = ("temporarily-unavailable", 503, "The service is temporarily unavailable");
    /// The service has a defect.
    InternalError = ("internal-error", 500, "Something is wrong on the server");
}

/// How every problem's `type` begins.
const URN_PREFIX: &str = "urn:vestibule:problem:";

impl ProblemType {
    /// The `type` of the problem.
    pub fn urn(self) -> String {
        format!("{URN_PREFIX}{}", self.slug())
    }

    /// The type with this URN, if this version of the protocol knows it.
    pub fn from_urn(urn: &str) -> Option<Self> {
        let slug = urn.strip_prefix(URN_PREFIX)?;
        Self::ALL.iter().copied().find(|problem_type| problem_type.slug() == slug)
    }
}

/// A problem: its type, and what a person can do about this occurrence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The kind of problem.
    pub problem_type: ProblemType,
    /// What is wrong this time. No internals, no secrets.
    pub detail: String,
    /// After how many seconds to try again: the `Retry-After` header of 429 and 503.
    pub retry_after: Option<u64>,
    /// Which token would do: the `WWW-Authenticate` header of a 401.
    pub token_challenge: Option<Box<TokenChallengeMembers>>,
}

impl Problem {
    /// A problem.
    pub fn new(problem_type: ProblemType, detail: impl fmt::Display) -> Self {
        Self { problem_type, detail: detail.to_string(), retry_after: None, token_challenge: None }
    }

    /// The same problem, with a time after which to try again.
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The same problem, with what a token must answer.
    pub fn token_challenge(self, challenge: TokenChallengeMembers) -> Self {
        Self { token_challenge: Some(Box::new(challenge)), ..self }
    }

    /// The body of the response.
    pub fn document(&self) -> ProblemDocument {
        ProblemDocument {
            problem_type: self.problem_type.urn(),
            title: self.problem_type.title().to_owned(),
            status: self.problem_type.status(),
            detail: self.detail.clone(),
            token_challenge: self.token_challenge.clone(),
        }
    }
}

/// What a problem's body repeats of the header `WWW-Authenticate: PrivateToken …` (RFC 9577, section 2.1), which API Gateway
/// may rename. Both are base64url with padding, as in the header.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenChallengeMembers {
    /// The `TokenChallenge`.
    pub challenge: String,
    /// The public key under which tokens are issued.
    pub token_key: String,
}

/// The body of a problem response.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "Problem"))]
pub struct ProblemDocument {
    /// `urn:vestibule:problem:<slug>`, stable.
    #[serde(rename = "type")]
    pub problem_type: String,
    /// A summary of the type.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong this time.
    pub detail: String,
    /// Which token would do, where one is wanted.
    #[serde(flatten)]
    pub token_challenge: Option<Box<TokenChallengeMembers>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_its_urn() {
        for problem_type in ProblemType::ALL {
            assert_eq!(ProblemType::from_urn(&problem_type.urn()), Some(*problem_type));
        }
        assert_eq!(ProblemType::from_urn("urn:vestibule:problem:unheard-of"), None);
        assert_eq!(ProblemType::from_urn("user-name-taken"), None);
    }

    #[test]
    fn a_challenge_is_among_the_members_of_a_problem_and_only_where_there_is_one() {
        let problem = Problem::new(ProblemType::TokenMissing, "present a token");
        let json = serde_json::to_value(problem.document()).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 4);
        assert_eq!(serde_json::from_value::<ProblemDocument>(json).unwrap(), problem.document());

        let challenge = TokenChallengeMembers { challenge: "AAU=".to_owned(), token_key: "AA==".to_owned() };
        let problem = problem.token_challenge(challenge);
        let json = serde_json::to_value(problem.document()).unwrap();
        assert_eq!((json["challenge"].as_str(), json["token_key"].as_str()), (Some("AAU="), Some("AA==")));
        assert_eq!(serde_json::from_value::<ProblemDocument>(json).unwrap(), problem.document());
    }
}

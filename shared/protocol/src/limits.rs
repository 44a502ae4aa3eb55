//! Every limit of the protocol: sizes in bytes, counts, lifetimes.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::time::DAY;

/// The longest part of a user name before the `@`, in characters.
pub const MAX_LOCAL_PART_LENGTH: usize = 64;

/// The longest domain, in characters (RFC 1035, section 2.3.4).
pub const MAX_DOMAIN_LENGTH: usize = 253;

/// The longest name of a device, in characters.
pub const MAX_DEVICE_NAME_LENGTH: usize = 64;

/// How long an AS credential, the deployment's offline root, may be valid: ten years and their leap days.
pub const MAX_AS_CREDENTIAL_DAYS: u64 = 3653;

/// How long an AS intermediate credential may be valid: a year, leap or not.
pub const MAX_AS_INTERMEDIATE_CREDENTIAL_DAYS: u64 = 366;

/// How long a client credential may be valid. It can be renewed.
pub const MAX_CLIENT_CREDENTIAL_DAYS: u64 = 90;

/// How far in the past a new client credential may start to be valid: yesterday's 00:00 UTC serves a client whose
/// clock is slow.
pub const MAX_CLIENT_CREDENTIAL_BACKDATING: Duration = DAY;

/// How long a provisional credential, and with it the sealed registration, lasts.
pub const PROVISIONAL_CREDENTIAL_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// How many connection packages a client brings at once, at least: the last is handed out until it expires.
pub const MIN_CONNECTION_PACKAGES: usize = 1;

/// How many connection packages a client brings at once, at most. With the other items they stay below the 100 actions
/// of one DynamoDB transaction.
pub const MAX_CONNECTION_PACKAGES: usize = 50;

/// How long a connection package may be valid.
pub const MAX_CONNECTION_PACKAGE_DAYS: u64 = 90;

/// The largest signed structure (credential, request, package) in bytes. The longest user name fits twice.
pub const MAX_SIGNED_STRUCTURE_LENGTH: usize = 1024;

/// How far a client's clock may differ from the server's: the `created` of a request signature may lie so far away, in
/// either direction.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// The longest `nonce` of a request signature, in characters.
pub const MAX_REQUEST_NONCE_LENGTH: usize = 64;

/// The largest body of a request to initiate a registration.
pub const MAX_INITIATE_REGISTRATION_LENGTH: usize = 4 * 1024;

/// The largest body of a request to finish a registration: [`MAX_CONNECTION_PACKAGES`] of the largest packages in
/// base64url, and the rest.
pub const MAX_FINISH_REGISTRATION_LENGTH: usize = 96 * 1024;

/// The largest body of a request to publish connection packages: as many, and the keys of a queue.
pub const MAX_PUBLISH_CONNECTION_PACKAGES_LENGTH: usize = 96 * 1024;

/// How long the keys of the queuing service may be valid under one signature of the root: a year, leap or not.
pub const MAX_QS_KEYS_DAYS: u64 = 366;

/// How long a KeyPackage, and with it its leaf credential, may be valid: openmls' own bound.
pub const MAX_KEY_PACKAGE_DAYS: u64 = 84;

/// How many ordinary KeyPackages a client may publish at once, beside the last-resort one.
pub const MAX_KEY_PACKAGES: usize = 100;

/// The largest AddPackage in bytes. Ours have about 1300; the rest is for other MLS implementations' capabilities.
pub const MAX_ADD_PACKAGE_LENGTH: usize = 2048;

/// The largest body of a request to create a user at the queuing service.
pub const MAX_CREATE_QS_USER_LENGTH: usize = 4 * 1024;

/// The largest body of a request to publish KeyPackages: [`MAX_KEY_PACKAGES`] and a last-resort one of the largest size
/// in base64url, and the rest.
pub const MAX_PUBLISH_KEY_PACKAGES_LENGTH: usize = 288 * 1024;

/// The largest body of a request to claim KeyPackages.
pub const MAX_CLAIM_KEY_PACKAGES_LENGTH: usize = 1024;

/// How many bytes the nonce of a claim may have.
pub const CLAIM_NONCE_LENGTHS: RangeInclusive<usize> = 16..=32;

/// How long a session with the key server lasts: from the login's first half to the last repetition of its request.
pub const KEY_SERVER_SESSION_LIFETIME: Duration = Duration::from_secs(60);

/// The largest body of a request to open a session with the key server.
pub const MAX_OPEN_SESSION_LENGTH: usize = 1024;

/// The largest body of a request over a session with the key server.
pub const MAX_USE_SESSION_LENGTH: usize = 2 * 1024;

/// How many entries of an audit log are read at once, at most.
pub const AUDIT_PAGE_LENGTH: usize = 200;

/// How long an entry of an audit log is kept.
pub const AUDIT_ENTRY_LIFETIME: Duration = Duration::from_secs(366 * DAY.as_secs());

/// How long a rendezvous code may be joined after it was created, and how long its mailbox lasts after it was joined.
pub const RENDEZVOUS_LIFETIME: Duration = Duration::from_secs(10 * 60);

/// How long after its creation a rendezvous is forgotten: until then its code is not given out again, and its mailbox
/// says how it ended. Longer than code and mailbox can last together.
pub const RENDEZVOUS_RETENTION: Duration = Duration::from_secs(60 * 60);

/// The largest body of a request to create or to join a rendezvous.
pub const MAX_RENDEZVOUS_REQUEST_LENGTH: usize = 1024;

/// The largest frame between a device and the relay, in bytes of JSON: what API Gateway takes and bills as one.
pub const MAX_RELAY_FRAME_LENGTH: usize = 32 * 1024;

/// The largest message that the relay carries from one device to the other, in bytes: in base64url and with all that
/// stands around it, it fits a frame.
pub const MAX_RELAY_MESSAGE_LENGTH: usize = 16 * 1024;

/// How many messages each of the two devices may put into a mailbox, the four of the handshake included.
pub const MAX_MAILBOX_MESSAGES: u32 = 256;

/// How many bytes the messages of each of the two devices in a mailbox may have together.
pub const MAX_MAILBOX_LENGTH: usize = 2 * 1024 * 1024;

/// The largest application message of a rendezvous channel, put together from its parts, in bytes.
pub const MAX_CHANNEL_MESSAGE_LENGTH: usize = 1024 * 1024;

/// How many clients a user can have, those that have not confirmed yet among them.
pub const MAX_CLIENTS: usize = 10;

/// How long a client that was added has to confirm itself in the user's identity, before it lapses.
pub const CLIENT_CONFIRMATION_TIME: Duration = Duration::from_secs(60 * 60);

/// How long a login at the authentication service can be used.
pub const LOGIN_LIFETIME: Duration = Duration::from_secs(60);

/// Largest body of a request about a client or a login, in bytes.
pub const MAX_CLIENT_REQUEST_LENGTH: usize = 4 * 1024;

/// Largest commit and largest GroupInfo of an identity, in bytes each.
pub const MAX_IDENTITY_MESSAGE_LENGTH: usize = 48 * 1024;

/// Largest body of a request that changes an identity, in bytes: commit, GroupInfo and login in base64url.
pub const MAX_IDENTITY_REQUEST_LENGTH: usize = 132 * 1024;

/// How many commits of an identity are in one answer.
pub const IDENTITY_PAGE_LENGTH: usize = 100;

/// How many bytes the state bundles of a linking may have together: with the rest they fit a mailbox.
pub const MAX_STATE_BUNDLES_LENGTH: usize = 1536 * 1024;

/// How many bytes of them are in one message, but for the last.
pub const STATE_BUNDLES_CHUNK_LENGTH: usize = 64 * 1024;

/// How many tokens are in a batch. There are no smaller and no larger ones: the size of a batch says nothing.
pub const TOKEN_BATCH_SIZE: usize = 100;

/// How many token keys are in use at once, at most: every further one would divide those who redeem tokens into smaller
/// crowds.
pub const MAX_TOKEN_KEYS: usize = 2;

/// Largest body of a request for tokens, in bytes: a batch in base64url, and the client.
pub const MAX_ISSUE_TOKENS_LENGTH: usize = 8 * 1024;
/// The largest message that a queue takes, in bytes: with all that stands around it, it fits the longest ciphertext.
pub const MAX_QUEUE_MESSAGE_LENGTH: usize = 60 * 1024;

/// Every message of a queue whose number is a multiple of this is a key update.
pub const QUEUE_KEY_UPDATE_INTERVAL: u64 = 16;

/// How many messages wait in a queue at most, key updates among them.
pub const MAX_QUEUE_MESSAGES: u64 = 10_000;

/// How many messages of a queue are in one answer, at most.
pub const QUEUE_PAGE_LENGTH: usize = 500;

/// How long a queue lasts after the month in which its owner last fetched something or published connection packages.
pub const QUEUE_LIFETIME: Duration = Duration::from_secs(90 * DAY.as_secs());

/// How long, at least, a service knows a request to enqueue again, and does not enqueue its message twice.
pub const ENQUEUE_MEMORY: Duration = DAY;

/// Largest body of a request to enqueue a message, in bytes: [`MAX_QUEUE_MESSAGE_LENGTH`] in base64url, and the rest.
pub const MAX_ENQUEUE_LENGTH: usize = 82 * 1024;

/// How many clients a user of the queuing service can have.
pub const MAX_QS_CLIENTS: usize = 10;

/// Largest body of a request about a record of the queuing service, in bytes.
pub const MAX_QS_RECORD_REQUEST_LENGTH: usize = 4 * 1024;

/// The longest text of a test message, in bytes of UTF-8: with the KeyPackages of [`MAX_QS_CLIENTS`] devices it fits a
/// message of a queue.
pub const MAX_TEST_MESSAGE_TEXT_LENGTH: usize = 4 * 1024;

//! Passwords, as far as a server knows them: the OPAQUE records in `AsTable`, and who may try how often.
//!
//! | table | pk | sk | attributes |
//! |---|---|---|---|
//! | `AsTable` | `OPAQUE#<user_name>` | `OPAQUE` | `record` B, `credential_identifier` B, `user_id` S, `version` N |
//! | | `OPAQUE#BUCKET#<name>` | `BUCKET` | logins in a window ([`crate::rate_limit`]) |
//!
//! They have partitions of their own, so that the key server's role can be confined to them; `user_id` stands beside the
//! record because the key server may read nothing else. `version` counts how often the password was set.

use std::time::Duration;

use aws_sdk_dynamodb::types::{ConditionCheck, Delete, Update};
use vestibule_protocol::key_server::{PasswordOwner, SessionUser};
use vestibule_protocol::name::{ClientId, UserId, UserName};
use vestibule_protocol::opaque::{CredentialIdentifier, RegistrationRecord};
use vestibule_protocol::problem::Problem;
use vestibule_protocol::time::Timestamp;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::dynamodb::{Item, bytes, corrupt_item, failed_call, number};
use crate::keyed_hash::keyed_hash;
use crate::rate_limit::{BucketKey, Limit, RateLimiter};
use crate::{Environment, StartError};

const RECORD: &str = "record";
const CREDENTIAL_IDENTIFIER: &str = "credential_identifier";
const USER_ID: &str = "user_id";
const VERSION: &str = "version";

/// How long the windows are in which logins are counted.
const LOGIN_WINDOW: Duration = Duration::from_secs(60 * 60);

/// What is kept of a user's password.
pub struct Password {
    record: RegistrationRecord,
    credential_identifier: CredentialIdentifier,
    user: SessionUser,
}

impl Password {
    /// The password of a login with `user_name`, whether there is such a user or not.
    pub fn owner<'a>(
        password: Option<&'a Self>,
        user_name: &UserName,
        unknown_users: &UnknownUsers,
    ) -> PasswordOwner<'a> {
        // Both are made every time: the work is the same for every name.
        let unknown = unknown_users.owner(user_name);
        match password {
            Some(password) => PasswordOwner {
                record: Some(&password.record),
                credential_identifier: password.credential_identifier,
                user: password.user,
            },
            None => unknown,
        }
    }
}

/// What users look like who do not exist. A name always looks the same, so that nobody can tell by trying twice.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct UnknownUsers([u8; 32]);

impl UnknownUsers {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    fn owner(&self, user_name: &UserName) -> PasswordOwner<'static> {
        let hash = |label: &str| keyed_hash(&self.0, &[label.as_bytes(), user_name.as_str().as_bytes()]);
        let mut user_id = [0; 16];
        user_id.copy_from_slice(&hash("Vestibule 1.0 unknown user id")[..16]);
        PasswordOwner {
            record: None,
            credential_identifier: CredentialIdentifier(hash("Vestibule 1.0 unknown credential identifier")),
            user: SessionUser { user_id: UserId::from_random_bytes(user_id), version: 1 },
        }
    }
}

/// The passwords of the deployment's users.
pub struct Passwords {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

impl Passwords {
    /// The passwords in the table named by `AS_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if the variable is missing.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self { client: environment.dynamodb(), table: environment.variable("AS_TABLE")?.to_owned() })
    }

    /// What is kept of a user's password: one read.
    ///
    /// # Errors
    /// A [`Problem`] if the read fails.
    pub async fn read(&self, user_name: &UserName) -> Result<Option<Password>, Problem> {
        let request = self.client.get_item().table_name(&self.table).consistent_read(true);
        let request = request.set_key(Some(key(user_name).into()));
        let answer = request.send().await.map_err(|error| failed_call("GetItem", &error))?;
        let Some(item) = answer.item.map(Item::from) else { return Ok(None) };
        let password = (|| {
            Some(Password {
                record: RegistrationRecord::from_upload(item.get_bytes(RECORD)?).ok()?,
                credential_identifier: CredentialIdentifier(item.get_bytes(CREDENTIAL_IDENTIFIER)?.try_into().ok()?),
                user: SessionUser {
                    user_id: item.get_string(USER_ID)?.parse().ok()?,
                    version: item.get_number(VERSION)?,
                },
            })
        })();
        password.map(Some).ok_or_else(|| corrupt_item("a password"))
    }

    /// The part of a transaction that checks that the password is still that of a login.
    pub(crate) fn check_unchanged(&self, user_name: &UserName, user: &SessionUser) -> ConditionCheck {
        ConditionCheck::builder()
            .table_name(&self.table)
            .set_key(Some(key(user_name).into()))
            .condition_expression("#version = :version")
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":version", number(user.version))
            .build()
            .expect("table, key and condition are given")
    }

    /// The part of a transaction that deletes the password, if it is still that of a login.
    pub(crate) fn delete(&self, user_name: &UserName, user: &SessionUser) -> Delete {
        Delete::builder()
            .table_name(&self.table)
            .set_key(Some(key(user_name).into()))
            .condition_expression("#version = :version")
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":version", number(user.version))
            .build()
            .expect("table, key and condition are given")
    }

    /// The part of a transaction that puts a new password in the place of that of a login.
    pub(crate) fn replace(
        &self,
        user_name: &UserName,
        user: &SessionUser,
        record: &RegistrationRecord,
        credential_identifier: &CredentialIdentifier,
    ) -> Update {
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(user_name).into()))
            .update_expression("SET #record = :record, #identifier = :identifier, #version = :next")
            .condition_expression("#version = :version")
            .expression_attribute_names("#record", RECORD)
            .expression_attribute_names("#identifier", CREDENTIAL_IDENTIFIER)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":record", bytes(record.as_bytes()))
            .expression_attribute_values(":identifier", bytes(&credential_identifier.0))
            .expression_attribute_values(":version", number(user.version))
            .expression_attribute_values(":next", number(user.version + 1))
            .build()
            .expect("table, key and expression are given")
    }
}

/// The item of a new user's password.
pub(super) fn new_item(
    user_name: &UserName,
    user_id: &UserId,
    record: &RegistrationRecord,
    credential_identifier: &CredentialIdentifier,
) -> Item {
    key(user_name)
        .bytes(RECORD, record.as_bytes())
        .bytes(CREDENTIAL_IDENTIFIER, credential_identifier.0)
        .string(USER_ID, user_id.to_string())
        .number(VERSION, 1)
}

fn key(user_name: &UserName) -> Item {
    Item::keyed(format!("OPAQUE#{user_name}"), "OPAQUE")
}

/// Counts logins, at all services together. A wrong guess ends with the server's first answer, so what is counted is what
/// a login begins with; it is counted before anything is computed, for names that exist and names that do not.
pub struct LoginLimits {
    rate_limiter: RateLimiter,
    of_name: Limit,
    of_client: Limit,
}

impl LoginLimits {
    /// The limits in `LOGINS_PER_NAME_AND_HOUR` and `LOGINS_PER_CLIENT_AND_HOUR`, counted in the table named by
    /// `AS_TABLE`.
    ///
    /// # Errors
    /// [`StartError`] if a variable is missing or unusable.
    pub fn new(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            rate_limiter: RateLimiter::new(environment, "AS_TABLE")?.with_prefix("OPAQUE#"),
            of_name: Limit {
                name: "logins per name and hour",
                allowed: environment.positive_number("LOGINS_PER_NAME_AND_HOUR")?,
                window: LOGIN_WINDOW,
            },
            of_client: Limit {
                name: "logins per client and hour",
                allowed: environment.positive_number("LOGINS_PER_CLIENT_AND_HOUR")?,
                window: LOGIN_WINDOW,
            },
        })
    }

    /// Counts a login with `user_name`: one write. A client that has proved to be one of the user's has an allowance of its
    /// own, so that strangers who use up the name's do not lock it out.
    ///
    /// # Errors
    /// [`ProblemType::RateLimited`](vestibule_protocol::problem::ProblemType::RateLimited), or the problem of a failed
    /// call.
    pub async fn count(
        &self,
        key: &BucketKey,
        user_name: &UserName,
        client: Option<&ClientId>,
        now: Timestamp,
    ) -> Result<(), Problem> {
        match client {
            Some(client_id) => {
                self.rate_limiter.count(key, &self.of_client, client_id.to_string().as_bytes(), now).await
            }
            None => self.rate_limiter.count(key, &self.of_name, user_name.as_str().as_bytes(), now).await,
        }
    }
}

//! How the library comes by a password.

use vestibule_protocol::opaque::Password;

/// What a password is asked for, so that it can be asked for accordingly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PasswordUse {
    /// To become the user's password: nothing tells whether it was mistyped, so it had better be asked for twice.
    New,
    /// To be checked against the user's password.
    Current,
}

/// Why there is no password.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PasswordError {
    /// It has no characters.
    #[error("an empty password protects nothing")]
    Empty,
    /// The two entries differ.
    #[error("the two passwords are not the same")]
    NotRepeated,
    /// It could not be read.
    #[error("the password could not be read: {0}")]
    Unreadable(String),
}

/// Asks for a password. Called only when one is needed.
pub(crate) type PasswordSource<'a> = dyn FnMut(PasswordUse) -> Result<Password, PasswordError> + Send + 'a;

/// # Errors
/// [`PasswordError::Empty`].
pub(crate) fn check_not_empty(password: &Password) -> Result<(), PasswordError> {
    if *password == Password::new(String::new()) { Err(PasswordError::Empty) } else { Ok(()) }
}

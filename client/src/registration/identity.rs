//! The third stage: the group of the user's devices comes into being, with this one.

use super::Registration;
use crate::error::Error;
use crate::identity::ensure_started;

pub(super) async fn run(registration: &mut Registration<'_>) -> Result<(), Error> {
    ensure_started(&mut registration.session).await
}

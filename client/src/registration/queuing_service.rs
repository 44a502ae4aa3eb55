//! The fifth stage: the client takes tokens, and becomes a pseudonym at the queuing service.

use super::Registration;
use crate::error::Error;
use crate::queuing::ensure_created;

pub(super) async fn run(registration: &mut Registration<'_>) -> Result<(), Error> {
    ensure_created(&mut registration.session, registration.longest_delay).await
}

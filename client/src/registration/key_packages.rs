//! The last stage: KeyPackages by which friends can add the client to groups.

use super::Registration;
use crate::error::Error;
use crate::queuing::ensure_published;

pub(super) async fn run(registration: &mut Registration<'_>) -> Result<(), Error> {
    ensure_published(&mut registration.session, registration.key_packages).await
}

//! What is left for a device that is linked: to become known to the queuing service, so that friends can write to it. These are
//! stages of the registration, and as such gone on with by the next run.

use std::time::Duration;

use crate::error::Error;
use crate::queuing::{ensure_created, ensure_published};
use crate::registration::{Observer, Progress, Stage, StageState};
use crate::session::Session;

/// Has the queuing service know this client, with a queue and `key_packages` ordinary KeyPackages. What has been done is not
/// done again.
pub(crate) async fn join_queuing_service(
    session: &mut Session<'_>,
    longest_delay: Duration,
    key_packages: usize,
    mut beginning: StageState,
    observer: &mut Observer<'_>,
) -> Result<(), Error> {
    for stage in [Stage::QueuingService, Stage::KeyPackages] {
        if stage.is_done(session.account.as_ref()) {
            continue;
        }
        observer(Progress { stage, state: std::mem::replace(&mut beginning, StageState::Started) });
        match stage {
            Stage::QueuingService => ensure_created(session, longest_delay).await?,
            _ => ensure_published(session, key_packages).await?,
        }
        observer(Progress { stage, state: StageState::Done });
    }
    Ok(())
}

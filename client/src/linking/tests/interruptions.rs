//! Processes that are killed, everywhere.

use super::*;

/// How many linkings go on in the same identity, whose history every new device follows.
const LINKINGS: usize = 8;

/// Kills one of the devices at every point in turn. Returns how many linkings came about and how many did not.
async fn kill_everywhere(side: usize) -> (usize, usize) {
    let mut pair = Pair::new().await;
    let (mut linked, mut ended) = (0, 0);
    for points in 0.. {
        let mut fuses = [Fuse::none(), Fuse::none()];
        fuses[side] = Fuse::after(points);
        let [new, existing] = pair.meet_with(fuses.clone()).await;
        match new {
            Ok(device) => {
                match existing {
                    Ok(same) => assert_eq!(same, device, "after {points} points"),
                    // In a process that was killed when everything was over.
                    Err(Error::Api(error)) if error.problem_type() == Some(ProblemType::RendezvousCodeJoined) => {}
                    Err(error) => panic!("after {points} points the existing device does not know: {error}"),
                }
                pair.assert_linked(&device).await;
                linked += 1;
            }
            Err(new) => {
                let existing = existing.expect_err("the existing device takes it to be linked");
                for error in [new, existing] {
                    assert!(!error.is_stopped() && !error.to_string().is_empty());
                }
                pair.assert_nothing_is_left().await;
                ended += 1;
            }
        }
        if !fuses[side].is_burnt() {
            break;
        }
        pair = if points % LINKINGS == 0 { Pair::new().await } else { pair.again().await };
    }
    (linked, ended)
}

#[tokio::test]
async fn a_new_device_that_is_killed_anywhere_is_linked_by_the_next_run() {
    let (linked, ended) = kill_everywhere(0).await;
    assert!(linked > 60 && ended == 0, "{linked} linked, {ended} ended");
}

#[tokio::test]
async fn an_existing_device_that_is_killed_anywhere_is_linked_by_the_next_run_or_neither_is() {
    let (linked, ended) = kill_everywhere(1).await;
    assert!(linked > 60 && ended > 5, "{linked} linked, {ended} ended");
}

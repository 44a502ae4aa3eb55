//! What `vestibule status` says of a removal that was interrupted.

use super::*;
use crate::fuse::Fuse;
use crate::testing::link;

#[tokio::test]
async fn status_says_that_a_removal_was_interrupted() {
    let device = Device::new();
    device.register(ALICE).await.result.unwrap();
    let tablet = device.another();
    link(&tablet, &device, "tablet").await.unwrap();
    let remove = ["--json", "devices", "remove", "tablet", "--password-stdin"];
    let pending = loop_until_pending(&device, &remove).await;
    assert_eq!(pending["event"], "rotation-pending");
    assert_eq!(pending["half_removed"]["name"], "tablet");
    let for_people = vestibule(&device, &["status"]).await.stdout;
    assert!(for_people.contains("The removal of 'tablet' (alice@localhost/"), "{for_people}");

    let removed = vestibule(&device, &remove).await.events();
    assert_eq!((&removed[0]["event"], &removed[0]["keys"]), (&json!("device-removed"), &json!("rotated")));
    let after = vestibule(&device, &["--json", "status"]).await.events();
    assert_eq!((after.len(), &after[0]["event"]), (1, &json!("status")));
}

/// Kills the removal at one point after the other until `status` has something to say about it.
async fn loop_until_pending(device: &Device, remove: &[&str]) -> Value {
    for points in 5.. {
        let killed = vestibule_with(device, remove, PASSWORD, |options| options.fuse(Fuse::after(points))).await;
        assert_eq!(killed.exit_code, 1, "{killed:?}");
        let mut events = vestibule(device, &["--json", "status"]).await.events();
        if events.len() > 1 {
            return events.remove(1);
        }
    }
    unreachable!("there is no end of points")
}

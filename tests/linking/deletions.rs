//! Accounts that are deleted by one of their devices.

use vestibule_client::{DeletedAccount, Fuse};

use super::*;

impl Household {
    /// Has a device delete the account, in a process with this fuse.
    async fn delete_with(&self, device: &str, fuse: Fuse) -> Result<DeletedAccount, Error> {
        Client::open(self.options(device).fuse(fuse))?.delete_account(|_| Ok(password())).await
    }

    /// Asserts that what the services keep of anybody says no more than that something was there.
    async fn assert_all_is_deleted(&self) {
        let cloud = &self.cloud.cloud;
        for (table, kind, content) in [
            ("QsTable", "USER", "friendship_token_hash"),
            ("QsTable", "CLIENT", "verifying_key"),
            ("AsTable", "USER", "user_id"),
            ("AsTable", "IDENTITY", "follower"),
            ("AsTable", "OPAQUE", "record"),
            ("QsQueueTable", "QUEUE", "ratchet_key"),
            ("AsQueueTable", "QUEUE", "ratchet_key"),
        ] {
            let items = cloud.items(table).await.unwrap();
            let left = items.iter().find(|item| item["sk"]["S"] == kind && item.get(content).is_some());
            assert!(left.is_none(), "{table} has {left:?}");
        }
    }
}

#[tokio::test]
async fn an_account_is_deleted_wherever_the_device_that_does_it_is_killed() {
    for points in (0..).step_by(3) {
        let cloud = Arc::new(TestCloud::start().await);
        let household = Household::new(&cloud, "alice@localhost").await;
        household.link("laptop", "phone").await.unwrap();
        let stopped = household.delete_with("laptop", Fuse::after(points)).await;
        if let Err(error) = &stopped {
            assert!(error.is_stopped(), "after {points} points: {error}");
            match household.delete_with("laptop", Fuse::none()).await {
                Ok(deleted) => assert!(!deleted.is_pseudonym_left, "after {points} points"),
                Err(error) => assert!(matches!(error, Error::NotRegistered), "after {points} points: {error}"),
            }
        }
        household.assert_all_is_deleted().await;
        assert!(matches!(household.client("laptop").status(), Err(Error::NotRegistered)));
        let error = household.client("phone").catch_up().await.unwrap_err();
        assert!(matches!(error, Error::AccountDeleted(_)), "after {points} points: {error}");
        household.delete_with("phone", Fuse::none()).await.unwrap();
        assert!(matches!(household.client("phone").status(), Err(Error::NotRegistered)));
        if stopped.is_ok() {
            assert!(points > 15, "only {points} points");
            return;
        }
    }
}

#[tokio::test]
async fn a_wrong_password_deletes_nothing() {
    let cloud = Arc::new(TestCloud::start().await);
    let household = Household::new(&cloud, "alice@localhost").await;
    let before = cloud.state().await;
    let wrong = household.client("phone").delete_account(|_| Ok(Password::new("wrong".to_owned()))).await;
    assert!(matches!(wrong, Err(Error::WrongPassword)));
    assert_eq!(cloud.state().await, before);
    household.client("phone").key_package_supply().await.unwrap();
}

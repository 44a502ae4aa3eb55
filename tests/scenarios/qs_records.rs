//! The scenarios of the queuing service's records.

use vestibule_protocol::endpoint::{
    CreateQsClient, DeleteQsClient, DeleteQsUser, Endpoint as _, GetQsUser, UpdateQsClient, UpdateQsUser,
};
use vestibule_protocol::keys::SigningKey;
use vestibule_tests::{Pseudonym, TestCloud};

use super::{Prepared, Scenario};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        function: CreateQsClient::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let laptop = alice(cloud).await.another(2);
                let call = laptop.client_creating_call(cloud, &laptop.client_creation());
                Prepared::new(move |cloud| laptop.sign_as_user(cloud, &call))
            })
        },
        // One read of the user, one transaction.
        budget: 2,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: GetQsUser::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let alice = alice(cloud).await;
                Prepared::new(move |cloud| alice.record_call(cloud))
            })
        },
        budget: 1,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: UpdateQsUser::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let mut alice = alice(cloud).await;
                alice.add(cloud, 2).await;
                let (key, code) = alice.rotation();
                Prepared::new(move |cloud| alice.updating_call(cloud, &key, &code))
            })
        },
        budget: 2,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: DeleteQsUser::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let alice = alice(cloud).await;
                alice.add(cloud, 2).await;
                Prepared::new(move |cloud| alice.user_deleting_call(cloud))
            })
        },
        budget: 2,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: UpdateQsClient::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let mut alice = alice(cloud).await;
                let key = SigningKey::generate(&mut alice.rng);
                let token = vestibule_protocol::push_token::seal_push_token(
                    b"push token",
                    &alice.qs_client_id(),
                    &alice.push_token_key,
                    &mut alice.rng,
                );
                Prepared::new(move |cloud| alice.client_updating_call(cloud, 1, &key, token.clone()))
            })
        },
        // One read of the client, one transaction.
        budget: 2,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: DeleteQsClient::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let laptop = alice(cloud).await.add(cloud, 2).await;
                Prepared::new(move |cloud| laptop.client_deleting_call(cloud))
            })
        },
        // One read of the client, one of the user, one transaction.
        budget: 3,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: DeleteQsClient::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                // The last client, and with it the user.
                let alice = alice(cloud).await;
                Prepared::new(move |cloud| alice.client_deleting_call(cloud))
            })
        },
        budget: 3,
        rate_limits: 0,
        posts: 0,
    },
];

/// Alice at the queuing service.
pub(super) async fn alice(cloud: &TestCloud) -> Pseudonym {
    Pseudonym::new(cloud, "alice@localhost", 1).await.create(cloud).await
}

//! The scenarios of a user's clients, of logins and of the end of a user.

use vestibule_protocol::endpoint::{AddClient, DeleteUser, Endpoint as _, InitiateLogin, RemoveClient};
use vestibule_protocol::login::LoginOperation;
use vestibule_protocol::time::DAY;
use vestibule_tests::{Applicant, TestCloud, removal_of};

use super::{Prepared, Scenario, identity};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        function: AddClient::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let phone = registered(cloud).await;
                let laptop = phone.another(cloud, 2).await;
                Prepared::new(move |cloud| phone.adding_call(cloud, &laptop))
            })
        },
        // A query of the clients, one transaction.
        budget: 2,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: AddClient::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let mut phone = registered(cloud).await;
                cloud.cloud.clock().advance(DAY);
                let (_, intermediate) = cloud.credentials().await;
                phone.renew(cloud, &intermediate);
                Prepared::new(move |cloud| phone.adding_call(cloud, &phone))
            })
        },
        // A renewal: a query of the clients, one write.
        budget: 2,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: RemoveClient::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let [phone, mut laptop] = linked(cloud).await;
                let login = laptop.log_in(cloud, removal_of(&phone)).await;
                Prepared::new(move |cloud| laptop.removing_call(cloud, &phone, Some(login.clone())))
            })
        },
        // A query of the clients, one transaction.
        budget: 2,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: RemoveClient::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let phone = registered(cloud).await;
                let laptop = phone.another(cloud, 2).await;
                phone.add(cloud, &laptop).await;
                Prepared::new(move |cloud| phone.removing_call(cloud, &laptop, None))
            })
        },
        // The withdrawal of an unconfirmed client: the same.
        budget: 2,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: InitiateLogin::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let mut phone = registered(cloud).await;
                let (_, call) = phone.login_call(cloud, LoginOperation::DeleteUser {}, Applicant::PASSWORD);
                // The server's half is another one each time.
                let call = move |cloud: &TestCloud| phone.sign(cloud, &call);
                Prepared { stable: |answer| answer.status.into(), ..Prepared::new(call) }
            })
        },
        // One read of the client, one of the password.
        budget: 2,
        rate_limits: 1,
        posts: 0,
    },
    Scenario {
        function: DeleteUser::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let mut phone = identity::started(cloud).await;
                let login = phone.log_in(cloud, LoginOperation::DeleteUser {}).await;
                Prepared::new(move |cloud| phone.deleting_call(cloud, login.clone()))
            })
        },
        // A query of the clients, one transaction; to clean up a query and a batch for each 25 items, and a last query.
        budget: 5,
        rate_limits: 0,
        posts: 0,
    },
];

/// Alice, who has registered with her phone.
async fn registered(cloud: &TestCloud) -> Applicant {
    Applicant::new(cloud, "alice@localhost", 1).await.register(cloud).await
}

/// Alice's phone and laptop.
async fn linked(cloud: &TestCloud) -> [Applicant; 2] {
    let phone = registered(cloud).await;
    let laptop = phone.another(cloud, 2).await;
    phone.add(cloud, &laptop).await;
    cloud.confirm(&laptop).await;
    [phone, laptop]
}

//! The scenarios of a user's identity.

use tokio::sync::OnceCell;
use vestibule_identity::Identity;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{
    CommitIdentity, CommitIdentityRequest, Endpoint as _, GetIdentity, IdentityPosition, ResetIdentity,
    ResetIdentityPath, ResetIdentityRequest,
};
use vestibule_protocol::login::LoginOperation;
use vestibule_tests::identity::{Device, identity_call};
use vestibule_tests::{Applicant, Call, TestCloud, json_body};

use super::{Prepared, Scenario};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        function: GetIdentity::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                joined(cloud).await;
                Prepared::new(|_| history_call())
            })
        },
        // One read, one query.
        budget: 2,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: GetIdentity::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let mut phone = started(cloud).await;
                let call = resetting_call(cloud, &mut phone).await;
                send(cloud, &call(cloud)).await;
                Prepared::new(|_| history_call())
            })
        },
        // A generation that is over: one read more.
        budget: 3,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: CommitIdentity::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let phone = registered(cloud).await;
                let script = script().await;
                Prepared::new(move |cloud| committing_call(cloud, &phone, &script.start))
            })
        },
        // A query of the clients, one read, one transaction.
        budget: 3,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: CommitIdentity::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let phone = started(cloud).await;
                add(cloud, &phone).await;
                let script = script().await;
                Prepared::new(move |cloud| committing_call(cloud, &phone, &script.addition))
            })
        },
        budget: 3,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: CommitIdentity::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let laptop = joined(cloud).await;
                let script = script().await;
                Prepared::new(move |cloud| committing_call(cloud, &laptop, &script.confirmation))
            })
        },
        budget: 3,
        rate_limits: 0,
        posts: 0,
    },
    Scenario {
        function: ResetIdentity::DESCRIPTION.function,
        prepare: |cloud| {
            Box::pin(async {
                let mut phone = started(cloud).await;
                let call = resetting_call(cloud, &mut phone).await;
                Prepared::new(call)
            })
        },
        // The same.
        budget: 3,
        rate_limits: 0,
        posts: 0,
    },
];

/// What alice's phone and laptop send. HPKE takes its randomness from the system, so it is made once: every cloud is to
/// store the same.
struct Script {
    start: CommitIdentityRequest,
    addition: CommitIdentityRequest,
    confirmation: CommitIdentityRequest,
    second_generation: Bytes,
}

async fn script() -> &'static Script {
    static SCRIPT: OnceCell<Script> = OnceCell::const_new();
    SCRIPT.get_or_init(write_script).await
}

async fn write_script() -> Script {
    let cloud = TestCloud::start().await;
    let mut phone = Device::registered(&cloud, "alice@localhost", 1).await;
    let (identity, start) = phone.start(1, None);
    let (_, second_generation) = phone.start_generation(2, Some(identity.follower()));
    phone.accepted(&cloud, &start, identity).await;
    let mut laptop = phone.added(&cloud, 2).await;
    let (key_package, private) = laptop.make_key_package();
    let prepared = phone.prepare_add(&key_package);
    let addition = phone.request(&prepared);
    let welcome = prepared.welcome.expect("a client is added");
    laptop.identity = Some(Identity::join(private, &welcome.0, prepared.next.follower().clone()).expect("it joins"));
    let prepared = laptop.prepare_update();
    Script { start, addition, confirmation: laptop.request(&prepared), second_generation }
}

/// Alice, who has registered with her phone.
async fn registered(cloud: &TestCloud) -> Applicant {
    Applicant::new(cloud, "alice@localhost", 1).await.register(cloud).await
}

/// The same when her identity is started.
pub(super) async fn started(cloud: &TestCloud) -> Applicant {
    let phone = registered(cloud).await;
    send(cloud, &committing_call(cloud, &phone, &script().await.start)).await;
    phone
}

/// Alice's laptop, which is added at the authentication service.
async fn add(cloud: &TestCloud, phone: &Applicant) -> Applicant {
    let laptop = phone.another(cloud, 2).await;
    phone.add(cloud, &laptop).await;
    laptop
}

/// Alice's laptop, which has only to confirm itself.
async fn joined(cloud: &TestCloud) -> Applicant {
    let phone = started(cloud).await;
    let laptop = add(cloud, &phone).await;
    send(cloud, &committing_call(cloud, &phone, &script().await.addition)).await;
    laptop
}

fn committing_call(cloud: &TestCloud, client: &Applicant, request: &CommitIdentityRequest) -> Call {
    client.sign(cloud, &Call::new::<CommitIdentity>(&client.user_path(), json_body(request)))
}

fn history_call() -> Call {
    identity_call(&"alice@localhost".parse().expect("a name"), IdentityPosition { generation: 1, epoch: 0 })
}

/// What starts the second generation, with the same login every time.
async fn resetting_call(cloud: &TestCloud, phone: &mut Applicant) -> impl Fn(&TestCloud) -> Call + Send + Sync + use<> {
    let login = phone.log_in(cloud, LoginOperation::ResetIdentity { generation: 2 }).await;
    let request = ResetIdentityRequest { login, group_info: script().await.second_generation.clone() };
    let path = ResetIdentityPath { user_name: phone.user_name().clone(), generation: 2 };
    let unsigned = Call::new::<ResetIdentity>(&path, json_body(&request));
    // The same client again: everything about it follows from its seed.
    let phone = Applicant::new(cloud, "alice@localhost", 1).await;
    move |cloud| phone.sign(cloud, &unsigned)
}

async fn send(cloud: &TestCloud, call: &Call) {
    let answer = cloud.send(call).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

//! What becomes of honest users when the operator revokes the intermediate that signed for all of them.

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use vestibule_client::{FriendshipCode, Fuse};
use vestibule_keys::{AuthenticationServiceKeys, Beginning, Deployment, KeyFiles, Stack, Vault};
use vestibule_protocol::endpoint::{GetCredentials, GetCredentialsResponse};
use vestibule_tests::{Call, left_out_in_processes};

use super::*;

/// How often functions read their secrets anew.
const REFRESH: Duration = Duration::from_secs(5 * 60);

/// The operator, who has the root's key.
struct Operator<'c> {
    cloud: &'c TestCloud,
    deployment: Deployment,
}

impl<'c> Operator<'c> {
    /// To be called before the clock is moved: the keys follow from a seed and the time.
    fn new(cloud: &'c TestCloud) -> Self {
        let mut rng = StdRng::seed_from_u64(TestCloud::KEY_SEED);
        Self { cloud, deployment: Deployment::generate(cloud.domain(), cloud.now(), &mut rng) }
    }

    fn vault(&self) -> Vault {
        let operator = self.cloud.cloud.operator();
        let stack = Stack::read(&operator.described_stack().to_string()).unwrap();
        Vault::new(operator.environment(), stack)
    }

    async fn present(&self) -> (String, GetCredentialsResponse) {
        let secrets = self.vault().download().await.unwrap().secrets;
        let secret = secrets.iter().find(|secret| secret.purpose == "as-signing").unwrap();
        let published = self.cloud.send(&Call::new::<GetCredentials>(&(), Vec::new())).await.success();
        (secret.json.to_string(), published)
    }

    async fn upload(&self, keys: AuthenticationServiceKeys) {
        self.vault().upload(&KeyFiles::from(keys), self.cloud.now()).await.unwrap();
    }

    /// Replaces the intermediate at once, and revokes the one before, which others know the key of.
    async fn replace_and_revoke(&self) {
        let now = self.cloud.now();
        let (_, first) = self.cloud.credentials().await;
        let (secret, published) = self.present().await;
        let (root, mut rng) = (&self.deployment.root, StdRng::seed_from_u64(7));
        let next = AuthenticationServiceKeys::rotate(root, &secret, &published, Beginning::Today, now, &mut rng);
        self.upload(next.unwrap()).await;
        let (secret, published) = self.present().await;
        let revoked = AuthenticationServiceKeys::revoke(&secret, &published, &[first.fingerprint()], false, now);
        self.upload(revoked.unwrap()).await;
        self.cloud.cloud.clock().advance(REFRESH);
    }
}

/// Of how many devices a friend gets a KeyPackage, or why of none.
async fn claimed_by(friend: &Household, code: &FriendshipCode) -> Result<usize, Error> {
    friend.client("phone").claim_key_packages(code).await.map(|claimed| claimed.len())
}

/// Does what `vestibule status` does, and gives the generation of KeyPackages that is published then.
async fn status(household: &Household, device: &str) -> u64 {
    let mut client = household.client(device);
    client.catch_up().await.unwrap();
    client.join_queuing_service(|_| ()).await.unwrap();
    client.refill_key_packages().await.unwrap().generation
}

#[tokio::test]
async fn after_a_revocation_every_device_comes_back_by_itself() {
    left_out_in_processes!("it moves the clock");
    let cloud = Arc::new(TestCloud::start().await);
    let operator = Operator::new(&cloud);
    let alices = Household::new(&cloud, "alice@localhost").await;
    let bobs = Household::new(&cloud, "bob@localhost").await;
    alices.link("laptop", "phone").await.unwrap();
    // The phone has not followed this yet when the credential of the tablet is nothing that anybody believes any more.
    alices.link("tablet", "laptop").await.unwrap();
    let code = alices.client("phone").friendship_code().unwrap();
    assert_eq!(claimed_by(&bobs, &code).await.unwrap(), 3);

    operator.replace_and_revoke().await;
    let refused = claimed_by(&bobs, &code).await.unwrap_err();
    assert!(matches!(refused, Error::ClaimRefused(_)) && refused.to_string().contains("revoked"), "{refused}");

    // One after the other, whatever the others do.
    for (index, device) in ["phone", "tablet"].into_iter().enumerate() {
        assert_eq!(status(&alices, device).await, 2, "{device}");
        assert_eq!(claimed_by(&bobs, &code).await.unwrap(), index + 1, "{device}");
    }
    // The laptop is still in the identity with the credential that it had, and keeps nobody from joining.
    alices.link("watch", "phone").await.unwrap();
    assert_eq!(claimed_by(&bobs, &code).await.unwrap(), 3);
    // It meets a member that it does not know, renewals, and its own revocation.
    assert_eq!(status(&alices, "laptop").await, 2);
    assert_eq!(claimed_by(&bobs, &code).await.unwrap(), 4);
    alices.assert_devices(&["phone", "laptop", "tablet", "watch"]).await;

    // Once is enough.
    for device in ["phone", "laptop", "tablet"] {
        // Friends have claimed what there was.
        let generation = status(&alices, device).await;
        assert_eq!(status(&alices, device).await, generation, "{device}");
    }
}

#[tokio::test]
async fn a_renewal_after_a_revocation_that_is_killed_anywhere_is_completed() {
    left_out_in_processes!("it moves the clock");
    for points in (0..).step_by(2) {
        let cloud = Arc::new(TestCloud::start().await);
        let operator = Operator::new(&cloud);
        let alices = Household::new(&cloud, "alice@localhost").await;
        let bobs = Household::new(&cloud, "bob@localhost").await;
        let code = alices.client("phone").friendship_code().unwrap();
        operator.replace_and_revoke().await;
        let mut killed = Client::open(alices.options("phone").fuse(Fuse::after(points))).unwrap();
        let outcome = killed.catch_up().await;
        drop(killed);
        let is_over = outcome.is_ok();
        assert!(outcome.map_or_else(|error| error.is_stopped(), |_| true), "at point {points}");
        assert_eq!(status(&alices, "phone").await, 2, "at point {points}");
        assert_eq!(claimed_by(&bobs, &code).await.unwrap(), 1, "at point {points}");
        if is_over {
            assert!(points > 8, "there are {points} points only");
            return;
        }
    }
}

#[tokio::test]
async fn who_writes_before_and_after_a_revocation_is_believed_after_a_renewal() {
    left_out_in_processes!("it moves the clock");
    let cloud = Arc::new(TestCloud::start().await);
    let operator = Operator::new(&cloud);
    let alices = Household::new(&cloud, "alice@localhost").await;
    let bobs = Household::new(&cloud, "bob@localhost").await;
    operator.replace_and_revoke().await;
    status(&alices, "phone").await;
    let code = alices.client("phone").friendship_code().unwrap();
    let unbelieved = "from whom nobody believes".parse().unwrap();
    bobs.client("phone").send_message(&code, unbelieved, |_| ()).await.unwrap();
    status(&bobs, "phone").await;
    bobs.client("phone").send_message(&code, "hello".parse().unwrap(), |_| ()).await.unwrap();
    let (mut said, mut unreadable) = (Vec::new(), 0);
    let take = |received: &vestibule_client::Received| {
        unreadable += received.unreadable;
        said.extend(received.messages.iter().map(|message| message.text.as_str().to_owned()));
        Ok::<_, Error>(())
    };
    alices.client("phone").receive_all(take).await.unwrap();
    assert_eq!((said, unreadable), (vec!["hello".to_owned()], 1));
}

//! Publications that are refused: each with its own problem, and nothing is changed.

use openmls::prelude::Ciphersuite;
use vestibule_protocol::add_package::{AddPackage, ENCRYPTED_IDENTITY_LENGTH};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::{PublishKeyPackages, PublishKeyPackagesRequest, QsClientPath};
use vestibule_protocol::keys::SigningKey;
use vestibule_protocol::leaf_credential::LEAF_CREDENTIAL_TYPE;
use vestibule_protocol::limits::{MAX_ADD_PACKAGE_LENGTH, MAX_KEY_PACKAGES, MAX_PUBLISH_KEY_PACKAGES_LENGTH};
use vestibule_protocol::problem::ProblemType;
use vestibule_protocol::queue_config::{QUEUE_CONFIG_EXTENSION_TYPE, QUEUE_CONFIG_LENGTH};
use vestibule_protocol::time::{DAY, ExpirationData};
use vestibule_tests::{
    Call, Pseudonym, Recipe, TestCloud, capabilities, json_body, last_resort_extension, private_extension,
};

/// Alice has published, and is about to publish again.
struct Begun {
    cloud: TestCloud,
    alice: Pseudonym,
    next: PublishKeyPackagesRequest,
}

impl Begun {
    async fn new() -> Self {
        let cloud = TestCloud::start().await;
        let mut alice = Pseudonym::new(&cloud, "alice@localhost", 1).await.create(&cloud).await;
        alice.publish(&cloud, 5, 1).await;
        let next = alice.generation(&cloud, 6, 2);
        Self { cloud, alice, next }
    }

    /// Sends a call and checks that it leaves everything as it was.
    async fn problem_with(&self, call: &Call) -> ProblemType {
        let before = self.cloud.state().await;
        let answer = self.cloud.send(call).await;
        assert_eq!(self.cloud.state().await, before);
        answer.problem()
    }

    /// The problem with the next generation, as `change` spoils it.
    async fn problem(mut self, change: impl FnOnce(&mut Self)) -> ProblemType {
        change(&mut self);
        self.problem_with(&self.alice.publishing_call(&self.cloud, &self.next)).await
    }

    /// The problem when a package by a spoiled recipe is among the others.
    async fn problem_with_recipe(self, change: impl FnOnce(&mut Recipe)) -> ProblemType {
        self.problem(|begun| {
            let package = begun.alice.bake(&begun.cloud, change);
            begun.next.add_packages.push(package);
        })
        .await
    }
}

#[tokio::test]
async fn the_recipe_itself_is_right() {
    let Begun { cloud, mut alice, mut next } = Begun::new().await;
    next.add_packages.push(alice.bake(&cloud, |_| ()));
    let answer = cloud.send(&alice.publishing_call(&cloud, &next)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn a_publication_without_last_resort_is_refused() {
    let problem = Begun::new().await.problem(|begun| begun.next.last_resort_add_package = None);
    assert_eq!(problem.await, ProblemType::LastResortMissing);
}

#[tokio::test]
async fn the_last_resort_extension_belongs_on_the_last_resort_package_alone() {
    let ordinary = Begun::new().await.problem(|begun| {
        begun.next.last_resort_add_package = begun.next.add_packages.pop();
    });
    assert_eq!(ordinary.await, ProblemType::LastResortMisplaced);
    let among_others =
        Begun::new().await.problem_with_recipe(|recipe| recipe.key_package_extensions.push(last_resort_extension()));
    assert_eq!(among_others.await, ProblemType::LastResortMisplaced);
}

#[tokio::test]
async fn a_package_that_is_not_valid_now_is_expired() {
    let begun = Begun::new().await;
    let today = begun.cloud.now().start_of_day();
    let over = ExpirationData::starting(today.saturating_sub(84 * DAY), 84 * DAY);
    assert_eq!(begun.problem_with_recipe(|recipe| recipe.set_lifetime(over)).await, ProblemType::KeyPackageExpired);
    let tomorrow = ExpirationData::starting(today.saturating_add(DAY), DAY);
    let not_yet = Begun::new().await.problem_with_recipe(|recipe| recipe.set_lifetime(tomorrow));
    assert_eq!(not_yet.await, ProblemType::KeyPackageExpired);
}

#[tokio::test]
async fn a_lifetime_of_ten_years_or_not_in_whole_days_is_refused() {
    let begun = Begun::new().await;
    let today = begun.cloud.now().start_of_day();
    let refused = ProblemType::KeyPackageLifetime;
    for lifetime in [
        ExpirationData::starting(today, 3652 * DAY),
        ExpirationData::starting(today, 85 * DAY),
        ExpirationData::starting(today.saturating_sub(DAY / 24), 84 * DAY),
        ExpirationData::starting(today, 84 * DAY + DAY / 24),
    ] {
        let problem = Begun::new().await.problem_with_recipe(|recipe| recipe.set_lifetime(lifetime)).await;
        assert_eq!(problem, refused, "{lifetime:?}");
    }
}

#[tokio::test]
async fn a_package_of_another_ciphersuite_is_refused() {
    let problem = Begun::new().await.problem_with_recipe(|recipe| {
        recipe.ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;
    });
    assert_eq!(problem.await, ProblemType::KeyPackageCiphersuite);
}

#[tokio::test]
async fn capabilities_that_lack_what_is_used_are_refused() {
    let suite = Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519;
    let another = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;
    for lacking in [
        capabilities(another, &[10, QUEUE_CONFIG_EXTENSION_TYPE], &[LEAF_CREDENTIAL_TYPE]),
        capabilities(suite, &[10], &[LEAF_CREDENTIAL_TYPE]),
        capabilities(suite, &[10, QUEUE_CONFIG_EXTENSION_TYPE], &[1]),
    ] {
        let problem = Begun::new().await.problem_with_recipe(|recipe| recipe.capabilities = lacking);
        assert_eq!(problem.await, ProblemType::KeyPackageCapabilities);
    }
    let last_resort = Begun::new().await.problem(|begun| {
        let package = begun.alice.bake(&begun.cloud, |recipe| {
            recipe.key_package_extensions.push(last_resort_extension());
            recipe.capabilities = capabilities(suite, &[QUEUE_CONFIG_EXTENSION_TYPE], &[LEAF_CREDENTIAL_TYPE]);
        });
        begun.next.last_resort_add_package = Some(package);
    });
    assert_eq!(last_resort.await, ProblemType::KeyPackageCapabilities);
}

#[tokio::test]
async fn an_extension_that_could_carry_anything_is_refused() {
    let suite = Ciphersuite::MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519;
    let known = capabilities(suite, &[10, QUEUE_CONFIG_EXTENSION_TYPE, 0xf0f0], &[LEAF_CREDENTIAL_TYPE]);
    let extension = private_extension(0xf0f0, b"alice was here");
    let in_leaf = Begun::new().await.problem_with_recipe(|recipe| {
        recipe.capabilities = known.clone();
        recipe.leaf_extensions.push(extension.clone());
    });
    assert_eq!(in_leaf.await, ProblemType::KeyPackageExtensions);
    let in_key_package = Begun::new().await.problem_with_recipe(|recipe| {
        recipe.capabilities = known;
        recipe.key_package_extensions.push(extension);
    });
    assert_eq!(in_key_package.await, ProblemType::KeyPackageExtensions);
}

#[tokio::test]
async fn a_package_without_a_queue_config_of_the_right_form_is_refused() {
    let without = Begun::new().await.problem_with_recipe(|recipe| recipe.leaf_extensions.clear());
    assert_eq!(without.await, ProblemType::QueueConfigMissing);
    for length in [0, 1, QUEUE_CONFIG_LENGTH - 1, QUEUE_CONFIG_LENGTH, QUEUE_CONFIG_LENGTH + 1] {
        let spoiled = Begun::new().await.problem_with_recipe(|recipe| {
            recipe.leaf_extensions = vec![private_extension(QUEUE_CONFIG_EXTENSION_TYPE, &vec![0xaa; length])];
        });
        assert_eq!(spoiled.await, ProblemType::QueueConfigMissing, "{length}");
    }
}

#[tokio::test]
async fn a_leaf_credential_of_another_leaf_type_or_time_is_refused() {
    let refused = ProblemType::LeafCredentialInvalid;
    let another_key = Begun::new().await.problem_with_recipe(|recipe| {
        recipe.credential_key = SigningKey::generate(&mut rand::rngs::OsRng).verifying_key();
    });
    assert_eq!(another_key.await, refused);
    let another_time = Begun::new().await.problem_with_recipe(|recipe| {
        recipe.credential_validity.not_after = recipe.credential_validity.not_after.saturating_sub(DAY);
    });
    assert_eq!(another_time.await, refused);
    let basic = Begun::new().await.problem_with_recipe(|recipe| {
        let suite = recipe.ciphersuite;
        recipe.capabilities = capabilities(suite, &[10, QUEUE_CONFIG_EXTENSION_TYPE], &[1, LEAF_CREDENTIAL_TYPE]);
        recipe.credential_type = 1;
    });
    assert_eq!(basic.await, refused);
}

#[tokio::test]
async fn packages_with_something_in_common_are_refused() {
    let refused = ProblemType::KeyPackageDuplicate;
    let twice = Begun::new().await.problem(|begun| begun.next.add_packages.push(begun.next.add_packages[0].clone()));
    assert_eq!(twice.await, refused);
    let key = [7; 32];
    let one_key = Begun::new().await.problem(|begun| {
        for _ in 0..2 {
            let package = begun.alice.bake(&begun.cloud, |recipe| {
                use vestibule_protocol::encoding::SecretBytes as _;
                recipe.signature_key = SigningKey::from_secret_bytes(&key).unwrap();
                recipe.credential_key = recipe.signature_key.verifying_key();
            });
            begun.next.add_packages.push(package);
        }
    });
    assert_eq!(one_key.await, refused);
    let one_queue_config = Begun::new().await.problem(|begun| {
        let mut queue_config = None;
        for _ in 0..2 {
            let package = begun.alice.bake(&begun.cloud, |recipe| {
                let shared = queue_config.get_or_insert_with(|| recipe.leaf_extensions.clone());
                recipe.leaf_extensions = shared.clone();
            });
            begun.next.add_packages.push(package);
        }
    });
    assert_eq!(one_queue_config.await, refused);
}

#[tokio::test]
async fn a_package_that_was_tampered_with_is_refused() {
    // From the end: the KeyPackage's signature; the leaf's key for encryption; the init key.
    let positions: [fn(usize) -> usize; 3] =
        [|length| length - ENCRYPTED_IDENTITY_LENGTH - 2 - 1, |_| 2 + 4 + 33 + 1 + 7, |_| 2 + 4 + 1 + 7];
    for position in positions {
        let problem = Begun::new().await.problem(|begun| {
            let package = &mut begun.next.add_packages[1].0;
            let position = position(package.len());
            package[position] ^= 1;
        });
        assert_eq!(problem.await, ProblemType::KeyPackageSignatureInvalid);
    }
}

#[tokio::test]
async fn what_does_not_decode_is_malformed() {
    let refused = ProblemType::KeyPackageMalformed;
    let spoils: [fn(&mut Vec<u8>); 3] = [|bytes| bytes.truncate(700), |bytes| bytes.push(0), Vec::clear];
    for spoil in spoils {
        let problem = Begun::new().await.problem(|begun| spoil(&mut begun.next.add_packages[0].0));
        assert_eq!(problem.await, refused);
    }
    let merely_parses = Begun::new().await.problem(|begun| {
        let package = AddPackage::from_bytes(&begun.next.add_packages[0].0).unwrap();
        let key_package = &package.key_package()[..package.key_package().len() - 1];
        let key = vestibule_protocol::symmetric::SignatureEncryptionKey::generate(&mut rand::rngs::OsRng);
        begun.next.add_packages[0] = begun.alice.add_package(key_package.to_vec(), key);
    });
    assert_eq!(merely_parses.await, refused);
}

#[tokio::test]
async fn one_package_too_many_is_refused() {
    let problem = Begun::new().await.problem(|begun| {
        begun.next.add_packages = vec![begun.next.add_packages[0].clone(); MAX_KEY_PACKAGES + 1];
    });
    assert_eq!(problem.await, ProblemType::KeyPackageCount);
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let package = Begun::new().await.problem(|begun| {
        begun.next.add_packages[0] = Bytes(vec![0; MAX_ADD_PACKAGE_LENGTH + 1]);
    });
    assert_eq!(package.await, ProblemType::KeyPackageTooLarge);
    let begun = Begun::new().await;
    let mut call = begun.alice.publishing_call(&begun.cloud, &begun.next);
    call.body.resize(MAX_PUBLISH_KEY_PACKAGES_LENGTH + 1, b' ');
    assert_eq!(begun.problem_with(&begun.alice.sign(&begun.cloud, &call)).await, ProblemType::BodyTooLarge);
}

#[tokio::test]
async fn a_hundred_packages_of_the_largest_size_and_one_more_fit_into_a_body() {
    let request = PublishKeyPackagesRequest {
        generation: u64::MAX,
        add_packages: vec![Bytes(vec![0xff; MAX_ADD_PACKAGE_LENGTH]); MAX_KEY_PACKAGES],
        last_resort_add_package: Some(Bytes(vec![0xff; MAX_ADD_PACKAGE_LENGTH])),
    };
    assert!(json_body(&request).len() <= MAX_PUBLISH_KEY_PACKAGES_LENGTH);
}

#[tokio::test]
async fn an_older_generation_and_another_of_the_same_number_are_refused() {
    for (generation, refused) in
        [(0, ProblemType::GenerationOutdated), (4, ProblemType::GenerationOutdated), (5, ProblemType::GenerationTaken)]
    {
        let problem = Begun::new().await.problem(|begun| begun.next.generation = generation);
        assert_eq!(problem.await, refused, "{generation}");
    }
}

#[tokio::test]
async fn nobody_publishes_in_another_clients_place() {
    let begun = Begun::new().await;
    let bob = Pseudonym::new(&begun.cloud, "bob@localhost", 2).await.create(&begun.cloud).await;
    let path = QsClientPath { qs_client_id: begun.alice.qs_client_id() };
    let call = Call::new::<PublishKeyPackages>(&path, json_body(&begun.next));
    assert_eq!(begun.problem_with(&bob.sign(&begun.cloud, &call)).await, ProblemType::SignatureInvalid);
    assert_eq!(begun.problem_with(&call).await, ProblemType::SignatureMissing);

    let nobody = Pseudonym::new(&begun.cloud, "carol@localhost", 3).await;
    let call = nobody.publishing_call(&begun.cloud, &begun.next);
    assert_eq!(begun.problem_with(&call).await, ProblemType::QsClientUnknown);
    let call = Call { path: "/v1/qs/clients/alice@localhost/key-packages".to_owned(), ..call };
    assert_eq!(begun.problem_with(&call).await, ProblemType::InvalidQsClientId);
}

#[tokio::test]
async fn nobody_sees_another_clients_supply() {
    let begun = Begun::new().await;
    let bob = Pseudonym::new(&begun.cloud, "bob@localhost", 2).await.create(&begun.cloud).await;
    let call = begun.alice.supply_call(&begun.cloud);
    assert_eq!(begun.problem_with(&bob.sign(&begun.cloud, &call)).await, ProblemType::SignatureInvalid);
    let unsigned = call.without_header("signature");
    assert_eq!(begun.problem_with(&unsigned).await, ProblemType::SignatureMissing);
    let nobody = Pseudonym::new(&begun.cloud, "carol@localhost", 3).await;
    assert_eq!(begun.problem_with(&nobody.supply_call(&begun.cloud)).await, ProblemType::QsClientUnknown);
}

#[tokio::test]
async fn the_same_publication_gets_the_same_answer_until_a_newer_one() {
    let Begun { cloud, mut alice, next } = Begun::new().await;
    let first = cloud.send(&alice.publishing_call(&cloud, &next)).await;
    cloud.send(&alice.claiming_call()).await;
    let state = cloud.state().await;
    for _ in 0..3 {
        let again = cloud.send(&alice.publishing_call(&cloud, &next)).await;
        assert_eq!((again.status, &again.body), (200, &first.body));
    }
    assert_eq!(cloud.state().await, state);
    alice.publish(&cloud, 7, 0).await;
    let outdated = cloud.send(&alice.publishing_call(&cloud, &next)).await;
    assert_eq!(outdated.problem(), ProblemType::GenerationOutdated);
}

//! Credentials and other answers that are not what they should be.

use super::*;

#[tokio::test]
async fn a_changed_root_is_refused() {
    let device = Device::new();
    interrupt_before_finish(&device).await;
    device.clock.advance(Duration::from_secs(15 * 60));
    let mut moved = device.another();
    moved.service = Arc::new(FakeService::new(2, device.clock.clone()));
    let outcome = device.register_with(ALICE, device.options().transport(moved.service.clone())).await;
    assert!(matches!(outcome.result, Err(Error::Credentials(CredentialsError::RootChanged { .. }))));

    // Without a root on record, what the caller trusts decides.
    let trusted = device.service.deployment().root.fingerprint();
    let outcome = moved.register_with("bob@localhost", moved.options().trusted_root(trusted)).await;
    assert!(matches!(outcome.result, Err(Error::Credentials(CredentialsError::RootChanged { .. }))));
    let trusted = moved.service.deployment().root.fingerprint();
    moved.register_with("bob@localhost", moved.options().trusted_root(trusted)).await.result.unwrap();
    let outcome = moved.register_with("bob@localhost", moved.options().trusted_root([0; 32].into())).await;
    assert!(matches!(outcome.result, Err(Error::Credentials(CredentialsError::AnotherRootTrusted { .. }))));
}

#[tokio::test]
async fn credentials_that_are_expired_revoked_foreign_or_not_nested_are_refused() {
    let device = Device::new();
    let foreign = FakeService::new(2, device.clock.clone());
    let (root, intermediate, foreign_intermediate, expired_root, not_nested) = {
        let deployment = device.service.deployment();
        let root_key = &deployment.root_key;
        let long_ago = NOW.saturating_sub(400 * DAY);
        let expired_root = AsCredential::issue(deployment.domain.clone(), root_key, long_ago, 365);
        let mut payload = deployment.intermediate.payload().clone();
        payload.expiration_data.not_before = payload.expiration_data.not_before.saturating_sub(DAY);
        payload.expiration_data.not_after = payload.expiration_data.not_after.saturating_sub(DAY);
        let not_nested = Verified::sign(payload, root_key).to_bytes();
        let foreign_intermediate = foreign.deployment().intermediate.to_bytes();
        let (root, intermediate) = (deployment.root.fingerprint(), deployment.intermediate.fingerprint());
        (root, intermediate, foreign_intermediate, expired_root.to_bytes(), not_nested)
    };
    let fingerprints = |fingerprint: Fingerprint| json!([Bytes(fingerprint.as_bytes().to_vec())]);
    let intermediate_refused = "none of the server's intermediate credentials is acceptable";
    for (field, value, wanted) in [
        ("revoked_fingerprints", fingerprints(root), "the server's root credential was revoked"),
        ("revoked_fingerprints", fingerprints(intermediate), intermediate_refused),
        ("revoked_fingerprints", json!(["AAAA"]), "the server's list of revoked credentials is malformed"),
        ("as_credentials", json!([]), "the server has no root credential"),
        ("as_credentials", json!([expired_root]), "the server's root credential is not acceptable"),
        ("as_intermediate_credentials", json!([]), intermediate_refused),
        ("as_intermediate_credentials", json!([foreign_intermediate]), intermediate_refused),
        ("as_intermediate_credentials", json!([not_nested]), intermediate_refused),
    ] {
        let options = device.through(replacing("/v1/as/credentials", field, value));
        let outcome = device.register_with(ALICE, options).await;
        assert!(outcome.error().starts_with(wanted), "{}", outcome.error());
        assert_eq!(outcome.result.unwrap_err().urn(), "urn:vestibule:client:server-credentials-refused");
    }
    assert_eq!(device.passwords_asked(), []);
}

#[tokio::test]
async fn the_intermediate_that_is_valid_longest_is_chosen() {
    let device = Device::new();
    let issue = |days| {
        let deployment = device.service.deployment();
        let key = deployment.intermediate_key.verifying_key();
        AsIntermediateCredential::issue(key, &deployment.root, &deployment.root_key, NOW, days)
    };
    let offered = [issue(1), issue(100), issue(10)];
    let expected = offered[1].fingerprint();
    let credentials: Vec<_> = offered.iter().map(Verified::to_bytes).collect();
    device.service.deployment().intermediate = offered[1].clone();
    let options = device.through(replacing("/v1/as/credentials", "as_intermediate_credentials", json!(credentials)));
    device.register_with(ALICE, options).await.result.unwrap();
    assert_eq!(device.service.deployment().intermediate.fingerprint(), expected);
}

#[tokio::test]
async fn an_answer_of_another_registration_is_refused() {
    let device = Device::new();
    let answer_of_bob = Arc::new(Mutex::new(None));
    let kept = answer_of_bob.clone();
    let keeping = move |request: &Request, response: Response| {
        if request.path.contains("/registrations") {
            *kept.lock().unwrap() = Some(response.body.clone());
        }
        Ok(response)
    };
    let bob = device.another();
    bob.register_with("bob@localhost", bob.through(keeping)).await.result.unwrap();
    let body: serde_json::Value = serde_json::from_slice(answer_of_bob.lock().unwrap().as_ref().unwrap()).unwrap();

    let field = "provisional_credential";
    let swapped = device.through(replacing("/v1/as/registrations", field, body[field].clone()));
    let outcome = device.register_with(ALICE, swapped).await;
    assert!(matches!(outcome.result, Err(Error::CredentialForAnotherRequest)), "{}", outcome.error());
    assert!(!device.home.path().join("state").exists());
}

#[tokio::test]
async fn a_tampered_provisional_credential_or_opaque_response_is_refused() {
    let device = Device::new();
    let tampered = |field: &'static str| {
        device.through(move |request: &Request, mut response: Response| {
            if request.path.contains("/registrations") {
                let mut body: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
                let mut bytes: Bytes = serde_json::from_value(body[field].clone()).unwrap();
                let middle = bytes.0.len() / 2;
                bytes.0[middle] ^= 1;
                bytes.0.truncate(bytes.0.len() - usize::from(field.starts_with("opaque")));
                body[field] = json!(bytes);
                response.body = serde_json::to_vec(&body).unwrap();
            }
            Ok(response)
        })
    };
    let outcome = device.register_with(ALICE, tampered("provisional_credential")).await;
    assert!(matches!(outcome.result, Err(Error::ProvisionalCredentialRefused(_))), "{}", outcome.error());
    let outcome = device.register_with(ALICE, tampered("opaque_registration_response")).await;
    assert!(matches!(outcome.result, Err(Error::OpaqueResponseRefused(_))), "{}", outcome.error());
}

#[tokio::test]
async fn a_provisional_credential_is_no_client_credential() {
    let device = Device::new();
    interrupt_before_finish(&device).await;
    let answering = |request: &Request, mut response: Response| {
        if request.path.contains("/users/") {
            let request: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            response.body =
                serde_json::to_vec(&json!({ "client_credential": request["provisional_credential"] })).unwrap();
        }
        Ok(response)
    };
    let outcome = device.register_with(ALICE, device.through(answering)).await;
    assert!(matches!(outcome.result, Err(Error::ClientCredentialRefused(_))), "{}", outcome.error());
    // The registration is not lost for it.
    device.register(ALICE).await.result.unwrap();
}

#[tokio::test]
async fn a_clock_a_little_slow_is_no_obstacle() {
    let device = Device::new();
    let slow = Clock::manual(NOW.saturating_sub(Duration::from_secs(200)));
    device.register_with(ALICE, device.options().clock(slow)).await.result.unwrap();
}

#[tokio::test]
async fn a_clock_far_off_is_named() {
    let device = Device::new();
    interrupt_before_finish(&device).await;
    let slow = Clock::manual(NOW.saturating_sub(Duration::from_secs(301)));
    let dated = |_: &Request, mut response: Response| {
        response.headers.push(("date".into(), "Fri, 15 Jan 2027 08:00:00 GMT".into()));
        Ok(response)
    };
    let outcome = device.register_with(ALICE, device.through(dated).clock(slow)).await;
    let wanted = "the clock of this computer is wrong: it says 2027-01-15T07:54:59Z, \
                  the server's says Fri, 15 Jan 2027 08:00:00 GMT";
    assert_eq!(outcome.error(), wanted);
}

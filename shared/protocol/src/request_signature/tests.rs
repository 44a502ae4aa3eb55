use std::time::Duration;

use super::*;
use crate::keys::ClientCredentialKey;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
const TAG: &str = "vestibule:as:localhost";

fn request() -> CoveredRequest<'static> {
    CoveredRequest {
        method: "PUT",
        path: "/v1/as/users/alice@localhost",
        query: "",
        authorization: None,
        body: b"{\"a\":1}",
    }
}

fn key() -> SigningKey<ClientCredentialKey> {
    SigningKey::generate(&mut StdRng::seed_from_u64(1))
}

fn signed() -> SignatureFields<'static> {
    sign(request(), &key(), "alice", TAG, NOW, &mut StdRng::seed_from_u64(2))
}

fn checked(
    request: CoveredRequest<'_>,
    fields: &SignatureFields<'_>,
    now: Timestamp,
) -> Result<(), RequestSignatureError> {
    RequestSignature::check(request, fields, TAG, now)?.verify(&key().verifying_key())
}

#[test]
fn a_signed_request_verifies_and_names_its_key() {
    let fields = signed();
    assert_eq!(checked(request(), &fields, NOW), Ok(()));
    let signature = RequestSignature::check(request(), &fields, TAG, NOW).unwrap();
    assert_eq!(signature.key_id(), "alice");
}

#[test]
fn a_changed_method_path_query_or_body_is_noticed() {
    let fields = signed();
    let changed = |change: fn(&mut CoveredRequest<'_>)| {
        let mut request = request();
        change(&mut request);
        checked(request, &fields, NOW)
    };
    assert_eq!(changed(|request| request.method = "POST"), Err(RequestSignatureError::Invalid));
    assert_eq!(changed(|request| request.path = "/v1/as/users/bob@localhost"), Err(RequestSignatureError::Invalid));
    assert_eq!(changed(|request| request.query = "a=b"), Err(RequestSignatureError::Invalid));
    assert_eq!(changed(|request| request.body = b"{}"), Err(RequestSignatureError::DigestMismatch));
    let with_token = changed(|request| request.authorization = Some("PrivateToken token=\"\""));
    assert_eq!(with_token, Err(RequestSignatureError::CoverageInsufficient));
}

#[test]
fn an_authorization_that_is_sent_is_covered() {
    let request = CoveredRequest { authorization: Some("PrivateToken token=\"a\""), ..request() };
    let fields = sign(request, &key(), "alice", TAG, NOW, &mut StdRng::seed_from_u64(2));
    assert_eq!(checked(request, &fields, NOW), Ok(()));
    let other = CoveredRequest { authorization: Some("PrivateToken token=\"b\""), ..request };
    assert_eq!(checked(other, &fields, NOW), Err(RequestSignatureError::Invalid));
}

#[test]
fn a_signature_lasts_five_minutes_in_either_direction() {
    let fields = signed();
    for (seconds, fresh) in [(300, true), (301, false)] {
        let difference = Duration::from_secs(seconds);
        for now in [NOW.saturating_add(difference), NOW.saturating_sub(difference)] {
            let wanted = if fresh { Ok(()) } else { Err(RequestSignatureError::Stale) };
            assert_eq!(checked(request(), &fields, now), wanted, "{seconds}");
        }
    }
}

#[test]
fn a_signature_that_covers_less_or_says_less_is_refused() {
    let fields = signed();
    for (from, to) in [
        ("\"@query\" ", ""),
        ("\"@method\" \"@path\"", "\"@path\" \"@method\""),
        ("\"content-digest\"", "\"date\""),
        ("\"@path\"", "\"@path\";req"),
        (";tag=\"vestibule:as:localhost\"", ""),
        (";keyid=\"alice\"", ""),
        (";created=1800000000", ""),
        (";created=1800000000", ";created=-1"),
        (";created=1800000000", ";created=1800000000;expires=1800000001"),
    ] {
        assert!(fields.signature_input.contains(from), "{from}");
        let fields =
            SignatureFields { signature_input: fields.signature_input.replace(from, to).into(), ..fields.clone() };
        assert_eq!(checked(request(), &fields, NOW), Err(RequestSignatureError::CoverageInsufficient), "{to}");
    }
}

#[test]
fn a_tag_of_another_service_or_deployment_is_refused() {
    for tag in ["vestibule:qs:localhost", "vestibule:as:example.org", "vestibule:as:localhost.example"] {
        let fields = sign(request(), &key(), "alice", tag, NOW, &mut StdRng::seed_from_u64(2));
        assert_eq!(checked(request(), &fields, NOW), Err(RequestSignatureError::TagMismatch), "{tag}");
    }
}

#[test]
fn malformed_fields_are_refused() {
    let fields = signed();
    for garbage in ["", "sig", "sig=1", "other=(\"@method\")", "sig=:AA==:, b=:AA==:", "\u{e9}"] {
        for field in 0..3 {
            let mut fields = fields.clone();
            let place =
                [&mut fields.content_digest, &mut fields.signature_input, &mut fields.signature].into_iter().nth(field);
            *place.unwrap() = garbage.to_owned().into();
            assert_eq!(checked(request(), &fields, NOW), Err(RequestSignatureError::Malformed), "{garbage} {field}");
        }
    }
}

#[test]
fn parameters_may_come_in_another_order() {
    let parameters = "(\"@method\" \"@path\" \"@query\" \"content-digest\");tag=\"vestibule:as:localhost\";\
                      keyid=\"alice\";nonce=\"n\";created=1800000000";
    let digest = content_digest(request().body);
    let signature = key().sign(signature_base(&request(), &digest, parameters).as_bytes());
    let mut signature_field = DictSerializer::new();
    let _ = signature_field.bare_item(label(), signature.as_slice());
    let fields = SignatureFields {
        content_digest: digest.into(),
        signature_input: format!("sig={parameters}").into(),
        signature: signature_field.finish().unwrap().into(),
    };
    assert_eq!(checked(request(), &fields, NOW), Ok(()));
}

proptest::proptest! {
    #[test]
    fn no_field_makes_the_parser_panic(input in ".{0,200}", signature in ".{0,80}", digest in ".{0,80}") {
        let fields = SignatureFields {
            content_digest: digest.into(),
            signature_input: input.into(),
            signature: signature.into(),
        };
        proptest::prop_assert!(checked(request(), &fields, NOW).is_err());
    }
}

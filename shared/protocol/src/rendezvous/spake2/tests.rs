use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::Value;

use super::super::remembered_exchange::Entropy;
use super::super::{RandomString, RendezvousCode};
use super::*;

fn domain() -> Domain {
    "example.org".parse().unwrap()
}

fn pairing() -> Pairing {
    "27182-aardvark-breakaway".parse().unwrap()
}

fn start(role: Role, pairing: &Pairing, domain: &Domain) -> Exchange {
    Exchange::start(role, pairing, domain, &mut StdRng::seed_from_u64(role as u64))
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn messages_and_keys_are_those_of_the_python_package() {
    let vectors: Value = serde_json::from_str(include_str!("../../../../../docs/vectors/spake2.json")).unwrap();
    let vectors = vectors.as_array().unwrap();
    assert_eq!(vectors.len(), 4);
    for vector in vectors {
        let code = u32::try_from(vector["code"].as_u64().unwrap()).unwrap();
        let domain: Domain = vector["domain"].as_str().unwrap().parse().unwrap();
        let pairing = Pairing {
            code: RendezvousCode::from_number(code),
            random_string: RandomString::from_bytes(unhex(&vector["random_string"]).try_into().unwrap()),
        };
        assert_eq!(identity(Role::NewDevice, code, &domain), unhex(&vector["new_device_identity"]));
        assert_eq!(identity(Role::ExistingDevice, code, &domain), unhex(&vector["existing_device_identity"]));
        let exchange = |role, scalar| {
            let mut entropy = [0; 64];
            entropy[..32].copy_from_slice(&unhex(&vector[scalar]));
            Exchange::start(role, &pairing, &domain, &mut Entropy(entropy))
        };
        let new = exchange(Role::NewDevice, "new_device_scalar");
        let existing = exchange(Role::ExistingDevice, "existing_device_scalar");
        assert_eq!(new.message().to_vec(), unhex(&vector["new_device_message"]));
        assert_eq!(existing.message().to_vec(), unhex(&vector["existing_device_message"]));
        let (new_message, existing_message) = (*new.message(), *existing.message());
        for key in [new.finish(&existing_message), existing.finish(&new_message)] {
            assert_eq!(key.unwrap().as_bytes().to_vec(), unhex(&vector["key"]));
        }
    }
}

#[test]
fn another_word_code_or_deployment_gives_another_key() {
    let key_with = |pairing: &Pairing, domain: &Domain| {
        let new = start(Role::NewDevice, pairing, domain);
        let existing = start(Role::ExistingDevice, &self::pairing(), &self::domain());
        let existing_message = *existing.message();
        let keys = [existing.finish(new.message()), new.finish(&existing_message)];
        keys.map(|key| *key.unwrap().as_bytes())
    };
    let [same, same_too] = key_with(&pairing(), &domain());
    assert_eq!(same, same_too);
    for (text, domain) in [
        ("27182-aardvark-yucatan", "example.org"),
        ("27183-aardvark-breakaway", "example.org"),
        ("27182-aardvark-breakaway", "example.net"),
    ] {
        let [existing, new] = key_with(&text.parse().unwrap(), &domain.parse().unwrap());
        assert_ne!(existing, new);
    }
}

#[test]
fn only_points_of_the_right_order_in_their_one_encoding_are_taken() {
    let refused = |message: &[u8]| {
        let exchange = start(Role::NewDevice, &pairing(), &domain());
        exchange.finish(message).map(|_| ()).unwrap_err()
    };
    let point = |bytes: [u8; 32]| [&[b'B'][..], &bytes].concat();
    let good = *start(Role::ExistingDevice, &pairing(), &domain()).message();
    assert_eq!(refused(&[]), MessageError::Length);
    assert_eq!(refused(&good[..32]), MessageError::Length);
    assert_eq!(refused(&[&good[..], &[0]].concat()), MessageError::Length);
    let reflected = *start(Role::NewDevice, &pairing(), &domain()).message();
    assert_eq!(refused(&reflected), MessageError::Side);

    // The eight points of small order, the identity among them.
    for torsion in curve25519_dalek::constants::EIGHT_TORSION {
        assert_eq!(refused(&point(torsion.compress().0)), MessageError::Order);
    }
    // A good point with a component of small order.
    let good_point = CompressedEdwardsY::from_slice(&good[1..]).unwrap().decompress().unwrap();
    for torsion in &curve25519_dalek::constants::EIGHT_TORSION[1..] {
        assert_eq!(refused(&point((good_point + torsion).compress().0)), MessageError::Order);
    }
    // y = p + 1 is the identity again, in a second encoding; so is y = 1 with a sign.
    let mut beyond = [0xff; 32];
    (beyond[0], beyond[31]) = (0xee, 0x7f);
    assert!(CompressedEdwardsY(beyond).decompress().is_some());
    assert_eq!(refused(&point(beyond)), MessageError::Encoding);
    let mut signed = [0; 32];
    (signed[0], signed[31]) = (1, 0x80);
    assert!(matches!(refused(&point(signed)), MessageError::Encoding));
    // No point has this y.
    let mut none = [0; 32];
    none[0] = 2;
    assert!(CompressedEdwardsY(none).decompress().is_none());
    assert_eq!(refused(&point(none)), MessageError::Encoding);
}

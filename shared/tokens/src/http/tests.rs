use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use vestibule_protocol::request_signature::Service;

use super::*;
use crate::{IssuerPrivateKey, TOKEN_LENGTH};

fn token() -> Token {
    let mut bytes = [0xfb; TOKEN_LENGTH];
    bytes[..2].copy_from_slice(&[0, 5]);
    Token::from_bytes(&bytes).unwrap()
}

fn challenge() -> TokenChallenge {
    TokenChallenge::of(Service::Queuing, &"example.org".parse().unwrap())
}

fn public_key() -> TokenPublicKey {
    IssuerPrivateKey::generate(&mut StdRng::seed_from_u64(1)).public_key()
}

#[test]
fn a_token_is_presented_and_read() {
    let value = authorization(&token());
    assert!(value.starts_with("PrivateToken token=\"AAX7-_v7"), "{}", *value);
    assert_eq!(read_authorization(&value).unwrap().unwrap().as_bytes(), token().as_bytes());
}

#[test]
fn a_token_is_read_however_the_header_may_be_written() {
    let quoted = authorization(&token());
    let encoded = quoted.split('"').nth(1).unwrap();
    for value in [
        format!("PrivateToken token={encoded}"),
        format!("privatetoken   Token = \"{encoded}\""),
        format!("PrivateToken token=\"{encoded}\", hint=1"),
        format!(" PrivateToken\textension=\"a, b\",token={encoded} "),
    ] {
        let read = read_authorization(&value).unwrap().unwrap();
        assert_eq!(read.as_bytes(), token().as_bytes(), "{value}");
    }
}

#[test]
fn a_header_that_is_not_one_tokens_is_refused() {
    let quoted = authorization(&token());
    let encoded = quoted.split('"').nth(1).unwrap();
    for value in [
        String::new(),
        "PrivateToken".to_owned(),
        "PrivateToken token=".to_owned(),
        "PrivateToken token=\"\"".to_owned(),
        "PrivateToken token=\"AAU\"".to_owned(),
        format!("PrivateToken {encoded}"),
        format!("PrivateToken token=\"{encoded}"),
        format!("PrivateToken token=\"{}\"", &encoded[4..]),
        format!("PrivateToken token=\"{}\"", encoded.replacen("AAX", "AAH", 1)),
        format!("PrivateToken token=\"{}\"", encoded.replace('-', "+")),
        format!("PrivateToken token=\"{encoded}\", token=\"{encoded}\""),
        format!("PrivateToken token=\"{encoded}\", PrivateToken token=\"{encoded}\""),
        format!("PrivateToken token=\"{encoded}\" x"),
        format!("PrivateToken token=\"\\{encoded}\""),
        format!("PrivateToken token=\"{encoded}\","),
        format!("token=\"{encoded}\""),
    ] {
        assert_eq!(read_authorization(&value).err(), Some(MalformedHeader), "{value}");
    }
}

#[test]
fn another_scheme_presents_no_token() {
    assert!(read_authorization("Digest username=\"alice\", uri=\"/\"").unwrap().is_none());
    assert!(read_authorization("Negotiate").unwrap().is_none());
    assert!(read_authorization("Basic YWxpY2U6c2VjcmV0").unwrap().is_none());
    assert!(read_authorization("\tBearer AA==, and so on").unwrap().is_none());
}

#[test]
fn a_challenge_is_offered_and_read() {
    let value = www_authenticate(&challenge_members(&challenge(), &public_key()));
    let [read] = &read_www_authenticate(&value).unwrap()[..] else { panic!("{value}") };
    assert!(read.is(&challenge()));
    assert_eq!(read.public_key(), Some(public_key()));
    let members = challenge_members(&challenge(), &public_key());
    assert!(members.token_key.ends_with('='), "padding is part of the form");
    assert_eq!(ReceivedChallenge::of_problem(&members).as_ref(), Ok(read));
}

#[test]
fn challenges_for_tokens_are_found_among_others() {
    let ours = www_authenticate(&challenge_members(&challenge(), &public_key()));
    let value = format!("Signature, {ours}, max-age=10, Digest realm=\"a=b, c\", {ours}");
    let read = read_www_authenticate(&value).unwrap();
    assert_eq!(read.len(), 2);
    assert!(read.iter().all(|read| read.is(&challenge())));
    assert_eq!(read_www_authenticate("Signature").unwrap(), []);
    assert_eq!(read_www_authenticate("PrivateToken challenge=AAAA"), Err(MalformedHeader));
    assert_eq!(read_www_authenticate("PrivateToken challenge=AAAA, token-key=\"*\""), Err(MalformedHeader));
    let unquoted = read_www_authenticate("PrivateToken challenge=AAA=, token-key=AA==").unwrap();
    assert_eq!(unquoted, [ReceivedChallenge { challenge: vec![0; 2], token_key: vec![0] }]);
}

proptest! {
    #[test]
    fn no_header_makes_a_reader_panic(value in "\\PC{0,80}") {
        let _ = read_authorization(&value);
        let _ = read_www_authenticate(&value);
    }

    #[test]
    fn no_header_of_the_schemes_own_characters_makes_a_reader_panic(
        value in r#"(PrivateToken|token|challenge|token-key|AA|[ ,="\\\t-]){0,20}"#,
    ) {
        let _ = read_authorization(&value);
        let _ = read_www_authenticate(&value);
    }

    #[test]
    fn every_token_survives_its_header(tail in prop::collection::vec(any::<u8>(), TOKEN_LENGTH - 2)) {
        let token = Token::from_bytes(&[&[0, 5], &tail[..]].concat()).unwrap();
        let read = read_authorization(&authorization(&token)).unwrap().unwrap();
        prop_assert_eq!(read.as_bytes(), token.as_bytes());
    }

    #[test]
    fn a_header_with_another_character_is_refused_or_another_token(at in 0..240_usize, character in "[ -~]") {
        let value = authorization(&token());
        let at = at % value.len();
        let altered = format!("{}{character}{}", &value[..at], &value[at + 1..]);
        prop_assume!(altered != *value);
        if let Ok(Some(read)) = read_authorization(&altered) {
            let is_case_of_a_name = altered.eq_ignore_ascii_case(&value);
            prop_assert!(is_case_of_a_name || read.as_bytes() != token().as_bytes());
        }
    }
}

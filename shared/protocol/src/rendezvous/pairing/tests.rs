use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::*;

fn pairing(code: u32, bytes: [u8; 2]) -> Pairing {
    Pairing { code: RendezvousCode::from_number(code), random_string: RandomString(bytes) }
}

fn read(text: &str) -> Result<Pairing, PairingError> {
    text.parse()
}

#[test]
fn a_pairing_is_shown_in_three_forms() {
    let shown = pairing(27182, [0, 29]);
    assert_eq!(*shown.to_words(), "27182-aardvark-breakaway");
    assert_eq!(*shown.to_digits(), "27182-00029");
    assert_eq!(*shown.to_uri(), "vestibule:link/27182-00029");
}

#[test]
fn a_person_may_type_it_in_any_case_with_spaces_and_short_words() {
    for text in [
        "27182-aardvark-breakaway",
        "  27182 AARDVARK Breakaway\n",
        "27182 - aa - breaka",
        "27182--aardvark  breakaway-",
        "27182-00029",
        "27182 00029",
        "vestibule:link/27182-00029",
        "VESTIBULE:LINK/27182-00029",
        "vestibule:link/27182-aardvark-breakaway",
    ] {
        assert_eq!(read(text), Ok(pairing(27182, [0, 29])), "{text:?}");
    }
}

#[test]
fn a_typing_mistake_is_said_precisely() {
    use PairingError::{AmbiguousWord, Code, Digits, Incomplete, SwappedWords, TooLong, UnknownWord};
    for (text, error) in [
        ("", Incomplete),
        (" - ", Incomplete),
        ("27182", Incomplete),
        ("27182-aardvark", Incomplete),
        ("27182-aardvark-breakaway-more", TooLong),
        ("27182-00029-breakaway", TooLong),
        ("aardvark-breakaway-27182", Code(RendezvousCodeError::NotANumber)),
        ("27l82-aardvark-breakaway", Code(RendezvousCodeError::NotANumber)),
        ("027182-aardvark-breakaway", Code(RendezvousCodeError::LeadingZero)),
        ("99999999999-aardvark-breakaway", Code(RendezvousCodeError::TooLarge)),
        ("27182-aardwark-breakaway", UnknownWord(WordPosition::First)),
        ("27182-aardvark-breakawaz", UnknownWord(WordPosition::Second)),
        ("27182-aardvarks-breakaway", UnknownWord(WordPosition::First)),
        ("27182-a-breakaway", AmbiguousWord(WordPosition::First)),
        ("27182-aardvark-b", AmbiguousWord(WordPosition::Second)),
        ("27182-breakaway-aardvark", SwappedWords),
        ("27182-aardvark-aardvark", UnknownWord(WordPosition::Second)),
        ("27182-29", Digits),
        ("27182-000029", Digits),
        ("27182-65536", Digits),
        ("vestibule:other/27182-00029", Code(RendezvousCodeError::NotANumber)),
    ] {
        assert_eq!(read(text), Err(error), "{text:?}");
    }
}

#[test]
fn a_pairing_and_its_errors_do_not_print_the_secret() {
    assert_eq!(format!("{:?}", pairing(7, [0, 29])), "Pairing { code: 7, random_string: RandomString }");
    let error = read("27182-aardvark-breakawaz").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("breakawaz"));
}

#[test]
fn fresh_random_strings_differ() {
    let rng = &mut StdRng::seed_from_u64(1);
    assert_ne!(RandomString::generate(rng), RandomString::generate(rng));
}

proptest! {
    #[test]
    fn every_form_is_read_back(code: u32, bytes: [u8; 2]) {
        let shown = pairing(code, bytes);
        prop_assert_eq!(read(&shown.to_words()), Ok(shown.clone()));
        prop_assert_eq!(read(&shown.to_digits()), Ok(shown.clone()));
        prop_assert_eq!(read(&shown.to_uri()), Ok(shown.clone()));
        prop_assert_eq!(read(&shown.to_uri().to_uppercase()), Ok(shown));
    }

    #[test]
    fn words_cut_short_mean_the_same_or_are_said_to_be_too_short(bytes: [u8; 2], cuts in (1..10usize, 1..10usize)) {
        let [first, second] = RandomString(bytes).words();
        let cut = |word: &str, length: usize| word[..word.len().min(length)].to_owned();
        let outcome = read(&format!("1 {} {}", cut(first, cuts.0), cut(second, cuts.1)));
        match outcome {
            Ok(read) => prop_assert_eq!(read, pairing(1, bytes)),
            Err(error) => prop_assert!(matches!(error, PairingError::AmbiguousWord(_)), "{:?}", error),
        }
    }

    #[test]
    fn swapped_words_are_said_to_be_swapped(bytes: [u8; 2]) {
        let [first, second] = RandomString(bytes).words();
        prop_assert_eq!(read(&format!("1-{second}-{first}")), Err(PairingError::SwappedWords));
    }

    #[test]
    fn no_text_brings_the_reader_down(text in "\\PC{0,60}", tail in "[0-9a-zA-Z -]{0,30}") {
        let _ = read(&text);
        let _ = read(&format!("vestibule:link/{tail}"));
        if let Ok(pairing) = read(&tail) {
            prop_assert_eq!(read(&pairing.to_words()), Ok(pairing));
        }
    }
}

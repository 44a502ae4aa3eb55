//! Authentication schemes with their parameters: `Scheme name=value, name="value", Other-Scheme …`.
//!
//! Both values of `WWW-Authenticate` and of `Authorization` are read with this. It takes no `token68` (`Basic dXNlcg==`): of
//! a scheme that has one no more than the name can be read.

/// A scheme and its parameters.
pub(super) struct Scheme<'a> {
    /// Its name, to be compared without regard to case.
    pub(super) name: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Scheme<'a> {
    /// The value of a parameter; `None` if it is missing.
    pub(super) fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }
}

/// The name of the scheme that a header field's value begins with, whatever follows; `None` if it begins otherwise.
pub(super) fn first_scheme(value: &str) -> Option<&str> {
    let (name, rest) = token(trimmed(value))?;
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then_some(name)
}

/// Reads a header field's value; `None` if it does not parse or names a parameter twice.
pub(super) fn read(value: &str) -> Option<Vec<Scheme<'_>>> {
    let mut schemes: Vec<Scheme<'_>> = Vec::new();
    let mut rest = trimmed(value);
    loop {
        let (word, after_word) = token(rest)?;
        if let Some(after_equals) = trimmed(after_word).strip_prefix('=') {
            let (text, after_value) = parameter_value(trimmed(after_equals))?;
            let scheme = schemes.last_mut()?;
            if scheme.parameter(word).is_some() {
                return None;
            }
            scheme.parameters.push((word, text));
            rest = trimmed(after_value);
        } else {
            schemes.push(Scheme { name: word, parameters: Vec::new() });
            rest = trimmed(after_word);
            // Its first parameter follows after a space; whatever else comes next follows after a comma.
            if rest.len() < after_word.len() && !rest.is_empty() && !rest.starts_with(',') {
                continue;
            }
        }
        if rest.is_empty() {
            return Some(schemes);
        }
        rest = trimmed(rest.strip_prefix(',')?);
    }
}

/// A quoted string or a token that may end in the `=` of base64, and the rest. A quoted string with escapes, which no
/// base64url needs, is none.
fn parameter_value(text: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, rest) = quoted.split_once('"')?;
        let is_plain = |character: char| character == ' ' || (character.is_ascii_graphic() && character != '\\');
        return value.chars().all(is_plain).then_some((value, rest));
    }
    let (word, rest) = token(text)?;
    let padding = rest.len() - rest.trim_start_matches('=').len();
    Some(text.split_at(word.len() + padding))
}

/// A token of RFC 9110, section 5.6.2, and the rest.
fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |character: char| character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character);
    let end = text.find(|character| !is_token(character)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn trimmed(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

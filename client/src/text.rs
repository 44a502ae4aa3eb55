//! Text for people and scripts.

use vestibule_protocol::time::Timestamp;

/// The most characters of someone else's text that are shown.
const MAX_SHOWN_LENGTH: usize = 400;

/// What somebody wrote, fit for one line of a terminal: without control characters, which could move the cursor or forge
/// lines.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// What a server (or whoever answers in its place) wrote, fit for one line of a terminal: without control characters,
/// which could move the cursor or forge lines, and not too long.
pub(crate) fn one_line(text: &str) -> String {
    let shown: String = text.chars().take(MAX_SHOWN_LENGTH).collect();
    printable(&shown).trim().to_owned()
}

/// `time` as RFC 3339 writes it, in UTC: `2027-01-15T08:00:00Z`.
pub(crate) fn rfc_3339(time: Timestamp) -> String {
    time.rfc_3339().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_text_cannot_leave_its_line() {
        assert_eq!(one_line("taken\r\nerror: \u{1b}[2Jgone\u{7}"), "taken  error:  [2Jgone");
        assert_eq!(one_line(&"a".repeat(1000)).len(), MAX_SHOWN_LENGTH);
    }
}

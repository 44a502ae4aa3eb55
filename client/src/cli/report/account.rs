//! What `vestibule account` and `vestibule tokens` say.

use serde::Serialize;
use vestibule_protocol::name::UserName;

use super::Report;
use crate::deletion::DeletedAccount;
use crate::error::Error;
use crate::text::rfc_3339;
use crate::tokens::Tokens;

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Event<'a> {
    AccountDeleted {
        user_name: &'a str,
        pseudonym_left: bool,
    },
    Tokens {
        #[serde(flatten)]
        tokens: ListedTokens,
    },
}

/// What a wallet holds, for scripts.
#[derive(Serialize)]
pub(super) struct ListedTokens {
    available: usize,
    next_allowance_at: Option<String>,
}

impl ListedTokens {
    pub(super) fn of(tokens: &Tokens) -> Self {
        Self { available: tokens.available, next_allowance_at: tokens.next_allowance_at.map(rfc_3339) }
    }
}

impl Report<'_> {
    /// What there is to be decided. Scripts have decided.
    pub(in crate::cli) fn deletion_warning(&mut self, user_name: &UserName) {
        let _ = writeln!(
            self.stderr,
            "This deletes the account {user_name} for good, on all of its devices, with its storage key and whatever only \
             that opens."
        );
    }

    /// An account is deleted.
    pub(in crate::cli) fn account_deleted(&mut self, deleted: &DeletedAccount) {
        let DeletedAccount { user_name, is_pseudonym_left } = deleted;
        if self.json {
            let user_name = user_name.as_str();
            return self.event(&Event::AccountDeleted { user_name, pseudonym_left: *is_pseudonym_left });
        }
        let _ = writeln!(self.stdout, "Deleted. {user_name} is no more, and this device is nobody's.");
        if *is_pseudonym_left {
            let _ = writeln!(
                self.stdout,
                "What the queuing service has is left: another device changed the key for it and did not tell. It leads \
                 nobody to you, and `vestibule account delete` on that device removes it."
            );
        }
    }

    /// How many tokens there are.
    pub(in crate::cli) fn tokens(&mut self, tokens: &Tokens) {
        if self.json {
            return self.event(&Event::Tokens { tokens: ListedTokens::of(tokens) });
        }
        let _ = writeln!(self.stdout, "{}", tokens_in_words(tokens));
    }
}

/// What a wallet holds, in a line.
fn tokens_in_words(tokens: &Tokens) -> String {
    let next = tokens.next_allowance_at.map(|at| format!("; more can be taken at {}", rfc_3339(at)));
    format!("{} left to pay with{}", tokens.available, next.unwrap_or_default())
}

/// What `vestibule status` says of the tokens, in a line.
pub(super) fn tokens_or_error_in_words(tokens: &Result<Tokens, Error>) -> String {
    tokens.as_ref().map_or_else(|error| format!("not known: {error}"), tokens_in_words)
}

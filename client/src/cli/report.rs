//! What a command says: to people in words, to scripts in JSON.

use std::io::{self, Write};
use std::time::Duration;

use indicatif::ProgressBar;
use serde::Serialize;
use vestibule_protocol::friendship::FriendshipCode;
use vestibule_protocol::key_server::{AuditEntry, Chain, StorageKey};
use vestibule_protocol::queuing::{QsClientId, QsUserId};

use super::CommandError;
use crate::client::{Registered, Status};
use crate::error::Error;
use crate::home::to_secret_json;
use crate::identity::DeviceChange;
use crate::key_server::AuditLog;
use crate::queuing::{ClaimedKeyPackage, KeyPackageSupply, Published};
use crate::registration::{Progress, StageState};
use crate::text::rfc_3339;
use crate::tokens::Tokens;

mod account;
mod devices;
mod linking;
mod messages;

use account::{ListedTokens, tokens_or_error_in_words};
use devices::{ListedChange, changes_in_words};

/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(100);

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Event<'a> {
    Stage {
        name: &'a str,
        state: &'a str,
    },
    Registered {
        user_name: &'a str,
        client_id: &'a str,
        qs_user_id: QsUserId,
        qs_client_id: QsClientId,
    },
    Status {
        user_name: &'a str,
        device: &'a str,
        credential_expires_at: &'a str,
        device_changes: Option<Vec<ListedChange<'a>>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        device_changes_problem: Option<String>,
        key_packages: Option<Supply>,
        #[serde(skip_serializing_if = "Option::is_none")]
        key_packages_problem: Option<String>,
        tokens: Option<ListedTokens>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tokens_problem: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        connection_packages_problem: Option<String>,
    },
    Published {
        count: usize,
        last_resort: bool,
    },
    FriendshipCode {
        code: &'a str,
    },
    Claimed {
        packages: Vec<Package<'a>>,
    },
    StorageKey {
        fingerprint: String,
    },
    PasswordChanged {},
    Audit {
        entries: Vec<Entry>,
        chain: &'a str,
    },
    Unlocked {
        user_name: &'a str,
    },
    Error {
        problem: &'a str,
        detail: &'a str,
    },
}

#[derive(Serialize)]
struct Supply {
    remaining: u64,
    last_resort_uses: u64,
}

#[derive(Serialize)]
struct Package<'a> {
    key_package_ref: String,
    last_resort: bool,
    user_name: &'a str,
}

impl<'a> Package<'a> {
    fn of(claimed: &'a ClaimedKeyPackage) -> Self {
        Self {
            key_package_ref: claimed.key_package_ref.to_string(),
            last_resort: claimed.is_last_resort,
            user_name: claimed.client_id.user_name.as_str(),
        }
    }
}

#[derive(Serialize)]
struct Entry {
    sequence: u64,
    at: String,
    action: &'static str,
    outcome: &'static str,
}

impl Entry {
    fn of(entry: &AuditEntry) -> Self {
        let AuditEntry { sequence, at, action, outcome, .. } = *entry;
        Self { sequence, at: rfc_3339(at), action: action.name(), outcome: outcome.name() }
    }
}

/// Where a command's words go. That nobody reads them is no reason to stop: write errors are ignored.
pub(super) struct Report<'a> {
    stdout: &'a mut (dyn Write + Send),
    stderr: &'a mut (dyn Write + Send),
    json: bool,
    /// Drawn on stderr; hidden unless a person watches.
    spinner: ProgressBar,
    has_progressed: bool,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        stdout: &'a mut (dyn Write + Send),
        stderr: &'a mut (dyn Write + Send),
        json: bool,
        is_watched: bool,
    ) -> Self {
        let spinner = if is_watched && !json { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        Self { stdout, stderr, json, spinner, has_progressed: false }
    }

    /// The spinner, to be suspended while somebody is asked something.
    pub(super) fn spinner(&self) -> ProgressBar {
        self.spinner.clone()
    }

    /// A stage of a registration began or is done.
    pub(super) fn progress(&mut self, progress: Progress) {
        self.has_progressed = true;
        let Progress { stage, state } = progress;
        if self.json {
            self.event(&Event::Stage { name: stage.name(), state: state.name() });
        } else if self.spinner.is_hidden() {
            let line = match state {
                StageState::Started => format!("{}: {}", stage.name(), stage.title()),
                StageState::Resumed => format!("{}: {}, where the last run stopped", stage.name(), stage.title()),
                StageState::Done => format!("{}: done", stage.name()),
            };
            let _ = writeln!(self.stdout, "{line}");
        } else if state == StageState::Done {
            self.spinner.println(format!("✓ {}", stage.title()));
        } else {
            self.spinner.set_message(stage.title());
            self.spinner.enable_steady_tick(TICK);
        }
    }

    /// A user is registered.
    pub(super) fn registered(&mut self, registered: &Registered, status: &Status) {
        self.spinner.finish_and_clear();
        let user_name = registered.user_name.as_str();
        if self.json {
            let client_id = registered.client_id.to_string();
            let Registered { qs_user_id, qs_client_id, .. } = *registered;
            return self.event(&Event::Registered { user_name, client_id: &client_id, qs_user_id, qs_client_id });
        }
        let is_new = if self.has_progressed { "Welcome! You are" } else { "You are already" };
        let expires_at = rfc_3339(status.credential_validity.not_after);
        let _ = writeln!(self.stdout, "{is_new} registered as {user_name}.");
        let _ = writeln!(
            self.stdout,
            "This device is '{}'; its credential is valid until {expires_at}.",
            status.device_name
        );
    }

    /// Who this device is, and what is known of the user's other devices and of its supplies of KeyPackages and tokens.
    pub(super) fn status(
        &mut self,
        status: &Status,
        changes: &Result<Vec<DeviceChange>, Error>,
        supply: &Result<KeyPackageSupply, Error>,
        tokens: &Result<Tokens, Error>,
        connection_packages: Option<&Error>,
    ) {
        let expires_at = rfc_3339(status.credential_validity.not_after);
        if self.json {
            return self.event(&Event::Status {
                user_name: status.user_name.as_str(),
                device: status.device_name.as_str(),
                credential_expires_at: &expires_at,
                device_changes: changes.as_ref().ok().map(|changes| changes.iter().map(ListedChange::of).collect()),
                device_changes_problem: changes.as_ref().err().map(Error::urn),
                key_packages: supply.as_ref().ok().map(|&KeyPackageSupply { remaining, last_resort_uses, .. }| {
                    Supply { remaining, last_resort_uses }
                }),
                key_packages_problem: supply.as_ref().err().map(Error::urn),
                tokens: tokens.as_ref().ok().map(ListedTokens::of),
                tokens_problem: tokens.as_ref().err().map(Error::urn),
                connection_packages_problem: connection_packages.map(Error::urn),
            });
        }
        let packages = match supply {
            Ok(KeyPackageSupply { remaining, last_resort_uses: 0, .. }) => format!("{remaining} left to be claimed"),
            Ok(KeyPackageSupply { remaining, last_resort_uses, .. }) => {
                format!("{remaining} left to be claimed; the last-resort one was claimed {last_resort_uses} times")
            }
            Err(error) => format!("not known: {error}"),
        };
        let contact = connection_packages.map(|error| ("contact", format!("strangers may not reach you: {error}")));
        let validity = if status.is_credential_valid { "valid until" } else { "not valid now; it ends on" };
        for (name, value) in [
            ("user", status.user_name.to_string()),
            ("device", status.device_name.clone()),
            ("client", status.client_id.to_string()),
            ("credential", format!("{validity} {expires_at}")),
            ("devices", changes_in_words(changes)),
            ("packages", packages),
            ("tokens", tokens_or_error_in_words(tokens)),
            ("server", status.server.to_string()),
            ("root", status.trusted_root.to_string()),
        ]
        .into_iter()
        .chain(contact)
        {
            let _ = writeln!(self.stdout, "{name:<11} {value}");
        }
    }

    /// KeyPackages are published.
    pub(super) fn published(&mut self, published: &Published) {
        let count = published.count;
        if self.json {
            // There is no publication without one.
            return self.event(&Event::Published { count, last_resort: true });
        }
        let _ = writeln!(self.stdout, "Published {count} KeyPackages and a last-resort one.");
    }

    /// What to give to friends: for people the code and nothing else, to be copied or piped.
    pub(super) fn friendship_code(&mut self, code: &FriendshipCode) {
        let code = code.to_text();
        if self.json {
            return self.event(&Event::FriendshipCode { code: &code });
        }
        let _ = writeln!(self.stdout, "{}", code.as_str());
    }

    /// A friend's KeyPackages, and whose they are.
    pub(super) fn claimed(&mut self, claimed: &[ClaimedKeyPackage]) {
        if self.json {
            return self.event(&Event::Claimed { packages: claimed.iter().map(Package::of).collect() });
        }
        for ClaimedKeyPackage { key_package_ref, is_last_resort, client_id, .. } in claimed {
            let note = if *is_last_resort { ", the last-resort one: others may have it too" } else { "" };
            let _ = writeln!(self.stdout, "{}: KeyPackage {key_package_ref}{note}", client_id.user_name);
        }
    }

    /// The storage key was fetched.
    pub(super) fn storage_key(&mut self, storage_key: &StorageKey) {
        let fingerprint = storage_key.fingerprint().to_string();
        if self.json {
            return self.event(&Event::StorageKey { fingerprint });
        }
        let _ = writeln!(self.stdout, "{fingerprint}");
    }

    /// The password was changed.
    pub(super) fn password_changed(&mut self) {
        if self.json {
            return self.event(&Event::PasswordChanged {});
        }
        let _ = writeln!(self.stdout, "Your password is changed. Your storage key is the same as before.");
    }

    /// An audit log.
    pub(super) fn audit(&mut self, log: &AuditLog) {
        let entries: Vec<_> = log.entries.iter().map(Entry::of).collect();
        if self.json {
            return self.event(&Event::Audit { entries, chain: log.chain.name() });
        }
        for Entry { sequence, at, action, outcome } in entries {
            let _ = writeln!(self.stdout, "{sequence:>6}  {at}  {action:<22}  {outcome}");
        }
        let meaning = match log.chain {
            Chain::Intact => "the log goes on from what this device saw last",
            Chain::Altered => "SOMEBODY HAS CHANGED THE LOG, or cut entries off, since this device saw it last",
            Chain::Unknown => "this device has seen nothing before that it could be compared with",
        };
        let _ = writeln!(self.stdout, "{:<7} {meaning}", format!("{}:", log.chain.name()));
    }

    /// The home is open; `is_new` if it was not before.
    pub(super) fn unlocked(&mut self, user_name: &str, is_new: bool) {
        if self.json {
            return self.event(&Event::Unlocked { user_name });
        }
        let state = if is_new { "is open again" } else { "is not locked" };
        let _ = writeln!(self.stdout, "The home of {user_name} {state}.");
    }

    /// The command failed.
    pub(super) fn error(&mut self, error: &CommandError) {
        self.spinner.finish_and_clear();
        let detail = error.to_string();
        if self.json {
            self.event(&Event::Error { problem: &error.urn(), detail: &detail });
        }
        let _ = writeln!(self.stderr, "error: {detail}");
    }

    /// A line of `--json`. Some have secrets in them.
    fn event(&mut self, event: &impl Serialize) {
        let _ = self.try_event(event);
    }

    /// The same, where it matters whether it could be written.
    fn try_event(&mut self, event: &impl Serialize) -> io::Result<()> {
        let line = to_secret_json(event);
        self.stdout.write_all(&line)?;
        self.stdout.write_all(b"\n")?;
        self.stdout.flush()
    }
}

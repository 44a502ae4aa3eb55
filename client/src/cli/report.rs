//! What a command says: to people in words, to scripts in JSON.

use std::io::Write;
use std::time::Duration;

use indicatif::ProgressBar;
use serde::Serialize;
use vestibule_protocol::queuing::{QsClientId, QsUserId};

use super::CommandError;
use crate::client::{Registered, Status};
use crate::registration::{Progress, StageState};
use crate::text::rfc_3339;

/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(100);

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Event<'a> {
    Stage { name: &'a str, state: &'a str },
    Registered { user_name: &'a str, client_id: &'a str, qs_user_id: QsUserId, qs_client_id: QsClientId },
    Status { user_name: &'a str, device: &'a str, credential_expires_at: &'a str },
    Error { problem: &'a str, detail: &'a str },
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

    /// Who this device is.
    pub(super) fn status(&mut self, status: &Status) {
        let expires_at = rfc_3339(status.credential_validity.not_after);
        if self.json {
            let (user_name, device) = (status.user_name.as_str(), status.device_name.as_str());
            return self.event(&Event::Status { user_name, device, credential_expires_at: &expires_at });
        }
        let validity = if status.is_credential_valid { "valid until" } else { "not valid now; it ends on" };
        for (name, value) in [
            ("user", status.user_name.to_string()),
            ("device", status.device_name.clone()),
            ("client", status.client_id.to_string()),
            ("credential", format!("{validity} {expires_at}")),
            ("server", status.server.to_string()),
            ("root", status.trusted_root.to_string()),
        ] {
            let _ = writeln!(self.stdout, "{name:<11} {value}");
        }
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

    fn event(&mut self, event: &Event<'_>) {
        let line = serde_json::to_string(event).expect("an event is made of what JSON can say");
        let _ = writeln!(self.stdout, "{line}");
        let _ = self.stdout.flush();
    }
}

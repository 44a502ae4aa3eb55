//! What `vestibule rendezvous` says.

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde::Serialize;
use vestibule_protocol::rendezvous::{EndReason, Pairing};
use vestibule_protocol::time::Timestamp;
use zeroize::Zeroizing;

use super::Report;
use crate::text::rfc_3339;

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Event<'a> {
    Code { words: &'a str, digits: &'a str, uri: &'a str, expires_at: &'a str },
    PeerJoined,
    Secured,
    Message { text: &'a str },
    Finished,
    Aborted { reason: &'a str },
}

impl Report<'_> {
    /// What is to be typed or scanned on the other device.
    pub(in crate::cli) fn code(&mut self, pairing: &Pairing, expires_at: Timestamp) {
        let (words, digits, uri) = (pairing.to_words(), pairing.to_digits(), pairing.to_uri());
        let qr_code = Zeroizing::new(qr_code(&uri));
        let expires_at = rfc_3339(expires_at);
        let lines = Zeroizing::new(format!(
            "On the other device, run\n\n    vestibule rendezvous join {words}\n\n\
             or type {digits} in place of the words, or scan\n\n{qr_code}\n\n\
             Show it to nobody. It is good until {expires_at}, and once. Waiting for the other device.",
            words = words.as_str(),
            digits = digits.as_str(),
            qr_code = qr_code.as_str(),
        ));
        self.say(&Event::Code { words: &words, digits: &digits, uri: &uri, expires_at: &expires_at }, &lines);
    }

    /// The other device has connected, or so the relay says.
    pub(in crate::cli) fn peer_joined(&mut self) {
        self.say(&Event::PeerJoined, "The other device is there.");
    }

    /// Both devices have confirmed their keys.
    pub(in crate::cli) fn secured(&mut self) {
        self.say(&Event::Secured, "The connection is secured: nobody else reads it.");
    }

    /// The other device's line.
    pub(in crate::cli) fn message(&mut self, text: &str) {
        self.say(&Event::Message { text }, &format!("It says: {text}"));
    }

    /// Both devices have said all.
    pub(in crate::cli) fn finished(&mut self) {
        self.say(&Event::Finished, "Done: each device has the other's line.");
    }

    /// It ended before that. People are told by the error.
    pub(in crate::cli) fn aborted(&mut self, reason: &EndReason) {
        if self.json {
            self.say(&Event::Aborted { reason: name(reason) }, "");
        }
    }

    fn say(&mut self, event: &Event<'_>, lines: &str) {
        if self.json {
            let line = serde_json::to_string(event).expect("an event is made of what JSON can say");
            let line = Zeroizing::new(line);
            let _ = writeln!(self.stdout, "{}", line.as_str());
        } else {
            let _ = writeln!(self.stdout, "{lines}");
        }
        let _ = self.stdout.flush();
    }
}

/// A reason's name, for scripts.
fn name(reason: &EndReason) -> &'static str {
    match reason {
        EndReason::ConnectionEnded => "connection-ended",
        EndReason::Cancelled => "cancelled",
        EndReason::PeerCancelled => "peer-cancelled",
        EndReason::Expired => "expired",
        EndReason::StateLost => "state-lost",
        EndReason::Tampered => "tampered",
        EndReason::RelayMisbehaved => "relay-misbehaved",
        EndReason::Refused(_) => "refused",
    }
}

/// The QR code, two rows of it in one of the terminal. Light squares are drawn and dark ones left out, because most
/// terminals are dark; scanners read it either way.
fn qr_code(uri: &str) -> String {
    // In upper case it fits the QR codes' alphanumeric mode, which is denser.
    let uri = Zeroizing::new(uri.to_uppercase());
    let code = QrCode::new(uri.as_bytes()).expect("a QR code has room for a hundred times as much");
    code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build()
}

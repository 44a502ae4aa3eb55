//! What `vestibule link` and `vestibule approve` say.

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde::Serialize;
use vestibule_protocol::rendezvous::{EndReason, Pairing};
use vestibule_protocol::time::Timestamp;
use zeroize::Zeroizing;

use super::Report;
use crate::error::Error;
use crate::linking::{Linked, LinkingQuestion, ending_name};
use crate::rendezvous::RendezvousError;
use crate::text::rfc_3339;

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Event<'a> {
    Code { words: &'a str, digits: &'a str, uri: &'a str, expires_at: &'a str },
    PeerJoined {},
    Secured {},
    Approval { user_name: &'a str, device: &'a str },
    Linked { user_name: &'a str, client_id: &'a str, device: &'a str },
    Aborted { reason: &'a str },
}

impl Report<'_> {
    /// What is to be typed or scanned on the other device.
    pub(in crate::cli) fn code(&mut self, pairing: &Pairing, expires_at: Timestamp) {
        let (words, digits, uri) = (pairing.to_words(), pairing.to_digits(), pairing.to_uri());
        let qr_code = Zeroizing::new(qr_code(&uri));
        let expires_at = rfc_3339(expires_at);
        let lines = Zeroizing::new(format!(
            "On a device of yours that is registered, run\n\n    vestibule approve {words}\n\n\
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
        self.say(&Event::PeerJoined {}, "The other device is there.");
    }

    /// Both devices have confirmed their keys.
    pub(in crate::cli) fn secured(&mut self) {
        self.say(&Event::Secured {}, "The connection is secured: nobody else reads it.");
    }

    /// What there is to be decided.
    pub(in crate::cli) fn approval(&mut self, question: &LinkingQuestion) {
        let (user_name, device, lines) = match question {
            LinkingQuestion::Join { user_name, device_name } => (
                user_name,
                device_name,
                format!("This device, '{device_name}', is about to become one of {user_name}'s."),
            ),
            LinkingQuestion::Approve { user_name, device_name } => (
                user_name,
                device_name,
                format!(
                    "A device wants to become one of {user_name}'s. It calls itself '{device_name}', which nobody has \
                     verified.\nApproving gives it full access to your account."
                ),
            ),
        };
        self.say(&Event::Approval { user_name: user_name.as_str(), device: device.as_str() }, &lines);
    }

    /// It is done.
    pub(in crate::cli) fn linked(&mut self, linked: &Linked, whose: &str) {
        let Linked { user_name, client_id, device_name } = linked;
        let event = Event::Linked {
            user_name: user_name.as_str(),
            client_id: &client_id.to_string(),
            device: device_name.as_str(),
        };
        self.say(&event, &format!("Linked. {whose} {user_name}'s now: '{device_name}'."));
    }

    /// Friends can write to this device now too.
    pub(in crate::cli) fn reachable(&mut self) {
        self.spinner.finish_and_clear();
        if self.has_progressed && !self.json {
            let _ = writeln!(self.stdout, "Friends reach this device from now on.");
        }
    }

    /// It ended before that. People are told by the error.
    pub(in crate::cli) fn aborted(&mut self, error: &Error) {
        if let Some(reason) = reason(error)
            && self.json
        {
            self.event(&Event::Aborted { reason });
        }
    }

    /// Asks, where it does not get into what scripts read.
    pub(in crate::cli) fn question(&mut self, question: &str) {
        let _ = write!(self.stderr, "{question}");
        let _ = self.stderr.flush();
    }

    fn say(&mut self, event: &Event<'_>, lines: &str) {
        if self.json {
            return self.event(event);
        }
        let _ = writeln!(self.stdout, "{lines}");
        let _ = self.stdout.flush();
    }
}

/// Why two devices have not been linked, for scripts; `None` if they may yet be.
fn reason(error: &Error) -> Option<&'static str> {
    match error {
        Error::Rendezvous(RendezvousError::Ended(reason)) => Some(match reason {
            EndReason::ConnectionEnded => "connection-ended",
            EndReason::Cancelled => "cancelled",
            EndReason::PeerCancelled => "peer-cancelled",
            EndReason::Expired => "expired",
            EndReason::StateLost => "state-lost",
            EndReason::Tampered => "tampered",
            EndReason::RelayMisbehaved => "relay-misbehaved",
            EndReason::Refused(_) => "refused",
        }),
        Error::Rendezvous(RendezvousError::RelayRefused(_)) => Some("refused"),
        Error::Linking(ending) => Some(ending_name(*ending)),
        Error::KeyPackageRefused(_) => Some("key-package-refused"),
        Error::HandoverRefused => Some("handover-refused"),
        _ => None,
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

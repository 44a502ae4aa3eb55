//! What `vestibule send` and `vestibule receive` say.

use std::io;

use serde::Serialize;

use super::Report;
use crate::messages::{Received, Sent};
use crate::text::printable;

/// A line of `--json`.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Event<'a> {
    Sent {
        devices: usize,
        #[serde(skip_serializing_if = "is_zero")]
        unreachable: usize,
    },
    Message {
        from: &'a str,
        text: &'a str,
        sequence: u64,
    },
    Unreadable {
        count: usize,
    },
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Report<'_> {
    /// A message was sent.
    pub(in crate::cli) fn sent(&mut self, sent: &Sent) {
        let Sent { to, devices, unreachable } = sent;
        if self.json {
            return self.event(&Event::Sent { devices: *devices, unreachable: *unreachable });
        }
        let noun = if *devices == 1 { "device" } else { "devices" };
        let _ = writeln!(self.stdout, "Sent to {devices} {noun} of {to}.");
        if *unreachable > 0 {
            let _ = writeln!(self.stdout, "{unreachable} more cannot be written to: their queues are full, or gone.");
        }
    }

    /// Messages were received. They are not to be acknowledged unless this succeeds.
    pub(in crate::cli) fn received(&mut self, received: &Received) -> io::Result<()> {
        for message in &received.messages {
            let (from, text) = (message.from.user_name.as_str(), message.text.as_str());
            if self.json {
                self.try_event(&Event::Message { from, text, sequence: message.sequence })?;
            } else {
                writeln!(self.stdout, "{from}: {}", printable(text))?;
            }
        }
        let count = received.unreadable;
        if self.json {
            if count > 0 {
                self.try_event(&Event::Unreadable { count })?;
            }
        } else if count > 0 {
            let noun = if count == 1 { "message" } else { "messages" };
            writeln!(self.stdout, "({count} {noun} could not be opened, or came from nobody to be trusted)")?;
        }
        self.stdout.flush()
    }

    /// Nothing has come.
    pub(in crate::cli) fn nothing_received(&mut self) {
        if !self.json {
            let _ = writeln!(self.stdout, "No messages.");
        }
    }
}

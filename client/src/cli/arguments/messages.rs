//! The grammar of the commands about messages.

use std::fmt;

use clap::Args;
use vestibule_protocol::friendship::FriendshipCode;
use vestibule_test_messages::MessageText;
use zeroize::Zeroizing;

use crate::cli::CommandError;

#[derive(Args)]
pub(in crate::cli) struct Send {
    /// The friend's friendship code.
    #[arg(value_name = "CODE")]
    code: Zeroizing<String>,

    /// What to say: at most 4096 bytes.
    #[arg(value_name = "TEXT")]
    text: Zeroizing<String>,
}

/// Without the code, which is a secret, and the text.
impl fmt::Debug for Send {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Send")
    }
}

impl Send {
    pub(in crate::cli) fn code(&self) -> Result<FriendshipCode, CommandError> {
        Ok(self.code.parse()?)
    }

    pub(in crate::cli) fn text(&self) -> Result<MessageText, CommandError> {
        Ok(self.text.parse()?)
    }
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Receive {
    /// Go on printing messages as they come, until Ctrl-C. No other command can use this home meanwhile.
    #[arg(long)]
    pub(in crate::cli) follow: bool,
}

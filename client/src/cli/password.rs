//! How the command line comes by a password.

use std::io::{self, BufRead, Read as _};

use indicatif::ProgressBar;
use vestibule_protocol::opaque::Password;
use zeroize::Zeroizing;

use crate::password::{PasswordError, PasswordUse, check_not_empty};

/// The longest line that is taken for a password, in bytes.
const MAX_LINE_LENGTH: u64 = 4096;

/// Asks for passwords, on the terminal or on stdin.
pub(super) struct PasswordPrompt<'a> {
    stdin: &'a mut (dyn BufRead + Send),
    can_ask: bool,
    /// Must not draw over the question.
    spinner: ProgressBar,
}

impl<'a> PasswordPrompt<'a> {
    pub(super) fn new(stdin: &'a mut (dyn BufRead + Send), can_ask: bool, spinner: ProgressBar) -> Self {
        Self { stdin, can_ask, spinner }
    }

    /// Reads a password: the next line of stdin, or what is typed at `question`; a new one is asked for twice.
    pub(super) fn ask(
        &mut self,
        question: &str,
        password_use: PasswordUse,
        from_stdin: bool,
    ) -> Result<Password, PasswordError> {
        if from_stdin {
            // Out of its buffer, so that nothing is copied.
            self.read_line().map(|mut line| Password::new(std::mem::take(&mut *line)))
        } else if self.can_ask {
            self.spinner.suspend(|| match password_use {
                PasswordUse::New => ask_twice(question),
                PasswordUse::Current => ask_once(question),
            })
        } else {
            Err(PasswordError::Unreadable("there is no terminal to ask on: use --password-stdin".to_owned()))
        }
    }

    fn read_line(&mut self) -> Result<Zeroizing<String>, PasswordError> {
        let mut line = Zeroizing::new(String::with_capacity(MAX_LINE_LENGTH as usize + 1));
        let mut stdin = (&mut self.stdin).take(MAX_LINE_LENGTH + 1);
        stdin.read_line(&mut line).map_err(|error| unreadable(&error))?;
        if line.len() as u64 > MAX_LINE_LENGTH {
            return Err(PasswordError::Unreadable("the line is too long".to_owned()));
        }
        let without_end = line.strip_suffix('\n').map_or(line.len(), |line| line.trim_end_matches('\r').len());
        line.truncate(without_end);
        Ok(line)
    }
}

fn ask_once(question: &str) -> Result<Password, PasswordError> {
    rpassword::prompt_password(question).map(Password::new).map_err(|error| unreadable(&error))
}

fn ask_twice(question: &str) -> Result<Password, PasswordError> {
    let password = ask_once(question)?;
    check_not_empty(&password)?;
    if ask_once("The same again: ")? == password { Ok(password) } else { Err(PasswordError::NotRepeated) }
}

fn unreadable(error: &io::Error) -> PasswordError {
    PasswordError::Unreadable(error.to_string())
}

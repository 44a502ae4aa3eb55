//! How the command line comes by a password.

use std::io::{self, BufRead, Read as _};

use indicatif::ProgressBar;
use vestibule_protocol::opaque::Password;
use zeroize::Zeroizing;

use crate::registration::PasswordError;

/// The longest line that is taken for a password, in bytes.
const MAX_LINE_LENGTH: u64 = 4096;

/// Asks for a password, on the terminal or on stdin.
pub(super) struct PasswordPrompt<'a> {
    stdin: &'a mut (dyn BufRead + Send),
    can_ask: bool,
    /// Must not draw over the question.
    spinner: ProgressBar,
    /// Stdin has one line. Kept for as long as the command runs, in case the password is needed twice.
    line: Option<Zeroizing<String>>,
}

impl<'a> PasswordPrompt<'a> {
    pub(super) fn new(stdin: &'a mut (dyn BufRead + Send), can_ask: bool, spinner: ProgressBar) -> Self {
        Self { stdin, can_ask, spinner, line: None }
    }

    /// Reads the password: a line of stdin, or what is typed, twice, at a prompt.
    pub(super) fn ask(&mut self, from_stdin: bool) -> Result<Password, PasswordError> {
        if from_stdin {
            let line = match self.line.take() {
                Some(line) => line,
                None => self.read_line()?,
            };
            let line = self.line.insert(line);
            Ok(Password::new(line.as_str().to_owned()))
        } else if self.can_ask {
            self.spinner.suspend(ask_twice)
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

fn ask_twice() -> Result<Password, PasswordError> {
    let ask = |question| rpassword::prompt_password(question).map(Password::new).map_err(|error| unreadable(&error));
    let password = ask("Password: ")?;
    if password == Password::new(String::new()) {
        return Err(PasswordError::Empty);
    }
    if ask("The same again: ")? == password { Ok(password) } else { Err(PasswordError::NotRepeated) }
}

fn unreadable(error: &io::Error) -> PasswordError {
    PasswordError::Unreadable(error.to_string())
}

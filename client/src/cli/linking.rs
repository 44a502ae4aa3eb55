//! `vestibule link` and `vestibule approve`.

use std::io;
use std::sync::Arc;

use tokio::sync::oneshot;
use vestibule_protocol::rendezvous::{EndReason, Pairing};
use vestibule_protocol::time::Timestamp;
use zeroize::Zeroizing;

use super::CommandError;
use super::arguments::{Approve, Link};
use super::report::Report;
use crate::client::{Client, Options};
use crate::error::Error;
use crate::linking::{Deciding, Linked, LinkingInteraction, LinkingQuestion, LinkingStep};
use crate::registration::Progress;
use crate::rendezvous::RendezvousError;

/// Reads a line that somebody types. It is called on a thread of its own, because it takes as long as it takes.
pub type ReadLine = Arc<dyn Fn() -> io::Result<Zeroizing<String>> + Send + Sync>;

/// Asks whoever sits at the terminal, if somebody does.
pub(super) struct Questions {
    pub(super) read_line: ReadLine,
    pub(super) can_ask: bool,
}

impl Questions {
    /// Asks for a line. That nobody answers is the end of it.
    pub(super) async fn ask(&self, report: &mut Report<'_>, question: &str) -> Result<Zeroizing<String>, Error> {
        report.question(question);
        let (answer, answered) = oneshot::channel();
        let read_line = self.read_line.clone();
        // Not on a thread of the runtime, which would wait for it at the end.
        std::thread::spawn(move || answer.send(read_line()));
        match answered.await {
            Ok(Ok(line)) if !line.is_empty() => Ok(line),
            _ => Err(Error::NobodyToAsk),
        }
    }
}

/// Links this device, until it is done or `interrupted` is.
pub(super) async fn execute_link(
    link: &Link,
    options: Options,
    questions: Questions,
    report: &mut Report<'_>,
    interrupted: impl Future<Output = io::Result<()>> + Send,
) -> Result<(), CommandError> {
    let user_name = link.user_name()?;
    check_somebody_decides(link.yes, &questions)?;
    let mut client = Client::open(options)?;
    let mut screen = Screen::new(report, &questions, link.yes);
    let outcome = tokio::select! {
        biased;
        outcome = client.link(&link.device_name, user_name.as_ref(), &mut screen) => outcome,
        // What is left then can be done later, and not be undone.
        Ok(()) = interrupted => match screen.is_linked {
            true => Err(Error::NotAtQueuingService),
            false => give_up(&mut client).await,
        },
    };
    match outcome {
        Ok(linked) if !screen.is_linked => screen.linked(&linked),
        Ok(_) => screen.report.reachable(),
        Err(error) => return Err(aborted(error, screen.report)),
    }
    Ok(())
}

/// Approves a device, until it is done or `interrupted` is.
pub(super) async fn execute_approve(
    approve: &Approve,
    options: Options,
    questions: Questions,
    report: &mut Report<'_>,
    interrupted: impl Future<Output = io::Result<()>> + Send,
) -> Result<(), CommandError> {
    // What is mistyped must not use up the code.
    let pairing = approve.pairing()?;
    check_somebody_decides(approve.yes, &questions)?;
    let mut client = Client::open(options)?;
    client.status()?;
    let mut interrupted = std::pin::pin!(interrupted);
    let pairing = match pairing {
        Some(pairing) => Some(pairing),
        None if client.is_approving()? => None,
        None => tokio::select! {
            biased;
            pairing = ask_for_code(&questions, report) => Some(pairing?),
            Ok(()) = &mut interrupted => return Err(cancelled().into()),
        },
    };
    let mut screen = Screen::new(report, &questions, approve.yes);
    let outcome = tokio::select! {
        biased;
        outcome = client.approve(pairing.as_ref(), &mut screen) => outcome,
        Ok(()) = interrupted => give_up(&mut client).await,
    };
    match outcome {
        Ok(linked) => {
            report.linked(&linked, "Your new device is one of");
            Ok(())
        }
        Err(error) => Err(aborted(error, report)),
    }
}

fn check_somebody_decides(is_decided: bool, questions: &Questions) -> Result<(), Error> {
    if is_decided || questions.can_ask { Ok(()) } else { Err(Error::NobodyToAsk) }
}

async fn ask_for_code(questions: &Questions, report: &mut Report<'_>) -> Result<Pairing, CommandError> {
    if !questions.can_ask {
        return Err(CommandError::CodeMissing);
    }
    Ok(questions.ask(report, "The code that the new device shows: ").await?.parse()?)
}

/// Ends what was begun, for both devices. It may have been too late for that.
async fn give_up(client: &mut Client) -> Result<Linked, Error> {
    match client.abort_linking().await? {
        Some(linked) => Ok(linked),
        None => Err(cancelled()),
    }
}

fn cancelled() -> Error {
    RendezvousError::Ended(EndReason::Cancelled).into()
}

fn aborted(error: Error, report: &mut Report<'_>) -> CommandError {
    report.aborted(&error);
    error.into()
}

/// What the person at this device sees and answers.
struct Screen<'s, 'r> {
    report: &'s mut Report<'r>,
    questions: &'s Questions,
    /// The answers are yes.
    is_decided: bool,
    /// It was told that this device is linked.
    is_linked: bool,
}

impl<'s, 'r> Screen<'s, 'r> {
    fn new(report: &'s mut Report<'r>, questions: &'s Questions, is_decided: bool) -> Self {
        Self { report, questions, is_decided, is_linked: false }
    }
}

impl LinkingInteraction for Screen<'_, '_> {
    fn show_code(&mut self, pairing: &Pairing, expires_at: Timestamp) {
        self.report.code(pairing, expires_at);
    }

    fn step(&mut self, step: LinkingStep) {
        match step {
            LinkingStep::PeerJoined => self.report.peer_joined(),
            LinkingStep::Secured => self.report.secured(),
        }
    }

    fn linked(&mut self, linked: &Linked) {
        self.is_linked = true;
        self.report.linked(linked, "This device is one of");
    }

    fn progress(&mut self, progress: Progress) {
        self.report.progress(progress);
    }

    fn decide<'a>(&'a mut self, question: &'a LinkingQuestion) -> Deciding<'a> {
        Box::pin(async move {
            self.report.approval(question);
            if self.is_decided {
                return Ok(true);
            }
            let prompt = match question {
                LinkingQuestion::Join { .. } => "Is that you? [y/N] ",
                LinkingQuestion::Approve { .. } => "Is that device in your hands, and shall it have all this? [y/N] ",
            };
            let answer = self.questions.ask(self.report, prompt).await?;
            Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
        })
    }
}

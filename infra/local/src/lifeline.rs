//! Ends what runs in the background with the local cloud it belongs to.

use tokio::sync::watch;

/// Held by the local cloud. Dropping it ends everything that hangs on its lifelines.
#[derive(Debug)]
pub(crate) struct Life {
    _sender: watch::Sender<()>,
}

/// Held by each task.
#[derive(Clone, Debug)]
pub(crate) struct Lifeline(watch::Receiver<()>);

impl Life {
    pub(crate) fn new() -> (Self, Lifeline) {
        let (sender, receiver) = watch::channel(());
        (Self { _sender: sender }, Lifeline(receiver))
    }
}

impl Lifeline {
    /// The output of `work`, or nothing if the local cloud ends first.
    pub(crate) async fn run<Work: Future>(&self, work: Work) -> Option<Work::Output> {
        let mut life = self.0.clone();
        tokio::select! {
            output = work => Some(output),
            // Nothing is ever sent: this comes back when the sender is gone.
            _ = life.changed() => None,
        }
    }
}

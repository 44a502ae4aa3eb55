//! What a deployment counts of itself, for CloudWatch: how often what came of requests, and what is about to end. Never who.
//!
//! State modules say what happened where it happens ([`count`]); what follows from a function's answer alone is in
//! [`of_answer`]. All of it becomes part of the line that is logged about the answer ([`OutcomeLog`]), in CloudWatch's embedded
//! metric format, so that metrics cost no call.

use std::cell::RefCell;
use std::future::Future;

mod outcome_log;

pub(crate) use outcome_log::{Answered, OutcomeLog};

/// What is measured: the name of a metric in the namespace `Vestibule`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Metric {
    /// Answers that say that something is wrong here: 5xx.
    Failures,
    /// How many days the intermediate that lasts longest still has.
    IntermediateDaysLeft,
    /// KeyPackages: `published` (a publication with n of them counts as n), `claimed`, `last-resort` (used once more).
    KeyPackages,
    /// Rendezvous of devices: `begun`, `joined`, and how their mailboxes ended, as far as somebody hears of it: a mailbox
    /// whose time is up counts (`expired`, `lonely`) when the next frame comes to it, and if none comes, it does not.
    Links,
    /// OPAQUE logins at both services that have them: `opened` or why not, and, once for each proof that is checked,
    /// `finished` or why not.
    Logins,
    /// Registrations: `initiated`, `finished`, or why not.
    Registrations,
    /// How many days the newest key for tokens still has, as the service that issues them sees it.
    TokenKeyDaysLeft,
    /// Tokens: `batch-issued`, `redeemed`.
    Tokens,
}

impl Metric {
    /// Its name in CloudWatch.
    const fn name(self) -> &'static str {
        match self {
            Self::Failures => "Failures",
            Self::IntermediateDaysLeft => "IntermediateDaysLeft",
            Self::KeyPackages => "KeyPackages",
            Self::Links => "Links",
            Self::Logins => "Logins",
            Self::Registrations => "Registrations",
            Self::TokenKeyDaysLeft => "TokenKeyDaysLeft",
            Self::Tokens => "Tokens",
        }
    }

    /// CloudWatch's unit of it.
    const fn unit(self) -> &'static str {
        match self {
            Self::IntermediateDaysLeft | Self::TokenKeyDaysLeft => "None",
            _ => "Count",
        }
    }
}

/// A value of a metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Measurement {
    pub(crate) metric: Metric,
    /// What is told apart within the metric; nothing where the metric is about a whole service.
    pub(crate) outcome: Option<&'static str>,
    pub(crate) value: u64,
}

/// What was measured while a request was handled.
#[derive(Default)]
struct Measurements {
    made: Vec<Measurement>,
    /// What counts when the transaction under way is made.
    pending: Vec<Measurement>,
}

tokio::task_local! {
    static MEASUREMENTS: RefCell<Measurements>;
}

/// Counts something that has happened.
pub(crate) fn count(metric: Metric, outcome: &'static str, value: u64) {
    change(|measurements| measurements.made.push(Measurement { metric, outcome: Some(outcome), value }));
}

/// Counts something that happens when the next transaction is made, and not if it is cancelled.
pub(crate) fn count_with_transaction(metric: Metric, outcome: &'static str, value: u64) {
    change(|measurements| measurements.pending.push(Measurement { metric, outcome: Some(outcome), value }));
}

/// The transaction has been made, or not.
pub(crate) fn transaction_ended(is_made: bool) {
    change(|measurements| {
        let pending = std::mem::take(&mut measurements.pending);
        if is_made {
            measurements.made.extend(pending);
        }
    });
}

/// Says how much there is of something. The last word in a request counts.
pub(crate) fn gauge(metric: Metric, value: u64) {
    change(|measurements| {
        measurements.made.retain(|earlier| earlier.metric != metric);
        measurements.made.push(Measurement { metric, outcome: None, value });
    });
}

/// Handles a request, and gives what was measured on the way.
pub(crate) async fn measured<T>(work: impl Future<Output = T>) -> (T, Vec<Measurement>) {
    let scope = async {
        let output = work.await;
        (output, MEASUREMENTS.with(|measurements| std::mem::take(&mut measurements.borrow_mut().made)))
    };
    MEASUREMENTS.scope(RefCell::default(), scope).await
}

/// Outside of requests, when a function starts, nothing is measured.
fn change(change: impl FnOnce(&mut Measurements)) {
    let _ = MEASUREMENTS.try_with(|measurements| change(&mut measurements.borrow_mut()));
}

/// What an answer of a function counts as: it follows from the function's name and the answer alone. A repeated request that is
/// answered again counts again.
pub(crate) fn of_answer(function: &str, problem: Option<&'static str>) -> Option<Measurement> {
    let (metric, success) = match function {
        "as-initiate-registration" => (Metric::Registrations, "initiated"),
        "as-finish-registration" => (Metric::Registrations, "finished"),
        "as-initiate-login" | "ks-open-session" => (Metric::Logins, "opened"),
        "rs-create" => (Metric::Links, "begun"),
        "rs-join" => (Metric::Links, "joined"),
        _ => return None,
    };
    Some(Measurement { metric, outcome: Some(problem.unwrap_or(success)), value: 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_happens_in_a_request_is_counted_for_that_request_alone() {
        let request = |batches| async move {
            for _ in 0..batches {
                count(Metric::Tokens, "batch-issued", 1);
                tokio::task::yield_now().await;
            }
        };
        let (((), two), ((), three)) = tokio::join!(measured(request(2)), measured(request(3)));
        assert_eq!((two.len(), three.len()), (2, 3));
        count(Metric::Tokens, "batch-issued", 1);
        assert!(measured(async {}).await.1.is_empty());
    }

    #[tokio::test]
    async fn what_a_cancelled_transaction_would_have_done_is_not_counted() {
        let request = async {
            count_with_transaction(Metric::Tokens, "redeemed", 1);
            transaction_ended(false);
            count_with_transaction(Metric::Tokens, "redeemed", 1);
            transaction_ended(true);
            transaction_ended(true);
            count_with_transaction(Metric::Tokens, "redeemed", 1);
        };
        let redeemed = Measurement { metric: Metric::Tokens, outcome: Some("redeemed"), value: 1 };
        assert_eq!(measured(request).await.1, [redeemed]);
    }

    /// What comes between `before` and `after`, wherever it does in the template.
    fn in_template(before: &str, after: &str) -> Vec<&'static str> {
        let template = include_str!("../../../template.yaml");
        template.split(before).skip(1).filter_map(|rest| rest.split(after).next()).collect()
    }

    #[test]
    fn alarms_and_dashboard_look_at_metrics_that_there_are() {
        use Metric::*;
        let of_outcomes = [KeyPackages, Links, Logins, Registrations, Tokens].map(Metric::name);
        let on_dashboard = in_template("{Vestibule,Outcome,Service,Stage} MetricName=\\\"", "\\\"");
        assert_eq!(on_dashboard.len(), of_outcomes.len());
        assert!(on_dashboard.iter().all(|name| of_outcomes.contains(name)), "{on_dashboard:?}");

        let of_services = [Failures, IntermediateDaysLeft, TokenKeyDaysLeft].map(Metric::name);
        let alarmed = in_template("Namespace: Vestibule\n      MetricName: ", "\n");
        assert!(of_services.iter().all(|name| alarmed.contains(name)), "{alarmed:?}");
        assert!(alarmed.iter().all(|name| of_services.contains(name)), "{alarmed:?}");
    }

    #[tokio::test]
    async fn of_a_gauge_the_last_word_counts() {
        let request = async {
            gauge(Metric::TokenKeyDaysLeft, 3);
            gauge(Metric::TokenKeyDaysLeft, 56);
        };
        let days = Measurement { metric: Metric::TokenKeyDaysLeft, outcome: None, value: 56 };
        assert_eq!(measured(request).await.1, [days]);
    }
}

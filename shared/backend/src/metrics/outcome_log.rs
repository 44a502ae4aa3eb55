//! The line that is logged about an answer, and what CloudWatch reads out of it.

use std::io::{self, Write as _};

use serde_json::{Map, Value, json};
use vestibule_protocol::time::Timestamp;

use super::{Measurement, Metric};

/// The namespace of the metrics.
const NAMESPACE: &str = "Vestibule";

/// What a function has answered.
pub(crate) struct Answered {
    /// The function.
    pub(crate) function: &'static str,
    /// `ok`, or which problem.
    pub(crate) outcome: &'static str,
    /// Whether the problem is one of ours.
    pub(crate) is_failure: bool,
    /// How long it took.
    pub(crate) milliseconds: u64,
    /// What was measured on the way.
    pub(crate) measurements: Vec<Measurement>,
}

/// Where the line about an answer goes. It names nobody.
#[derive(Clone)]
pub(crate) enum OutcomeLog {
    /// To the log of the process, for people.
    Process {
        /// Which deployment this is.
        stage: String,
    },
    /// To standard output as JSON in CloudWatch's embedded metric format, for Lambda.
    CloudWatch {
        /// Which deployment this is.
        stage: String,
    },
}

impl OutcomeLog {
    /// Writes the line.
    pub(crate) fn write(&self, answered: Answered) {
        match self {
            Self::Process { stage } => {
                let Answered { function, outcome, milliseconds, .. } = answered;
                let measured = readable(&groups(&answered));
                if measured.is_empty() {
                    tracing::info!(stage, function, outcome, milliseconds, "answered");
                } else {
                    tracing::info!(stage, function, outcome, milliseconds, measured, "answered");
                }
            }
            Self::CloudWatch { stage } => {
                let mut stdout = io::stdout().lock();
                for line in lines(&answered, stage, Timestamp::now()) {
                    // There is nowhere to say that the log cannot be written.
                    let _ = writeln!(stdout, "{line}");
                }
            }
        }
    }
}

/// The values that stand in one line: those of one outcome, summed up. Those of none come with the first.
struct Group {
    outcome: Option<&'static str>,
    values: Vec<(Metric, u64)>,
    of_service: Vec<(Metric, u64)>,
}

fn groups(answered: &Answered) -> Vec<Group> {
    let failure = answered.is_failure.then_some(Measurement { metric: Metric::Failures, outcome: None, value: 1 });
    let mut groups = vec![Group { outcome: None, values: Vec::new(), of_service: Vec::new() }];
    for Measurement { metric, outcome, value } in answered.measurements.iter().copied().chain(failure) {
        let values = match outcome {
            None => &mut groups[0].of_service,
            Some(_) => {
                let place = groups.iter().position(|group| group.outcome.is_none() || group.outcome == outcome);
                let place = place.unwrap_or_else(|| {
                    groups.push(Group { outcome, values: Vec::new(), of_service: Vec::new() });
                    groups.len() - 1
                });
                groups[place].outcome = outcome;
                &mut groups[place].values
            }
        };
        match values.iter_mut().find(|(earlier, _)| *earlier == metric) {
            Some((_, sum)) => *sum += value,
            None => values.push((metric, value)),
        }
    }
    groups
}

/// One line for each outcome, the first of which is about the answer. A dimension has one value in a line.
fn lines(answered: &Answered, stage: &str, now: Timestamp) -> Vec<Value> {
    let Answered { function, outcome, milliseconds, .. } = *answered;
    // Lambda takes a line's level only from one with a time, and calls every other one `INFO`.
    let timestamp = now.rfc_3339().to_string();
    let mut lines = Vec::new();
    for group in groups(answered) {
        let mut line = match lines.is_empty() {
            true => json!({
                "timestamp": timestamp, "level": "INFO", "message": "answered",
                "function": function, "outcome": outcome, "milliseconds": milliseconds,
            }),
            false => {
                json!({"timestamp": timestamp, "level": "INFO", "message": "measured", "function": function})
            }
        };
        let members = line.as_object_mut().expect("it is an object");
        add_metrics(members, &group, function, stage, now);
        lines.push(line);
    }
    lines
}

fn add_metrics(line: &mut Map<String, Value>, group: &Group, function: &str, stage: &str, now: Timestamp) {
    let mut directives = Vec::new();
    let kinds = [(&group.values, vec!["Outcome", "Service", "Stage"]), (&group.of_service, vec!["Service", "Stage"])];
    for (values, dimensions) in kinds {
        if values.is_empty() {
            continue;
        }
        let definition = |(metric, _): &(Metric, u64)| json!({"Name": metric.name(), "Unit": metric.unit()});
        let metrics: Vec<Value> = values.iter().map(definition).collect();
        directives.push(json!({"Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics}));
        line.extend(values.iter().map(|(metric, value)| (metric.name().to_owned(), json!(value))));
    }
    if directives.is_empty() {
        return;
    }
    line.insert("_aws".to_owned(), json!({"Timestamp": now.seconds() * 1000, "CloudWatchMetrics": directives}));
    line.extend(group.outcome.map(|outcome| ("Outcome".to_owned(), json!(outcome))));
    let service = function.split('-').next().unwrap_or_default();
    line.insert("Service".to_owned(), json!(service));
    line.insert("Stage".to_owned(), json!(stage));
}

/// The same for people: `Tokens.redeemed=1 KeyPackages.claimed=2`.
fn readable(groups: &[Group]) -> String {
    let mut words = Vec::new();
    for Group { outcome, values, of_service } in groups {
        let outcome = outcome.unwrap_or_default();
        words.extend(values.iter().map(|(metric, value)| format!("{}.{outcome}={value}", metric.name())));
        words.extend(of_service.iter().map(|(metric, value)| format!("{}={value}", metric.name())));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_059);

    fn counted(metric: Metric, outcome: &'static str, value: u64) -> Measurement {
        Measurement { metric, outcome: Some(outcome), value }
    }

    #[test]
    fn an_answer_that_counts_as_nothing_is_a_plain_line() {
        let answered = Answered {
            function: "qs-get-keys",
            outcome: "ok",
            is_failure: false,
            milliseconds: 7,
            measurements: Vec::new(),
        };
        let line = json!({
            "timestamp": "2027-01-15T08:00:59Z", "level": "INFO", "message": "answered",
            "function": "qs-get-keys", "outcome": "ok", "milliseconds": 7
        });
        assert_eq!(lines(&answered, "prod", NOW), [line]);
        assert_eq!(readable(&groups(&answered)), "");
    }

    #[test]
    fn an_answer_and_what_it_counts_as_are_one_line() {
        let answered = Answered {
            function: "as-finish-registration",
            outcome: "internal-error",
            is_failure: true,
            milliseconds: 12,
            measurements: vec![
                Measurement { metric: Metric::IntermediateDaysLeft, outcome: None, value: 250 },
                counted(Metric::Registrations, "internal-error", 1),
            ],
        };
        let line = json!({
            "timestamp": "2027-01-15T08:00:59Z", "level": "INFO", "message": "answered",
            "function": "as-finish-registration", "outcome": "internal-error", "milliseconds": 12,
            "_aws": {
                "Timestamp": 1_800_000_059_000_u64,
                "CloudWatchMetrics": [
                    {
                        "Namespace": "Vestibule",
                        "Dimensions": [["Outcome", "Service", "Stage"]],
                        "Metrics": [{"Name": "Registrations", "Unit": "Count"}],
                    },
                    {
                        "Namespace": "Vestibule",
                        "Dimensions": [["Service", "Stage"]],
                        "Metrics": [
                            {"Name": "IntermediateDaysLeft", "Unit": "None"}, {"Name": "Failures", "Unit": "Count"}
                        ],
                    },
                ],
            },
            "Outcome": "internal-error", "Service": "as", "Stage": "prod",
            "Registrations": 1, "IntermediateDaysLeft": 250, "Failures": 1,
        });
        assert_eq!(lines(&answered, "prod", NOW), [line]);
        let expected = "Registrations.internal-error=1 IntermediateDaysLeft=250 Failures=1";
        assert_eq!(readable(&groups(&answered)), expected);
    }

    #[test]
    fn every_outcome_has_a_line_and_the_same_twice_is_summed_up() {
        let answered = Answered {
            function: "qs-claim-key-packages",
            outcome: "ok",
            is_failure: false,
            milliseconds: 20,
            measurements: vec![
                counted(Metric::Tokens, "redeemed", 1),
                counted(Metric::KeyPackages, "claimed", 1),
                counted(Metric::KeyPackages, "last-resort", 1),
                counted(Metric::KeyPackages, "claimed", 1),
            ],
        };
        let aws = |metric: &str| {
            json!({
                "Timestamp": 1_800_000_059_000_u64,
                "CloudWatchMetrics": [{
                    "Namespace": "Vestibule",
                    "Dimensions": [["Outcome", "Service", "Stage"]],
                    "Metrics": [{"Name": metric, "Unit": "Count"}],
                }],
            })
        };
        let further = |outcome: &str, value: u64| {
            json!({
                "timestamp": "2027-01-15T08:00:59Z", "level": "INFO", "message": "measured",
                "function": "qs-claim-key-packages", "_aws": aws("KeyPackages"),
                "Outcome": outcome, "Service": "qs", "Stage": "beta", "KeyPackages": value,
            })
        };
        let first = json!({
            "timestamp": "2027-01-15T08:00:59Z", "level": "INFO", "message": "answered",
            "function": "qs-claim-key-packages", "outcome": "ok", "milliseconds": 20, "_aws": aws("Tokens"),
            "Outcome": "redeemed", "Service": "qs", "Stage": "beta", "Tokens": 1,
        });
        assert_eq!(lines(&answered, "beta", NOW), [first, further("claimed", 2), further("last-resort", 1)]);
    }
}

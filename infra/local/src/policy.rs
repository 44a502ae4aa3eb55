//! IAM, as far as `template.yaml` uses it: what may a function's role do?

/// A role's inline policy. What no statement allows is forbidden, and what one denies stays forbidden.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Its statements, in the order of the template.
    pub statements: Vec<Statement>,
}

/// One statement of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Whether it allows or denies.
    pub effect: Effect,
    /// The actions it is about, such as `dynamodb:PutItem`.
    pub actions: Vec<String>,
    /// The ARNs it is about, exact or ending in `*`.
    pub resources: Vec<String>,
    /// All of these must hold for the statement to apply.
    pub conditions: Vec<LeadingKeysCondition>,
}

/// What a statement does to the requests it applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It allows them, unless another statement denies them.
    Allow,
    /// It denies them, whatever other statements say.
    Deny,
}

/// A condition on `dynamodb:LeadingKeys`, the values of the partition key that a request touches. It holds if each of
/// them matches one of `patterns`; like every `ForAllValues` condition it holds of a request that names no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeadingKeysCondition {
    /// How to compare.
    pub operator: KeyOperator,
    /// What a key may be.
    pub patterns: Vec<String>,
}

/// How a condition compares keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOperator {
    /// `ForAllValues:StringEquals`.
    StringEquals,
    /// `ForAllValues:StringLike`: `*` stands for any characters, `?` for one.
    StringLike,
}

/// One thing an API call does that IAM decides on. A transaction makes several of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IamRequest {
    /// For example `dynamodb:PutItem`.
    pub action: String,
    /// The ARN of the table, secret or connection.
    pub resource: String,
    /// The values of the partition key it touches.
    pub leading_keys: Vec<String>,
}

/// What a policy says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows it and none denies it.
    Allowed,
    /// A statement denies it.
    ExplicitlyDenied,
    /// No statement is about it.
    ImplicitlyDenied,
}

impl Policy {
    /// Decides on a request.
    pub fn decide(&self, request: &IamRequest) -> Decision {
        let applying = || self.statements.iter().filter(|statement| statement.applies_to(request));
        if applying().any(|statement| statement.effect == Effect::Deny) {
            Decision::ExplicitlyDenied
        } else if applying().any(|statement| statement.effect == Effect::Allow) {
            Decision::Allowed
        } else {
            Decision::ImplicitlyDenied
        }
    }
}

impl Statement {
    fn applies_to(&self, request: &IamRequest) -> bool {
        // IAM ignores the case of actions. A template that relies on that is misspelt, so it fails here.
        self.actions.contains(&request.action)
            && self.resources.iter().any(|pattern| matches_with_trailing_star(pattern, &request.resource))
            && self.conditions.iter().all(|condition| condition.holds(&request.leading_keys))
    }
}

impl LeadingKeysCondition {
    fn holds(&self, keys: &[String]) -> bool {
        keys.iter().all(|key| self.patterns.iter().any(|pattern| self.operator.matches(pattern, key)))
    }
}

impl KeyOperator {
    fn matches(self, pattern: &str, key: &str) -> bool {
        match self {
            Self::StringEquals => pattern == key,
            Self::StringLike => is_like(pattern, key),
        }
    }
}

fn matches_with_trailing_star(pattern: &str, arn: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => arn.starts_with(prefix),
        None => arn == pattern,
    }
}

/// Whether `text` matches `pattern`. On a mismatch the last `*` swallows one more character and matching goes on from
/// there, which never needs more than the product of both lengths.
fn is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut in_pattern, mut in_text) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while in_text < text.len() {
        match pattern.get(in_pattern) {
            Some('*') => {
                last_star = Some((in_pattern, in_text));
                in_pattern += 1;
            }
            Some(&symbol) if symbol == '?' || symbol == text[in_text] => {
                in_pattern += 1;
                in_text += 1;
            }
            _ => {
                let Some((star, swallowed)) = last_star else { return false };
                last_star = Some((star, swallowed + 1));
                in_pattern = star + 1;
                in_text = swallowed + 1;
            }
        }
    }
    pattern[in_pattern..].iter().all(|&symbol| symbol == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/Users";

    fn request(action: &str, resource: &str, leading_keys: &[&str]) -> IamRequest {
        let leading_keys = leading_keys.iter().map(|&key| key.to_owned()).collect();
        IamRequest { action: action.to_owned(), resource: resource.to_owned(), leading_keys }
    }

    fn statement(effect: Effect, action: &str, resource: &str) -> Statement {
        Statement { effect, actions: vec![action.to_owned()], resources: vec![resource.to_owned()], conditions: vec![] }
    }

    fn confined(operator: KeyOperator, patterns: &[&str]) -> Policy {
        let patterns = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
        let conditions = vec![LeadingKeysCondition { operator, patterns }];
        let statement = Statement { conditions, ..statement(Effect::Allow, "dynamodb:GetItem", TABLE) };
        Policy { statements: vec![statement] }
    }

    #[test]
    fn what_no_statement_allows_is_forbidden() {
        assert_eq!(Policy::default().decide(&request("dynamodb:GetItem", TABLE, &[])), Decision::ImplicitlyDenied);
    }

    #[test]
    fn a_statement_allows_its_action_on_its_resource_and_nothing_else() {
        let policy = Policy { statements: vec![statement(Effect::Allow, "dynamodb:GetItem", TABLE)] };
        let other_table = format!("{TABLE}2");
        for (action, resource, expected) in [
            ("dynamodb:GetItem", TABLE, Decision::Allowed),
            ("dynamodb:PutItem", TABLE, Decision::ImplicitlyDenied),
            ("dynamodb:getitem", TABLE, Decision::ImplicitlyDenied),
            ("dynamodb:GetItem", &other_table, Decision::ImplicitlyDenied),
        ] {
            assert_eq!(policy.decide(&request(action, resource, &["a"])), expected, "{action} on {resource}");
        }
    }

    #[test]
    fn a_trailing_star_stands_for_any_end_of_an_arn() {
        let policy =
            Policy { statements: vec![statement(Effect::Allow, "dynamodb:Query", &format!("{TABLE}/index/*"))] };
        let decide = |resource: &str| policy.decide(&request("dynamodb:Query", resource, &[]));
        assert_eq!(decide(&format!("{TABLE}/index/by-name")), Decision::Allowed);
        assert_eq!(decide(TABLE), Decision::ImplicitlyDenied);
    }

    #[test]
    fn a_denial_wins_over_permissions_before_and_after_it() {
        let allow = statement(Effect::Allow, "dynamodb:GetItem", "*");
        let deny = statement(Effect::Deny, "dynamodb:GetItem", TABLE);
        let policy = Policy { statements: vec![allow.clone(), deny, allow] };
        assert_eq!(policy.decide(&request("dynamodb:GetItem", TABLE, &[])), Decision::ExplicitlyDenied);
        assert_eq!(policy.decide(&request("dynamodb:GetItem", "another", &[])), Decision::Allowed);
    }

    #[test]
    fn every_leading_key_must_match_some_pattern() {
        let exactly = confined(KeyOperator::StringEquals, &["CREDENTIALS", "USER#*"]);
        let like = confined(KeyOperator::StringLike, &["USER#*", "DAY#????"]);
        for (policy, keys, expected) in [
            (&exactly, &["CREDENTIALS"][..], Decision::Allowed),
            (&exactly, &["USER#alice"], Decision::ImplicitlyDenied),
            (&exactly, &["USER#*"], Decision::Allowed),
            (&like, &["USER#alice"], Decision::Allowed),
            (&like, &["USER#alice", "DAY#0001"], Decision::Allowed),
            (&like, &["USER#alice", "OPAQUE#alice"], Decision::ImplicitlyDenied),
            (&like, &["DAY#00012"], Decision::ImplicitlyDenied),
            (&like, &["user#alice"], Decision::ImplicitlyDenied),
        ] {
            assert_eq!(policy.decide(&request("dynamodb:GetItem", TABLE, keys)), expected, "{keys:?}");
        }
    }

    #[test]
    fn a_condition_for_all_values_holds_of_no_values_as_in_iam() {
        let policy = confined(KeyOperator::StringLike, &["USER#*"]);
        assert_eq!(policy.decide(&request("dynamodb:GetItem", TABLE, &[])), Decision::Allowed);
    }

    #[test]
    fn wildcards_match_as_in_string_like() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
            ("a*c", "abbc", true),
            ("a*c", "abbcd", false),
            ("a*b*c", "aXbYbZc", true),
            ("*ab", "aab", true),
            ("a?c", "a#c", true),
            ("a?c", "ac", false),
            ("ä*", "ähre", true),
        ] {
            assert_eq!(is_like(pattern, text), expected, "{pattern} ~ {text}");
        }
    }
}

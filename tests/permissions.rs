//! template.yaml's permissions are enforced, and no larger than what the code needs.

use vestibule_local::policy::{Decision, Effect, IamRequest, LeadingKeysCondition, Policy, Statement};
use vestibule_local::template::{Function, Template};
use vestibule_local::{FunctionEntry, LocalCloudError};
use vestibule_protocol::problem::PROBLEM_MEDIA_TYPE;
use vestibule_tests::{Applicant, Call, TestCloud, json_body, left_out_in_processes};

use crate::scenarios;

const TEMPLATE: &str = include_str!("../template.yaml");

/// The template without the statement that allows `function` this.
fn without(function: &str, statement: &str) -> String {
    let start = TEMPLATE.find(&format!("  {function}:\n")).expect("the function");
    let position = start + TEMPLATE[start..].find(statement).expect("the statement");
    let mut template = TEMPLATE.to_owned();
    template.replace_range(position..position + statement.len(), "");
    template
}

#[tokio::test]
async fn a_removed_permission_is_named_with_function_action_and_table() {
    let statement = "            - Effect: Allow
              Action: dynamodb:PutItem
              Resource: !GetAtt AsQueueTable.Arn
              Condition:
                ForAllValues:StringLike:
                  dynamodb:LeadingKeys: [\"CLIENT#*\"]
";
    let template = without("AsFinishRegistration", statement);
    let cloud = TestCloud::start_with(|builder| builder.template(template)).await;
    let mut alice = Applicant::new(&cloud, "alice@localhost", 1).await;
    let completion = alice.initiate(&cloud).await;
    let before = cloud.state().await;
    let answer = cloud.send(&alice.finishing_call(&cloud, &completion)).await;
    assert_eq!(answer.problem(), vestibule_protocol::problem::ProblemType::InternalError);
    assert_eq!(cloud.state().await, before);
    let denied = cloud.cloud.denied().concat();
    for part in ["as-finish-registration", "dynamodb:PutItem", "AsQueueTable"] {
        assert!(denied.contains(part), "{denied}");
    }
}

#[tokio::test]
async fn a_leading_key_that_is_not_allowed_is_denied() {
    let template = TEMPLATE.replace("[\"USER#*\", \"USER_ID#*\", \"OPAQUE#*\"]", "[\"USER#*\", \"USER_ID#*\"]");
    assert_ne!(template, TEMPLATE);
    let cloud = TestCloud::start_with(|builder| builder.template(template)).await;
    let mut alice = Applicant::new(&cloud, "alice@localhost", 1).await;
    let completion = alice.initiate(&cloud).await;
    let answer = cloud.send(&alice.finishing_call(&cloud, &completion)).await;
    assert_eq!(answer.status, 500);
    assert!(!cloud.cloud.denied().is_empty());
}

#[tokio::test]
async fn a_function_without_its_secret_does_not_start() {
    let template = without("AsInitiateRegistration", "                - !Ref OpaqueSecret\n");
    let error = start_error(&template).await;
    let LocalCloudError::Start { function, .. } = &error else { panic!("{error}") };
    assert_eq!(function, "as-initiate-registration");
    assert!(error.to_string().contains("OPAQUE_SECRET"), "{error}");
}

#[tokio::test]
async fn the_functions_template_and_endpoints_are_one_list() {
    let endpoints: Vec<_> = vestibule_protocol::endpoint::ENDPOINTS.iter().map(|endpoint| endpoint.function).collect();
    let template = Template::parse(TEMPLATE, &[]).unwrap();
    let relays = template.websocket_apis.iter().flat_map(|api| api.routes.values());
    let relays: Vec<_> = relays.map(|id| template.functions.iter().find(|f| f.logical_id == *id).unwrap()).collect();
    let routed = endpoints.into_iter().chain(relays.iter().map(|function| function.name.as_str()));
    let code: Vec<_> = vestibule_local::FUNCTIONS.iter().map(|entry: &FunctionEntry| entry.name).collect();
    assert_eq!(code, routed.collect::<Vec<_>>());
    // That the template has exactly these functions, the local cloud checks when it starts; here, the routes.
    let cloud = TestCloud::start().await;
    for endpoint in vestibule_protocol::endpoint::ENDPOINTS {
        let call = Call {
            method: endpoint.method.as_str().to_owned(),
            path: endpoint
                .path
                .replace("{user_name}", "nobody@localhost")
                .replace("{qs_client_id}", "AA")
                .replace("{qs_user_id}", "AA")
                .replace("{code}", "1"),
            headers: std::collections::BTreeMap::new(),
            body: json_body(&serde_json::json!({})),
        };
        let answer = cloud.send(&call).await;
        // What is not found by a function, a function was asked for.
        let is_routed = answer.status != 404 || answer.headers["content-type"] == PROBLEM_MEDIA_TYPE;
        assert!(is_routed, "{} {}", call.method, call.path);
    }
}

async fn start_error(template: &str) -> LocalCloudError {
    let cloud = vestibule_local::LocalCloud::builder()
        .template(template)
        .provision(|operator| async move { vestibule_local::provision(&operator, &mut rand::rngs::OsRng).await });
    cloud.start().await.expect_err("a function lacks a permission")
}

/// What a statement allows, one action, resource and leading-key pattern at a time.
fn permissions(function: &Function) -> Vec<Policy> {
    let mut permissions = Vec::new();
    for statement in &function.policy.statements {
        for (action, resource) in statement
            .actions
            .iter()
            .flat_map(|action| statement.resources.iter().map(move |resource| (action, resource)))
        {
            let with = |conditions| {
                let (actions, resources) = (vec![action.clone()], vec![resource.clone()]);
                Policy { statements: vec![Statement { effect: Effect::Allow, actions, resources, conditions }] }
            };
            if statement.conditions.is_empty() {
                permissions.push(with(Vec::new()));
            }
            for condition in &statement.conditions {
                for pattern in &condition.patterns {
                    let operator = condition.operator;
                    permissions.push(with(vec![LeadingKeysCondition { operator, patterns: vec![pattern.clone()] }]));
                }
            }
        }
    }
    permissions
}

#[tokio::test]
async fn every_permission_is_used() {
    left_out_in_processes!("it moves the clock");
    let mut requests: Vec<(String, IamRequest)> = Vec::new();
    for scenario in scenarios::all() {
        let cloud = TestCloud::start().await;
        let prepared = (scenario.prepare)(&cloud).await;
        // Once, again, and when what it needs has expired.
        for wait in [0, 1, 16 * 60] {
            cloud.cloud.clock().advance(std::time::Duration::from_secs(wait));
            (prepared.perform)(&cloud).await;
        }
        for call in cloud.cloud.calls() {
            requests.extend(call.iam_requests.into_iter().map(|request| (call.function.clone(), request)));
        }
    }
    let template = Template::parse(TEMPLATE, &[]).unwrap();
    for function in &template.functions {
        for permission in permissions(function) {
            let is_used = requests.iter().any(|(caller, request)| {
                *caller == function.name && matches!(permission.decide(request), Decision::Allowed)
            });
            assert!(is_used, "{} never needs {:?}", function.name, permission.statements[0]);
        }
    }
}

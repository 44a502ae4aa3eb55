//! template.yaml's permissions are enforced, and no larger than what the code needs.

use vestibule_local::{FunctionEntry, LocalCloudError};
use vestibule_tests::{Applicant, Call, TestCloud, json_body};

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
    let code: Vec<_> = vestibule_local::FUNCTIONS.iter().map(|entry: &FunctionEntry| entry.name).collect();
    assert_eq!(code, endpoints);
    // That the template has exactly these functions, the local cloud checks when it starts; here, the routes.
    let cloud = TestCloud::start().await;
    for endpoint in vestibule_protocol::endpoint::ENDPOINTS {
        let call = Call {
            method: endpoint.method.as_str().to_owned(),
            path: endpoint.path.replace("{user_name}", "nobody@localhost").replace("{qs_client_id}", "AA"),
            headers: std::collections::BTreeMap::new(),
            body: json_body(&serde_json::json!({})),
        };
        let answer = cloud.send(&call).await;
        assert_ne!(answer.status, 404, "{} {}", call.method, call.path);
    }
}

async fn start_error(template: &str) -> LocalCloudError {
    let cloud = vestibule_local::LocalCloud::builder()
        .template(template)
        .provision(|operator| async move { vestibule_local::provision(&operator, &mut rand::rngs::OsRng).await });
    cloud.start().await.expect_err("a function lacks a permission")
}

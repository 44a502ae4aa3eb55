use super::*;
use crate::arn::connection_arn;
use crate::policy::{Decision, IamRequest};

const SMALL: &str = r#"
AWSTemplateFormatVersion: "2010-09-09"
Transform: AWS::Serverless-2016-10-31
Parameters:
  Domain: {Type: String, Default: localhost}
  Limit: {Type: Number, Default: 30, MinValue: 1}
Globals:
  Function:
    Timeout: 10
    Environment:
      Variables: {DOMAIN: !Ref Domain, LEVEL: 1}
Resources:
  Api:
    Type: AWS::Serverless::HttpApi
    Properties: {StageName: $default}
  Greet:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: rust-cargolambda, BuildProperties: {Binary: greet}}
    Properties:
      MemorySize: 512
      Environment:
        Variables: {LEVEL: 2, LIMIT: !Ref Limit, TABLE: !Ref People, KEY: !Ref Key, NAME: !Sub "${Domain}/${People.Arn}"}
      Policies:
        - Statement:
            Effect: Allow
            Action: dynamodb:GetItem
            Resource: !GetAtt People.Arn
      Events:
        Get: {Type: HttpApi, Properties: {ApiId: !Ref Api, Method: get, Path: "/people/{name}"}}
  People:
    Type: AWS::DynamoDB::Table
    Properties:
      BillingMode: PAY_PER_REQUEST
      AttributeDefinitions: [{AttributeName: pk, AttributeType: S}, {AttributeName: at, AttributeType: N}]
      KeySchema: [{AttributeName: pk, KeyType: HASH}, {AttributeName: at, KeyType: RANGE}]
      TimeToLiveSpecification: {AttributeName: expires_at, Enabled: true}
  Sockets:
    Type: AWS::Serverless::WebSocketApi
    Properties:
      StageName: v1
      RouteSelectionExpression: $request.body.action
      Routes:
        $connect: {FunctionArn: !GetAtt Greet.Arn}
        $default: {FunctionArn: !GetAtt Relay.Arn}
  Relay:
    Type: AWS::Serverless::Function
    Metadata: {BuildProperties: {Binary: relay}}
    Properties:
      Environment:
        Variables: {CONNECTIONS_URL: !Sub "https://${Sockets}.execute-api.${AWS::Region}.${AWS::URLSuffix}/v1"}
      Policies:
        - Statement:
            Effect: Allow
            Action: execute-api:ManageConnections
            Resource: !Sub "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${Sockets}/v1/POST/@connections/*"
  Key:
    Type: AWS::SecretsManager::Secret
    Properties: {Name: !Sub "${AWS::StackName}/key"}
"#;

const TABLE_ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/People";
const SECRET_ARN: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:Key";

fn parameters(name: &str, value: &str) -> Vec<(String, String)> {
    vec![(name.to_owned(), value.to_owned())]
}

/// What is said of the small template if `original` is replaced in it.
fn refusal(original: &str, replacement: &str) -> String {
    assert!(SMALL.contains(original), "{original:?} is not in the template");
    Template::parse(&SMALL.replace(original, replacement), &[]).unwrap_err().to_string()
}

#[test]
fn this_repositorys_template_is_understood() {
    let template = Template::parse(TEMPLATE, &[]).unwrap();
    assert!(!template.functions.is_empty() && !template.tables.is_empty() && !template.secrets.is_empty());
}

#[test]
fn a_function_has_the_global_properties_and_its_own() {
    let template = Template::parse(SMALL, &[]).unwrap();
    let function = &template.functions[0];
    assert_eq!((function.logical_id.as_str(), function.name.as_str()), ("Greet", "greet"));
    assert_eq!((function.timeout, function.memory_mb), (Duration::from_secs(10), 512));
    assert_eq!(function.routes, [Route::new("GET", "/people/{name}").unwrap()]);
    let name = format!("localhost/{TABLE_ARN}");
    let expected = [
        ("DOMAIN", "localhost"),
        ("KEY", SECRET_ARN),
        ("LEVEL", "2"),
        ("LIMIT", "30"),
        ("NAME", &name),
        ("TABLE", "People"),
    ];
    assert_eq!(function.variables, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}

#[test]
fn a_policy_names_the_tables_by_their_arns() {
    let template = Template::parse(SMALL, &[]).unwrap();
    let decide = |action: &str| {
        let request = IamRequest { action: action.to_owned(), resource: TABLE_ARN.to_owned(), leading_keys: vec![] };
        template.functions[0].policy.decide(&request)
    };
    assert_eq!(decide("dynamodb:GetItem"), Decision::Allowed);
    assert_eq!(decide("dynamodb:PutItem"), Decision::ImplicitlyDenied);
}

#[test]
fn tables_and_secrets_are_as_declared() {
    let template = Template::parse(SMALL, &[]).unwrap();
    let table = template.table("People").unwrap();
    assert_eq!(table.partition_key, KeyAttribute { name: "pk".to_owned(), attribute_type: "S".to_owned() });
    assert_eq!(table.sort_key, Some(KeyAttribute { name: "at".to_owned(), attribute_type: "N".to_owned() }));
    assert_eq!(table.time_to_live.as_deref(), Some("expires_at"));
    assert_eq!(template.secrets, [Secret { logical_id: "Key".to_owned(), arn: SECRET_ARN.to_owned() }]);
}

#[test]
fn a_websocket_api_has_its_routes_and_stage() {
    let template = Template::parse(SMALL, &[]).unwrap();
    let expected = WebSocketApi {
        logical_id: "Sockets".to_owned(),
        id: "sockets".to_owned(),
        stage: "v1".to_owned(),
        routes: [(RouteKey::Connect, "Greet".to_owned()), (RouteKey::Default, "Relay".to_owned())].into(),
    };
    assert_eq!(template.websocket_apis, [expected]);
    let url = "https://sockets.execute-api.us-east-1.amazonaws.com/v1";
    assert_eq!(template.functions[1].variables["CONNECTIONS_URL"], url);
}

#[test]
fn a_websocket_api_without_a_stage_name_has_sams() {
    let template = Template::parse(&SMALL.replace("      StageName: v1\n", ""), &[]).unwrap();
    assert_eq!(template.websocket_apis[0].stage, "default");
}

#[test]
fn a_function_may_post_to_connections_of_the_api_and_stage_it_is_given() {
    let template = Template::parse(SMALL, &[]).unwrap();
    let decide = |resource: String| {
        let action = "execute-api:ManageConnections".to_owned();
        template.functions[1].policy.decide(&IamRequest { action, resource, leading_keys: vec![] })
    };
    assert_eq!(decide(connection_arn("sockets", "v1", "POST", "abc=")), Decision::Allowed);
    for (api, stage, method) in [("sockets", "v1", "DELETE"), ("sockets", "v2", "POST"), ("others", "v1", "POST")] {
        assert_eq!(decide(connection_arn(api, stage, method, "abc=")), Decision::ImplicitlyDenied);
    }
}

#[test]
fn given_parameters_override_the_defaults() {
    let template = Template::parse(SMALL, &parameters("Domain", "example.org")).unwrap();
    assert_eq!(template.functions[0].variables["DOMAIN"], "example.org");
    assert_eq!(template.parameters["Domain"], "example.org");
}

#[test]
fn parameters_that_do_not_exist_or_do_not_fit_are_refused() {
    for (name, value) in [("Domian", "example.org"), ("Limit", "many"), ("Limit", "0")] {
        assert!(Template::parse(SMALL, &parameters(name, value)).is_err(), "{name}={value}");
    }
}

#[test]
fn resources_of_other_types_are_refused() {
    assert_eq!(
        refusal("AWS::SecretsManager::Secret", "AWS::SSM::Parameter"),
        "template.yaml: Resources.Key.Type: resources of type \"AWS::SSM::Parameter\" are not understood"
    );
}

#[test]
fn a_refusal_names_the_resource_and_the_property() {
    for (original, replacement, location) in [
        ("BillingMode: PAY_PER_REQUEST", "TableName: people", "Resources.People.Properties.TableName: "),
        (
            "AttributeName: at, AttributeType: N",
            "AttributeName: at, AttributeType: X",
            "Resources.People.Properties.KeySchema: ",
        ),
        ("MemorySize: 512", "VpcConfig: {}", "Resources.Greet.Properties.VpcConfig: "),
        ("Type: HttpApi,", "Type: Schedule,", "Resources.Greet.Properties.Events.Get"),
        ("ApiId: !Ref Api", "ApiId: other", "Resources.Greet.Properties.Events.Get.Properties: "),
        (
            "Name: !Sub \"${AWS::StackName}/key\"",
            "GenerateSecretString: {}",
            "Resources.Key.Properties.GenerateSecretString: ",
        ),
        ("StageName: $default", "StageName: prod", "Resources.Api.Properties.StageName: "),
        ("KEY: !Ref Key", "KEY: !Ref Kye", "Resources.Greet.Properties.Environment.Variables.KEY: "),
        (
            "!GetAtt People.Arn",
            "!GetAtt People.StreamArn",
            "Resources.Greet.Properties.Policies[0].Statement.Resource: ",
        ),
        ("Binary: greet", "Bin: greet", "Resources.Greet.Metadata.BuildProperties.Binary: "),
        ("Globals:", "Mappings: {}\nGlobals:", "Mappings: "),
        ("MemorySize: 512", "MemorySize: !If [A, 1, 2]", "Resources.Greet.Properties.MemorySize: "),
        (
            "  People:\n    Type: AWS::DynamoDB::Table\n",
            "  People:\n    Type: AWS::DynamoDB::Table\n    Condition: A\n",
            "Resources.People.Condition: ",
        ),
        ("StageName: v1", "StageName: $default", "Resources.Sockets.Properties.StageName: "),
        ("StageName: v1", "Domain: {DomainName: example.org}", "Resources.Sockets.Properties.Domain: "),
        ("StageName: v1", "Auth: {AuthType: AWS_IAM}", "Resources.Sockets.Properties.Auth: "),
        ("$default: {", "ping: {", "Resources.Sockets.Properties.Routes.ping: "),
        (
            "$default: {FunctionArn",
            "$default: {IntegrationTimeout: 9, FunctionArn",
            "Resources.Sockets.Properties.Routes.$default.IntegrationTimeout: ",
        ),
        (
            "FunctionArn: !GetAtt Relay.Arn",
            "FunctionArn: !GetAtt People.Arn",
            "Resources.Sockets.Properties.Routes.$default.FunctionArn: ",
        ),
        (
            "Expression: $request.body.action",
            "Expression: $context.stage",
            "Resources.Sockets.Properties.RouteSelectionExpression: ",
        ),
        ("Timeout: 10", "Layers: []", "Resources.Greet.Properties.Layers: "),
        ("Globals:", "Outputs: {Url: {Value: !Ref Nothing}}\nGlobals:", "Outputs.Url.Value: "),
        ("Globals:", "Outputs: {Url: {Value: a, Export: {Name: b}}}\nGlobals:", "Outputs.Url.Export: "),
    ] {
        let refusal = refusal(original, replacement);
        assert!(refusal.starts_with(&format!("template.yaml: {location}")), "{refusal}");
    }
}

#[test]
fn policies_that_say_more_than_is_understood_are_refused() {
    let policies = "Policies:\n        - Statement:\n            Effect: Allow\n            Action: dynamodb:GetItem\n";
    let condition = "Action: dynamodb:GetItem\n            Condition: ";
    for (original, replacement) in [
        (
            policies,
            "Policies:\n        - AmazonDynamoDBFullAccess\n        - Statement:\n            Effect: Allow\n            Action: dynamodb:GetItem\n",
        ),
        (
            policies,
            "Policies:\n        - DynamoDBReadPolicy: {TableName: x}\n        - Statement:\n            Effect: Allow\n            Action: dynamodb:GetItem\n",
        ),
        ("Effect: Allow", "Effect: Permit"),
        ("Action: dynamodb:GetItem", "Action: dynamodb:*"),
        ("Action: dynamodb:GetItem", "Action: \"*\""),
        ("Action: dynamodb:GetItem", "NotAction: dynamodb:GetItem"),
        ("Action: dynamodb:GetItem", "Action: []"),
        ("Resource: !GetAtt People.Arn", "Resource: \"arn:aws:dynamodb:*:table/People\""),
        ("Action: dynamodb:GetItem", &format!("{condition}{{StringEquals: {{dynamodb:LeadingKeys: [a]}}}}")),
        (
            "Action: dynamodb:GetItem",
            &format!("{condition}{{ForAllValues:StringEquals: {{dynamodb:Attributes: [a]}}}}"),
        ),
        ("Action: dynamodb:GetItem", &format!("{condition}{{ForAllValues:StringLike: {{dynamodb:LeadingKeys: []}}}}")),
        (
            "Action: dynamodb:GetItem",
            &format!("{condition}{{ForAllValues:StringLike: {{dynamodb:LeadingKeys: [\"${{aws:userid}}\"]}}}}"),
        ),
    ] {
        let refusal = refusal(original, replacement);
        assert!(refusal.contains("Resources.Greet.Properties.Policies["), "{replacement}: {refusal}");
    }
}

#[test]
fn a_condition_on_leading_keys_is_refused_where_it_would_confine_nothing() {
    for action in ["dynamodb:Scan", "secretsmanager:GetSecretValue"] {
        let condition = "Condition: {ForAllValues:StringLike: {dynamodb:LeadingKeys: [a]}}";
        let refusal = refusal("Action: dynamodb:GetItem", &format!("Action: {action}\n            {condition}"));
        assert!(refusal.contains("does not confine"), "{refusal}");
    }
}

#[test]
fn two_functions_cannot_take_the_same_requests() {
    let second = SMALL.replace("  People:\n    Type", &format!(
        "  Second:\n    Type: AWS::Serverless::Function\n    Metadata: {{BuildProperties: {{Binary: second}}}}\n    \
         Properties:\n      Events:\n        Get: {{Type: HttpApi, Properties: {{ApiId: !Ref Api, Method: GET, Path: \
         \"/people/{}\"}}}}\n  People:\n    Type", "{id}"));
    let refusal = Template::parse(&second, &[]).unwrap_err().to_string();
    assert!(refusal.contains("takes the same requests"), "{refusal}");
}

//! The OpenAPI 3.1 description of the endpoints, made from their types.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::endpoint::{
    AddClient, Authentication, ClaimConnectionPackages, ClaimKeyPackages, CommitIdentity, CreateQsClient, CreateQsUser,
    CreateRendezvous, DeleteQsClient, DeleteQsUser, DeleteUser, DequeueMessages, DequeueQsMessages, ENDPOINTS,
    Endpoint, EnqueueMessage, EnqueueQsMessage, FinishRegistration, GetCredentials, GetIdentity, GetKeyPackages,
    GetQsKeys, GetQsUser, InitiateLogin, InitiateRegistration, IssueTokens, JoinRendezvous, OpenSession, Path as _,
    PublishConnectionPackages, PublishKeyPackages, RemoveClient, ResetIdentity, UpdateQsClient, UpdateQsUser,
    UseSession,
};
use crate::problem::{PROBLEM_MEDIA_TYPE, ProblemDocument, ProblemType};

/// The description, as `docs/openapi.json` has it.
pub fn document() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = "/components/schemas".into();
    let mut paths = Paths { generator: settings.into_generator(), operations: Map::new() };
    paths.add::<GetCredentials>();
    paths.add::<InitiateRegistration>();
    paths.add::<FinishRegistration>();
    paths.add::<AddClient>();
    paths.add::<RemoveClient>();
    paths.add::<InitiateLogin>();
    paths.add::<DeleteUser>();
    paths.add::<GetIdentity>();
    paths.add::<CommitIdentity>();
    paths.add::<ResetIdentity>();
    paths.add::<IssueTokens>();
    paths.add::<OpenSession>();
    paths.add::<UseSession>();
    paths.add::<GetQsKeys>();
    paths.add::<CreateQsUser>();
    paths.add::<PublishKeyPackages>();
    paths.add::<GetKeyPackages>();
    paths.add::<ClaimKeyPackages>();
    paths.add::<CreateQsClient>();
    paths.add::<GetQsUser>();
    paths.add::<UpdateQsUser>();
    paths.add::<DeleteQsUser>();
    paths.add::<UpdateQsClient>();
    paths.add::<DeleteQsClient>();
    paths.add::<EnqueueQsMessage>();
    paths.add::<DequeueQsMessages>();
    paths.add::<PublishConnectionPackages>();
    paths.add::<ClaimConnectionPackages>();
    paths.add::<EnqueueMessage>();
    paths.add::<DequeueMessages>();
    paths.add::<CreateRendezvous>();
    paths.add::<JoinRendezvous>();
    let problem = paths.schema::<ProblemDocument>();
    debug_assert_eq!(problem, json!({ "$ref": "#/components/schemas/Problem" }));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Vestibule",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The entrance of an end-to-end-encrypted messenger. Binary fields are base64url without \
                padding; what they hold is in docs/protocol.md.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "http://127.0.0.1:8787", "description": "cargo dev" }],
        "paths": paths.operations,
        "components": {
            "schemas": paths.generator.take_definitions(true),
            "parameters": signature_parameters(),
            "securitySchemes": {
                "token": { "type": "http", "scheme": "PrivateToken", "description": "RFC 9577; docs/protocol.md, section 25." },
            },
        },
    })
}

struct Paths {
    generator: SchemaGenerator,
    operations: Map<String, Value>,
}

impl Paths {
    fn schema<T: JsonSchema>(&mut self) -> Value {
        self.generator.subschema_for::<T>().to_value()
    }

    fn add<E: Endpoint>(&mut self) {
        let description = &E::DESCRIPTION;
        debug_assert!(ENDPOINTS.iter().any(|listed| listed.function == description.function));
        let mut operation = json!({
            "operationId": description.function,
            "summary": description.summary,
            "parameters": parameters::<E>(),
            "responses": self.responses::<E>(),
        });
        if description.max_request_length > 0 {
            operation["requestBody"] = json!({
                "required": true,
                "description": format!("At most {} bytes.", description.max_request_length),
                "content": { "application/json": { "schema": self.schema::<E::Request>() } },
            });
        }
        if description.authentication.takes_token() {
            operation["security"] = json!([{ "token": [] }]);
        }
        let path = self.operations.entry(description.path).or_insert_with(|| json!({}));
        path[description.method.as_str().to_lowercase()] = operation;
    }

    fn responses<E: Endpoint>(&mut self) -> Value {
        let description = &E::DESCRIPTION;
        let mut responses = Map::new();
        responses.insert(
            description.status.to_string(),
            json!({
                "description": "All is well.",
                "content": { "application/json": { "schema": self.schema::<E::Response>() } },
            }),
        );
        let problem = self.schema::<ProblemDocument>();
        let mut by_status: BTreeMap<u16, Vec<ProblemType>> = BTreeMap::new();
        for problem_type in description.all_problems() {
            by_status.entry(problem_type.status()).or_default().push(problem_type);
        }
        for (status, types) in by_status {
            let lines: Vec<_> = types.iter().map(|kind| format!("- `{}`: {}.", kind.urn(), kind.title())).collect();
            let mut response = json!({
                "description": lines.join("\n"),
                "content": { PROBLEM_MEDIA_TYPE: { "schema": problem } },
            });
            if matches!(status, 429 | 503) {
                response["headers"] = json!({
                    "Retry-After": { "description": "Seconds to wait.", "schema": { "type": "integer" } },
                });
            }
            responses.insert(status.to_string(), response);
        }
        Value::Object(responses)
    }
}

fn parameters<E: Endpoint>() -> Vec<Value> {
    let description = &E::DESCRIPTION;
    let in_path = description.path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
    });
    let in_query = E::Path::QUERY_PARAMETERS.iter().map(
        |name| json!({ "name": name, "in": "query", "required": true, "schema": { "type": "integer", "minimum": 0 } }),
    );
    let signature: &[&str] = match description.authentication {
        Authentication::ClientIfSigned => {
            &["Content-Digest-If-Signed", "Signature-Input-If-Signed", "Signature-If-Signed"]
        }
        authentication if authentication.is_signature() => &["Content-Digest", "Signature-Input", "Signature"],
        _ => &[],
    };
    let in_header = signature.iter().map(|name| json!({ "$ref": format!("#/components/parameters/{name}") }));
    in_path.chain(in_query).chain(in_header).collect()
}

fn signature_parameters() -> Value {
    let mut parameters = Map::new();
    for (name, description) in [
        ("Content-Digest", "RFC 9530: the SHA-256 digest of the body."),
        ("Signature-Input", "RFC 9421; docs/protocol.md says what must be covered."),
        ("Signature", "RFC 9421, Ed25519, labelled `sig`."),
    ] {
        for (key, is_required) in [(name.to_owned(), true), (format!("{name}-If-Signed"), false)] {
            let parameter = json!({
                "name": name,
                "in": "header",
                "required": is_required,
                "description": description,
                "schema": { "type": "string" },
            });
            parameters.insert(key, parameter);
        }
    }
    Value::Object(parameters)
}

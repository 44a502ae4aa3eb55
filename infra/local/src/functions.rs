//! The functions' code.

use std::pin::Pin;

use vestibule_backend::websocket::WebSocketFunction;
use vestibule_backend::{Environment, EventHandler, HttpFunction, StartError, event_handler, websocket_event_handler};
use vestibule_protocol::endpoint::Endpoint as _;

/// A function's code, to be started in the environment that `template.yaml` describes.
#[derive(Clone, Copy, Debug)]
pub struct FunctionEntry {
    /// The name of its binary.
    pub name: &'static str,
    /// Starts it.
    pub start: fn(Environment) -> Starting,
}

/// A function on its way to take events.
pub type Starting = Pin<Box<dyn Future<Output = Result<EventHandler, StartError>> + Send>>;

/// Every function of this repository.
pub const FUNCTIONS: &[FunctionEntry] = &[
    FunctionEntry::http::<as_get_credentials::AsGetCredentials>(),
    FunctionEntry::http::<as_initiate_registration::AsInitiateRegistration>(),
    FunctionEntry::http::<as_finish_registration::AsFinishRegistration>(),
    FunctionEntry::http::<as_add_client::AsAddClient>(),
    FunctionEntry::http::<as_remove_client::AsRemoveClient>(),
    FunctionEntry::http::<as_initiate_login::AsInitiateLogin>(),
    FunctionEntry::http::<as_delete_user::AsDeleteUser>(),
    FunctionEntry::http::<as_get_identity::AsGetIdentity>(),
    FunctionEntry::http::<as_commit_identity::AsCommitIdentity>(),
    FunctionEntry::http::<as_reset_identity::AsResetIdentity>(),
    FunctionEntry::http::<as_issue_tokens::AsIssueTokens>(),
    FunctionEntry::http::<ks_open_session::KsOpenSession>(),
    FunctionEntry::http::<ks_use_session::KsUseSession>(),
    FunctionEntry::http::<qs_get_keys::QsGetKeys>(),
    FunctionEntry::http::<qs_create_user::QsCreateUser>(),
    FunctionEntry::http::<qs_publish_key_packages::QsPublishKeyPackages>(),
    FunctionEntry::http::<qs_get_key_packages::QsGetKeyPackages>(),
    FunctionEntry::http::<qs_claim_key_packages::QsClaimKeyPackages>(),
    FunctionEntry::http::<qs_create_client::QsCreateClient>(),
    FunctionEntry::http::<qs_get_user::QsGetUser>(),
    FunctionEntry::http::<qs_update_user::QsUpdateUser>(),
    FunctionEntry::http::<qs_delete_user::QsDeleteUser>(),
    FunctionEntry::http::<qs_update_client::QsUpdateClient>(),
    FunctionEntry::http::<qs_delete_client::QsDeleteClient>(),
    FunctionEntry::http::<qs_enqueue::QsEnqueue>(),
    FunctionEntry::http::<qs_dequeue::QsDequeue>(),
    FunctionEntry::http::<as_publish_connection_packages::AsPublishConnectionPackages>(),
    FunctionEntry::http::<as_claim_connection_package::AsClaimConnectionPackage>(),
    FunctionEntry::http::<as_enqueue::AsEnqueue>(),
    FunctionEntry::http::<as_dequeue::AsDequeue>(),
    FunctionEntry::http::<rs_create::RsCreate>(),
    FunctionEntry::http::<rs_join::RsJoin>(),
    FunctionEntry::websocket::<qs_listen::QsListen>(),
    FunctionEntry::websocket::<qs_unlisten::QsUnlisten>(),
    FunctionEntry::websocket::<rs_connect::RsConnect>(),
    FunctionEntry::websocket::<rs_relay::RsRelay>(),
    FunctionEntry::websocket::<rs_disconnect::RsDisconnect>(),
];

impl FunctionEntry {
    /// The entry of a function of the HTTP API.
    pub const fn http<F: HttpFunction>() -> Self {
        Self { name: F::Endpoint::DESCRIPTION.function, start: |environment| Box::pin(event_handler::<F>(environment)) }
    }

    /// The entry of a function of a WebSocket API.
    pub const fn websocket<F: WebSocketFunction>() -> Self {
        Self { name: F::NAME, start: |environment| Box::pin(websocket_event_handler::<F>(environment)) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use vestibule_protocol::endpoint::ENDPOINTS;

    use super::*;
    use crate::template::{TEMPLATE, Template};

    #[test]
    fn every_function_of_the_template_has_code() {
        let template = Template::parse(TEMPLATE, &[]).unwrap();
        let named: BTreeSet<&str> = template.functions.iter().map(|function| function.name.as_str()).collect();
        assert_eq!(FUNCTIONS.iter().map(|function| function.name).collect::<BTreeSet<_>>(), named);
    }

    #[test]
    fn every_endpoint_is_the_route_of_its_function() {
        let template = Template::parse(TEMPLATE, &[]).unwrap();
        for endpoint in ENDPOINTS {
            let function = template.functions.iter().find(|function| function.name == endpoint.function).unwrap();
            let keys: Vec<String> = function.routes.iter().map(|route| route.key()).collect();
            assert_eq!(keys, [format!("{} {}", endpoint.method.as_str(), endpoint.path)], "{}", endpoint.function);
        }
    }

    /// `cargo lambda watch` has one environment for all functions.
    #[test]
    fn a_variable_means_the_same_in_all_functions() {
        let template = Template::parse(TEMPLATE, &[]).unwrap();
        let mut values = BTreeMap::new();
        for function in &template.functions {
            for (name, value) in &function.variables {
                let first = values.entry(name).or_insert(value);
                assert_eq!(*first, value, "{name} in {}", function.name);
            }
        }
    }
}

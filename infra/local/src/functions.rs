//! The functions' code.

use std::pin::Pin;

use vestibule_backend::{Environment, EventHandler, HttpFunction, StartError, event_handler};
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
    entry::<as_get_credentials::AsGetCredentials>(),
    entry::<as_initiate_registration::AsInitiateRegistration>(),
    entry::<as_finish_registration::AsFinishRegistration>(),
    entry::<ks_open_session::KsOpenSession>(),
    entry::<ks_use_session::KsUseSession>(),
    entry::<qs_get_keys::QsGetKeys>(),
    entry::<qs_create_user::QsCreateUser>(),
    entry::<qs_publish_key_packages::QsPublishKeyPackages>(),
    entry::<qs_get_key_packages::QsGetKeyPackages>(),
    entry::<qs_claim_key_packages::QsClaimKeyPackages>(),
];

const fn entry<F: HttpFunction>() -> FunctionEntry {
    FunctionEntry {
        name: F::Endpoint::DESCRIPTION.function,
        start: |environment| Box::pin(event_handler::<F>(environment)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

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
}

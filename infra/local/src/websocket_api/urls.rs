//! Where clients find the WebSocket APIs.

use std::collections::BTreeMap;

use crate::arn::api_host;
use crate::template::WebSocketApi;

/// The URLs of the WebSocket APIs.
pub(crate) struct Urls {
    pub(crate) by_logical_id: BTreeMap<String, String>,
    /// By the URL that the API would have on AWS.
    by_url: BTreeMap<String, String>,
    /// The URL of each `@connections` API on AWS, and its path at the endpoint for the calls of functions.
    connections: BTreeMap<String, String>,
}

impl Urls {
    /// The URLs of `apis` on a local cloud that listens on `authority`, such as `127.0.0.1:8787`.
    pub(crate) fn new(apis: &[WebSocketApi], authority: &str) -> Self {
        let here = |api: &WebSocketApi| format!("ws://{authority}{}", path_of(api));
        let on_aws = |api: &WebSocketApi| format!("wss://{}/{}", api_host(&api.id), api.stage);
        Self {
            by_logical_id: apis.iter().map(|api| (api.logical_id.clone(), here(api))).collect(),
            by_url: apis.iter().map(|api| (on_aws(api), here(api))).collect(),
            connections: apis.iter().map(|api| (on_aws(api).replace("wss://", "https://"), path_of(api))).collect(),
        }
    }

    /// The value of a function's variable in the local cloud. A function that tells clients where to connect has the
    /// API's URL in one; here it must be the one at which they find it.
    pub(crate) fn localized(&self, value: &str) -> String {
        self.by_url.get(value).map_or(value, String::as_str).to_owned()
    }

    /// As [`Self::localized`], for a function that is a process of its own: it calls the connections of an API at `endpoint`
    /// too, such as `http://127.0.0.1:8788`.
    pub(crate) fn localized_for_process(&self, value: &str, endpoint: &str) -> String {
        self.connections.get(value).map_or_else(|| self.localized(value), |path| format!("{endpoint}{path}"))
    }
}

/// The path of an API on the port of the local cloud.
pub(super) fn path_of(api: &WebSocketApi) -> String {
    format!("/{}/{}", api.id, api.stage)
}

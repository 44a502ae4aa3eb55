//! What a service answers.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

/// A service's answer in the AWS JSON protocol.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn ok(body: &Value) -> Self {
        Self { status: 200, body: body.to_string().into_bytes() }
    }

    pub(crate) fn error(status: u16, error_type: &str, message: &str) -> Self {
        let body = json!({"__type": error_type, "message": message});
        Self { status, body: body.to_string().into_bytes() }
    }

    pub(crate) fn into_response(self) -> Result<HttpResponse, ConnectorError> {
        let status = self.status.try_into().map_err(|error| ConnectorError::other(Box::new(error), None))?;
        let mut response = HttpResponse::new(status, SdkBody::from(self.body));
        response.headers_mut().insert("content-type", "application/x-amz-json-1.0");
        Ok(response)
    }
}

//! Where a deployment's secrets and tables are: what its CloudFormation stack says of itself.

use std::collections::BTreeMap;

use serde::Deserialize;
use vestibule_protocol::name::Domain;

/// The outputs and the domain of a stack, as `aws cloudformation describe-stacks` prints them.
pub struct Stack {
    outputs: BTreeMap<String, String>,
    domain: Domain,
}

/// Why a stack's description is of no use.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// It is not what the command prints.
    #[error("it is not what `aws cloudformation describe-stacks --stack-name … --output json` prints")]
    Malformed,
    /// It tells of no stack, or of several.
    #[error("it describes {0} stacks, and one is wanted")]
    Count(usize),
    /// The stack does not say what its users' names end in.
    #[error("the stack has no parameter Domain: is it one of Vestibule?")]
    NoDomain,
    /// The stack has no such output.
    #[error("the stack has no output {0}: is it one of Vestibule, and is it deployed completely?")]
    NoOutput(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Description {
    stacks: Vec<DescribedStack>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribedStack {
    #[serde(default)]
    parameters: Vec<Parameter>,
    #[serde(default)]
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Parameter {
    parameter_key: String,
    parameter_value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    output_key: String,
    output_value: String,
}

impl Stack {
    /// Reads the description.
    ///
    /// # Errors
    /// [`StackError`].
    pub fn read(json: &str) -> Result<Self, StackError> {
        let Description { mut stacks } = serde_json::from_str(json).map_err(|_| StackError::Malformed)?;
        match (stacks.pop(), stacks.len()) {
            (Some(stack), 0) => {
                let domain = stack.parameters.iter().find(|parameter| parameter.parameter_key == "Domain");
                let domain =
                    domain.and_then(|domain| domain.parameter_value.parse().ok()).ok_or(StackError::NoDomain)?;
                let outputs =
                    stack.outputs.into_iter().map(|output| (output.output_key, output.output_value)).collect();
                Ok(Self { outputs, domain })
            }
            (None, _) => Err(StackError::Count(0)),
            (Some(_), others) => Err(StackError::Count(others + 1)),
        }
    }

    /// What the user names end in.
    pub fn domain(&self) -> &Domain {
        &self.domain
    }

    /// The ARN of the secret with this logical id.
    ///
    /// # Errors
    /// [`StackError::NoOutput`].
    pub fn secret(&self, logical_id: &str) -> Result<&str, StackError> {
        self.output(format!("{logical_id}Arn"))
    }

    /// The name of the table with this logical id.
    ///
    /// # Errors
    /// [`StackError::NoOutput`].
    pub fn table(&self, logical_id: &str) -> Result<&str, StackError> {
        self.output(format!("{logical_id}Name"))
    }

    fn output(&self, key: String) -> Result<&str, StackError> {
        self.outputs.get(&key).map(String::as_str).ok_or(StackError::NoOutput(key))
    }
}

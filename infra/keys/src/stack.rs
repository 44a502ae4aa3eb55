//! Where a deployment's secrets and tables are: what its CloudFormation stack says of itself.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The outputs of a stack, as `aws cloudformation describe-stacks` prints them.
pub struct Stack(BTreeMap<String, String>);

/// Why a stack's description is of no use.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// It is not what the command prints.
    #[error("it is not what `aws cloudformation describe-stacks --stack-name … --output json` prints")]
    Malformed,
    /// It tells of no stack, or of several.
    #[error("it describes {0} stacks, and one is wanted")]
    Count(usize),
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
    outputs: Vec<Output>,
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
                Ok(Self(stack.outputs.into_iter().map(|output| (output.output_key, output.output_value)).collect()))
            }
            (None, _) => Err(StackError::Count(0)),
            (Some(_), others) => Err(StackError::Count(others + 1)),
        }
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
        self.0.get(&key).map(String::as_str).ok_or(StackError::NoOutput(key))
    }
}

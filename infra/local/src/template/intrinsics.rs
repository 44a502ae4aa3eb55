//! `Ref`, `Fn::Sub` and `Fn::GetAtt`: what they stand for in the local cloud.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::TemplateError;
use super::document::below;
use super::resource::ResourceType;
use crate::arn::{ACCOUNT_ID, REGION};

/// The values that a template's intrinsic functions can name.
#[derive(Debug)]
pub(super) struct Intrinsics {
    references: BTreeMap<String, String>,
    arns: BTreeMap<String, String>,
}

impl Intrinsics {
    pub(super) fn new(parameters: &BTreeMap<String, String>, resources: &BTreeMap<String, ResourceType>) -> Self {
        let pseudo_parameters = [
            ("AWS::AccountId", ACCOUNT_ID),
            ("AWS::Partition", "aws"),
            ("AWS::Region", REGION),
            ("AWS::StackName", "vestibule-local"),
            ("AWS::URLSuffix", "amazonaws.com"),
        ];
        let mut references = parameters.clone();
        references.extend(pseudo_parameters.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let mut arns = BTreeMap::new();
        for (id, resource_type) in resources {
            references.insert(id.clone(), resource_type.reference(id));
            arns.extend(resource_type.arn(id).map(|arn| (id.clone(), arn)));
        }
        Self { references, arns }
    }

    /// `value` with everything that refers to something replaced by what it refers to.
    pub(super) fn resolve(&self, value: &Value, location: &str) -> Result<Value, TemplateError> {
        match value {
            Value::Object(object) => match intrinsic_function(object) {
                Some((function, argument)) => self.call(function, argument, location).map(Value::String),
                None => self.resolve_object(object, location).map(Value::Object),
            },
            Value::Array(elements) => {
                let elements = elements.iter().enumerate();
                elements.map(|(index, element)| self.resolve(element, &format!("{location}[{index}]"))).collect()
            }
            scalar => Ok(scalar.clone()),
        }
    }

    fn resolve_object(&self, object: &Map<String, Value>, location: &str) -> Result<Map<String, Value>, TemplateError> {
        let resolve = |(key, value): (&String, &Value)| Ok((key.clone(), self.resolve(value, &below(location, key))?));
        object.iter().map(resolve).collect()
    }

    fn call(&self, function: &str, argument: &Value, location: &str) -> Result<String, TemplateError> {
        match (function, argument) {
            ("Ref", Value::String(name)) => self.reference(name, location),
            ("Fn::Sub", Value::String(text)) => self.substitute(text, location),
            ("Fn::GetAtt", Value::Array(path)) => match path.as_slice() {
                [Value::String(resource), Value::String(attribute)] => self.attribute(resource, attribute, location),
                _ => Err(TemplateError::new(location, "Fn::GetAtt takes a resource and an attribute")),
            },
            _ => Err(TemplateError::new(location, format!("{function} in this form is not understood"))),
        }
    }

    fn reference(&self, name: &str, location: &str) -> Result<String, TemplateError> {
        let value = self.references.get(name).cloned();
        value.ok_or_else(|| TemplateError::new(location, format!("there is no parameter or resource named {name}")))
    }

    fn attribute(&self, resource: &str, attribute: &str, location: &str) -> Result<String, TemplateError> {
        let arn = self.arns.get(resource).filter(|_| attribute == "Arn").cloned();
        arn.ok_or_else(|| TemplateError::new(location, format!("{resource}.{attribute} is not understood")))
    }

    fn substitute(&self, text: &str, location: &str) -> Result<String, TemplateError> {
        let mut substituted = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| TemplateError::new(location, format!("a ${{ without its }} in {text:?}")))?;
            substituted.push_str(before);
            substituted.push_str(&self.placeholder(name, location)?);
            rest = after;
        }
        substituted.push_str(rest);
        Ok(substituted)
    }

    /// What stands for `${name}`: `${!name}` is the escaped form of itself.
    fn placeholder(&self, name: &str, location: &str) -> Result<String, TemplateError> {
        if let Some(literal) = name.strip_prefix('!') {
            return Ok(format!("${{{literal}}}"));
        }
        match name.split_once('.') {
            Some((resource, attribute)) => self.attribute(resource, attribute, location),
            None => self.reference(name, location),
        }
    }
}

/// The function and its argument, if `object` is a call of an intrinsic function. Those that the local cloud does not
/// know are among them: they must not pass as data.
fn intrinsic_function(object: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut entries = object.iter();
    let (key, argument) = entries.next()?;
    let is_function = entries.next().is_none() && (key == "Ref" || key.starts_with("Fn::"));
    is_function.then_some((key.as_str(), argument))
}

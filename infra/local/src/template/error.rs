/// Something in a template that is wrong or that the local cloud does not understand. It names the place, starting
/// with the section and the resource.
#[derive(Debug, thiserror::Error)]
#[error("template.yaml: {}{problem}", if .location.is_empty() { String::new() } else { format!("{location}: ") })]
pub struct TemplateError {
    location: String,
    problem: String,
}

impl TemplateError {
    pub(super) fn new(location: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { location: location.into(), problem: problem.into() }
    }
}

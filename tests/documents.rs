//! The generated documents are those that the code generates.
//!
//! `VESTIBULE_BLESS=1 cargo test --workspace documents` writes them anew.

use std::path::{Path, PathBuf};

use serde_json::Value;

mod vectors;

/// Compares a generated document with the committed one, or replaces it.
fn assert_current(path: &str, generated: &Value) {
    let path = repository().join(path);
    let generated = format!("{}\n", serde_json::to_string_pretty(generated).unwrap());
    if std::env::var_os("VESTIBULE_BLESS").is_some() {
        std::fs::write(&path, generated).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == generated,
        "{} is not current: run VESTIBULE_BLESS=1 cargo test --workspace documents",
        path.display()
    );
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn the_openapi_description_is_current() {
    assert_current("docs/openapi.json", &vestibule_protocol::openapi::document());
}

#[test]
fn every_endpoint_has_an_operation() {
    let document = vestibule_protocol::openapi::document();
    for endpoint in vestibule_protocol::endpoint::ENDPOINTS {
        let operation = &document["paths"][endpoint.path][endpoint.method.as_str().to_lowercase()];
        assert_eq!(operation["operationId"], endpoint.function);
    }
    let operations: usize =
        document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
    assert_eq!(operations, vestibule_protocol::endpoint::ENDPOINTS.len());
}

//! The generated documents are those that the code generates.
//!
//! `VESTIBULE_BLESS=1 cargo test --workspace documents` writes them anew.

use std::path::{Path, PathBuf};

use serde_json::Value;
use vestibule_tests::TestCloud;

mod queuing_vectors;
mod vectors;

/// Compares a generated document with the committed one, or replaces it.
fn assert_current(path: &str, generated: &Value) {
    let path = repository().join(path);
    if std::env::var_os("VESTIBULE_BLESS").is_some() {
        let text = format!("{}\n", serde_json::to_string_pretty(generated).unwrap());
        std::fs::write(&path, text).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        serde_json::from_str::<Value>(&committed).is_ok_and(|committed| committed == *generated),
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

#[test]
fn the_protocol_document_names_every_endpoint_and_problem() {
    let document = std::fs::read_to_string(repository().join("docs/protocol.md")).unwrap();
    for endpoint in vestibule_protocol::endpoint::ENDPOINTS {
        let heading = format!("### `{} {}`", endpoint.method.as_str(), endpoint.path);
        assert!(document.contains(&heading), "{heading}");
    }
    for problem_type in vestibule_protocol::problem::ProblemType::ALL {
        let row = format!("| `{}` | {} |", problem_type.slug(), problem_type.status());
        assert!(document.contains(&row), "{row}");
    }
}

/// One event of each kind, with which a function can be invoked by hand. In this order: the ticket that connects is the one
/// that was created.
#[tokio::test]
async fn the_events_are_such_as_functions_take() {
    let events = [
        ("http-get.json", "as-get-credentials", 200),
        ("http-post.json", "rs-create", 201),
        ("web-socket-connect.json", "rs-connect", 200),
        // Nobody knows the id of the mailbox beforehand.
        ("web-socket-message.json", "rs-relay", 404),
        ("web-socket-disconnect.json", "rs-disconnect", 200),
    ];
    let cloud = TestCloud::start().await;
    let directory = repository().join("docs/events");
    for (file, function, status) in events {
        let event = serde_json::from_slice(&std::fs::read(directory.join(file)).unwrap()).unwrap();
        let answer = cloud.cloud.invoke(function, event).await.unwrap();
        assert_eq!(answer["statusCode"], status, "{file}: {answer}");
    }
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<_> = files.collect();
    files.sort();
    let mut named = events.map(|(file, ..)| file);
    named.sort_unstable();
    assert_eq!(files, named);
}

//! The connection packages of the clients of the authentication service in this process.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use vestibule_protocol::connection_package::ConnectionPackage;
use vestibule_protocol::credential::ClientCredentialPayload;
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::endpoint::PublishConnectionPackagesRequest;
use vestibule_protocol::name::ClientId;
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::queue::QueueKeys;
use vestibule_protocol::signed::Unverified;
use vestibule_protocol::time::Timestamp;

use super::clients::problem;

/// What a client has published last.
#[derive(Default)]
pub(crate) struct FakePublication {
    pub(crate) packages: Vec<Bytes>,
    /// How many it ever has published.
    pub(crate) tail: u64,
    /// The keys of its queue, unless its registration brought them.
    pub(crate) queue: Option<QueueKeys>,
    request_digest: Option<[u8; 32]>,
}

/// What each client has published last, by its id.
#[derive(Default)]
pub(crate) struct FakeConnectionPackages(pub(crate) BTreeMap<String, FakePublication>);

impl FakeConnectionPackages {
    /// Those of a client that registers.
    pub(super) fn register(&mut self, client_id: &str, packages: &[Bytes]) {
        let (packages, tail) = (packages.to_vec(), packages.len() as u64);
        self.0.insert(client_id.to_owned(), FakePublication { packages, tail, ..FakePublication::default() });
    }

    pub(super) fn publish(
        &mut self,
        client_id: &ClientId,
        credential: &Bytes,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Value, Problem> {
        let request: PublishConnectionPackagesRequest = serde_json::from_slice(body).unwrap();
        let digest = Sha256::digest(body).into();
        let known = self.0.entry(client_id.to_string()).or_default();
        if known.request_digest == Some(digest) {
            return Ok(json!({}));
        }
        assert_eq!(request.queue.is_some(), request.first_index == 0);
        if request.first_index != known.tail {
            return Err(problem(ProblemType::ConnectionPackagesOutdated));
        }
        let credential = Unverified::<ClientCredentialPayload>::from_bytes(&credential.0).unwrap();
        for package in &request.connection_packages {
            ConnectionPackage::verify_owner(&package.0, client_id, &credential.claim().verifying_key, now)
                .map_err(|error| Problem::new(ProblemType::ConnectionPackageInvalid, error))?;
        }
        known.tail += request.connection_packages.len() as u64;
        known.packages = request.connection_packages;
        known.queue = request.queue.or(known.queue.take());
        known.request_digest = Some(digest);
        Ok(json!({}))
    }
}

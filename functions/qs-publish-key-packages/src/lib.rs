//! `PUT /v1/qs/clients/{qs_client_id}/key-packages`: a new generation of a client's KeyPackages (`user-creation.md`,
//! "KeyPackage upload").
//!
//! The same request again gets the same answer, as long as no newer generation is published.
#![deny(missing_docs)]

use vestibule_backend::queuing_service::key_packages::{KeyPackages, NewGeneration, StoredPackage};
use vestibule_backend::{Clock, EndpointRequest, Environment, HttpFunction, StartError, signature_problem};
use vestibule_key_packages::{PackageError, Publication, PublicationError, PublishedPackage};
use vestibule_protocol::endpoint::{PublishKeyPackages, PublishKeyPackagesRequest, PublishKeyPackagesResponse};
use vestibule_protocol::problem::{Problem, ProblemType};
use vestibule_protocol::request_signature::Service;

/// The function.
pub struct QsPublishKeyPackages {
    tag: String,
    clock: Clock,
    key_packages: KeyPackages,
}

impl HttpFunction for QsPublishKeyPackages {
    type Endpoint = PublishKeyPackages;

    async fn start(environment: &Environment) -> Result<Self, StartError> {
        Ok(Self {
            tag: Service::Queuing.tag(&environment.domain()?),
            clock: environment.clock().clone(),
            key_packages: KeyPackages::new(environment)?,
        })
    }

    async fn handle(
        &self,
        request: EndpointRequest<PublishKeyPackages>,
    ) -> Result<PublishKeyPackagesResponse, Problem> {
        let now = self.clock.now();
        let id = &request.path.qs_client_id;
        let signature = request.signature(&self.tag, now)?;
        let client = self.key_packages.client(id, now).await?;
        signature.verify(&client.verifying_key).map_err(signature_problem)?;

        let PublishKeyPackagesRequest { generation, add_packages, last_resort_add_package } = &request.body;
        if !client.is_published(*generation, &request.body_hash)? {
            let publication =
                Publication::check(add_packages, last_resort_add_package.as_ref(), now).map_err(publication_problem)?;
            let generation = new_generation(*generation, request.body_hash, publication);
            self.key_packages.publish(id, &generation, now).await?;
        }
        Ok(PublishKeyPackagesResponse { generation: *generation })
    }
}

fn new_generation(number: u64, digest: [u8; 32], publication: Publication) -> NewGeneration {
    let stored = |PublishedPackage { add_package, not_after }| StoredPackage { add_package, not_after };
    NewGeneration {
        number,
        digest,
        not_after: publication.not_after(),
        packages: publication.packages.into_iter().map(stored).collect(),
        last_resort: stored(publication.last_resort),
    }
}

fn publication_problem(error: PublicationError) -> Problem {
    let problem_type = match error {
        PublicationError::Count(_) => ProblemType::KeyPackageCount,
        PublicationError::LastResortMissing => ProblemType::LastResortMissing,
        PublicationError::Package { error, .. } => match error {
            PackageError::TooLarge => ProblemType::KeyPackageTooLarge,
            PackageError::Malformed => ProblemType::KeyPackageMalformed,
            PackageError::Ciphersuite => ProblemType::KeyPackageCiphersuite,
            PackageError::SignatureInvalid => ProblemType::KeyPackageSignatureInvalid,
            PackageError::Expired => ProblemType::KeyPackageExpired,
            PackageError::Lifetime => ProblemType::KeyPackageLifetime,
            PackageError::Capabilities => ProblemType::KeyPackageCapabilities,
            PackageError::Extensions => ProblemType::KeyPackageExtensions,
            PackageError::LeafCredential => ProblemType::LeafCredentialInvalid,
            PackageError::QueueConfig => ProblemType::QueueConfigMissing,
            PackageError::LastResortMisplaced => ProblemType::LastResortMisplaced,
            PackageError::Duplicate => ProblemType::KeyPackageDuplicate,
        },
    };
    Problem::new(problem_type, error)
}

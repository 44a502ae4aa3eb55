//! The deployment's keys.

use std::error::Error;

use rand::{CryptoRng, RngCore};
use vestibule_keys::Deployment;
use vestibule_protocol::name::Domain;
use zeroize::Zeroizing;

use crate::operator::Operator;
use crate::private_file;

/// The file in the state directory that has the root key, which no function ever sees.
const ROOT_FILE: &str = "root.json";

/// Makes the keys of a deployment and puts them where the functions look for them, unless they are there already. The
/// root key is kept in the state directory; in memory, nobody keeps it.
///
/// # Errors
/// If something cannot be written.
pub async fn provision(
    operator: &Operator,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let domain: Domain = operator.parameter("Domain").ok_or("the template has no parameter Domain")?.parse()?;
    let deployment = Deployment::generate(domain, operator.clock().now(), rng);
    let is_published = operator.items("AsTable").await?.iter().any(|item| item["pk"]["S"] == "CREDENTIALS");
    let has_secrets = deployment.secrets.iter().all(|secret| operator.has_secret(secret.logical_id));
    if is_published && has_secrets {
        return Ok(());
    }

    if let Some(directory) = operator.state_directory() {
        let root = Zeroizing::new(serde_json::to_string(&deployment.root)?);
        private_file::replace(&directory.join(ROOT_FILE), root.as_bytes())?;
    }
    for secret in &deployment.secrets {
        operator.put_secret(secret.logical_id, &secret.json)?;
    }
    // Last, so that a start which was interrupted before makes everything anew.
    operator.put_item("AsTable", deployment.public_credentials_item().to_dynamodb_json()).await?;
    Ok(())
}

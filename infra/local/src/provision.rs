//! The deployment's keys.

use std::error::Error;

use rand::{CryptoRng, RngCore};
use vestibule_backend::dynamodb::Item;
use vestibule_keys::{Deployment, QueuingServiceKeys, RootDocument, SecretDocumentJson, TokenIssuerKeys};
use vestibule_protocol::name::Domain;
use zeroize::Zeroizing;

use crate::cloud::LocalCloudError;
use crate::operator::Operator;
use crate::private_file;

/// The file in the state directory that has the root key, which no function ever sees.
const ROOT_FILE: &str = "root.json";

/// Makes the keys of a deployment and puts them where the functions look for them, unless they are there already. The
/// root key is kept in the state directory; in memory, nobody keeps it.
///
/// # Errors
/// If something cannot be written, or a state directory has lost its root key.
pub async fn provision(
    operator: &Operator,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let domain: Domain = operator.parameter("Domain").ok_or("the template has no parameter Domain")?.parse()?;
    // What is public comes last: a start that was interrupted before it makes everything anew. So does one whose tables
    // outlived its secrets, as those of another DynamoDB outlive a local cloud in memory.
    if !has_item(operator, "AsTable", "CREDENTIALS").await? || !operator.has_secret("AsSigningSecret") {
        let deployment = Deployment::generate(domain, operator.clock().now(), rng);
        if let Some(directory) = operator.state_directory() {
            let root = Zeroizing::new(serde_json::to_string(&deployment.root)?);
            private_file::replace(&directory.join(ROOT_FILE), root.as_bytes())?;
        }
        put_secrets(operator, &deployment.secrets)?;
        put_queuing_service(operator, &deployment.queuing_service).await?;
        put_token_issuer(operator, &deployment.token_issuer).await?;
        operator.put_item("AsTable", deployment.public_credentials_item().to_dynamodb_json()).await?;
    } else if !has_item(operator, "QsTable", "KEYS").await? {
        // A state directory from before there was a queuing service.
        let directory = operator.state_directory().ok_or("the keys of the queuing service are missing")?;
        let root = Zeroizing::new(std::fs::read_to_string(directory.join(ROOT_FILE))?);
        let root: RootDocument = serde_json::from_str(&root)?;
        let now = operator.clock().now();
        let keys = QueuingServiceKeys::generate(&root.verified(&domain, now)?, &root.signing_key, now, rng);
        put_queuing_service(operator, &keys).await?;
    }
    if !operator.has_secret("SealingKsSecret") {
        // A state directory from before there was a key server.
        put_secrets(operator, &[vestibule_keys::key_server_secret(rng)])?;
    }
    if !operator.has_secret("SealingRsSecret") {
        // One from before there was a rendezvous service.
        put_secrets(operator, &[vestibule_keys::rendezvous_service_secret(rng)])?;
    }
    if let Some(keys) = due_token_issuer(operator, rng).await? {
        put_token_issuer(operator, &keys).await?;
    }
    Ok(())
}

/// The keys of the issuer of tokens, if there are none yet, if it is time for another one, or if a start was interrupted
/// before it published them.
async fn due_token_issuer(
    operator: &Operator,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Option<TokenIssuerKeys>, Box<dyn Error + Send + Sync>> {
    let now = operator.clock().now();
    match operator.secrets().document("TokensSecret") {
        Some(document) => {
            let items = operator.items("QsTable").await?;
            let published = items.iter().find(|item| item["pk"]["S"] == "KEYS" && item["sk"]["S"] == "TOKEN_KEYS");
            let published = published.and_then(Item::from_dynamodb_json);
            match TokenIssuerKeys::rotate_if_due(&document, now, rng)? {
                Some(keys) => Ok(Some(keys)),
                None => Ok(TokenIssuerKeys::unpublished(&document, published.as_ref(), now)?),
            }
        }
        // A state directory from before there were tokens.
        None => Ok(Some(TokenIssuerKeys::generate(now, rng))),
    }
}

async fn put_token_issuer(operator: &Operator, keys: &TokenIssuerKeys) -> Result<(), Box<dyn Error + Send + Sync>> {
    put_secrets(operator, std::slice::from_ref(&keys.secret))?;
    Ok(operator.put_item("QsTable", keys.public_keys_item().to_dynamodb_json()).await?)
}

async fn put_queuing_service(
    operator: &Operator,
    keys: &QueuingServiceKeys,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    put_secrets(operator, &keys.secrets)?;
    Ok(operator.put_item("QsTable", keys.public_keys_item().to_dynamodb_json()).await?)
}

fn put_secrets(operator: &Operator, secrets: &[SecretDocumentJson]) -> Result<(), LocalCloudError> {
    secrets.iter().try_for_each(|secret| operator.put_secret(secret.logical_id, &secret.json))
}

async fn has_item(operator: &Operator, table: &str, partition: &str) -> Result<bool, LocalCloudError> {
    Ok(operator.items(table).await?.iter().any(|item| item["pk"]["S"] == partition))
}

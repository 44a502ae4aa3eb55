//! The deployment's secrets: one document per purpose in Secrets Manager, readable by the functions that need it and no
//! others.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use vestibule_protocol::name::Domain;
use vestibule_protocol::time::{DAY, Timestamp};
use zeroize::Zeroizing;

use crate::metrics::{self, Metric};
use crate::{Clock, Environment, StartError};

mod documents;

pub use documents::{
    AsSigning, AsSigningDocument, IntermediateDocument, IntermediateSigner, Opaque, OpaqueDocument, QsDocument,
    Sealing, SealingAsDocument, SealingDocument, SealingKsDocument, SealingQsDocument, SealingRsDocument,
    SealingService, SecretKey,
};

/// How long a document is used before it is read again. A rotation overlaps for much longer.
const REFRESH_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// A secret document of one purpose.
pub trait SecretDocument: Serialize + DeserializeOwned {
    /// The purpose, which the document itself names: a function that is given another purpose's document stops.
    const PURPOSE: &'static str;

    /// What the document becomes in memory.
    type Secret: Send + Sync;

    /// Checks the document and makes it usable.
    ///
    /// # Errors
    /// What is wrong with it, without a value of it.
    fn open(self, domain: &Domain, now: Timestamp) -> Result<Self::Secret, &'static str>;

    /// When the last of what it is good for ends, for the metric that warns of it.
    fn end(_: &Self::Secret) -> Option<(Metric, Timestamp)> {
        None
    }
}

/// A document as it is stored.
#[derive(Serialize, Deserialize)]
struct Envelope<D> {
    purpose: String,
    #[serde(flatten)]
    document: D,
}

/// The JSON under which a document is stored.
pub fn to_json<D: SecretDocument>(document: D) -> Zeroizing<String> {
    let envelope = Envelope { purpose: D::PURPOSE.to_owned(), document };
    Zeroizing::new(serde_json::to_string(&envelope).expect("our own documents are JSON"))
}

/// Reads a stored document without making it usable, for those who replace keys in it.
///
/// # Errors
/// What is wrong with it, without a value of it.
pub fn read_document<D: SecretDocument>(json: &str) -> Result<D, String> {
    // serde's messages could repeat a value, so they are not passed on.
    #[derive(Deserialize)]
    struct Purpose {
        purpose: String,
    }
    let purpose = serde_json::from_str::<Purpose>(json).map_err(|_| "it is not a secret document".to_owned())?.purpose;
    if purpose != D::PURPOSE {
        return Err(format!("it is for the purpose {purpose:?}, and {:?} is wanted", D::PURPOSE));
    }
    let envelope = serde_json::from_str::<Envelope<D>>(json)
        .map_err(|_| format!("it is not a document for the purpose {:?}", D::PURPOSE))?;
    Ok(envelope.document)
}

fn from_json<D: SecretDocument>(json: &str, domain: &Domain, now: Timestamp) -> Result<D::Secret, String> {
    read_document::<D>(json)?.open(domain, now).map_err(str::to_owned)
}

/// A secret of the deployment: read when the function starts, and again after a while.
pub struct Secret<D: SecretDocument> {
    client: aws_sdk_secretsmanager::Client,
    arn: String,
    domain: Domain,
    clock: Clock,
    current: RwLock<Reading<D::Secret>>,
}

struct Reading<S> {
    secret: Arc<S>,
    refresh_at: Timestamp,
}

impl<D: SecretDocument> Secret<D> {
    /// Reads the secret whose ARN is in the environment variable `variable`.
    ///
    /// # Errors
    /// [`StartError`] if there is none, or it is not a usable document of this purpose.
    pub async fn read(environment: &Environment, variable: &'static str) -> Result<Self, StartError> {
        let client = environment.secrets_manager();
        let arn = environment.variable(variable)?.to_owned();
        let domain = environment.domain()?;
        let clock = environment.clock().clone();
        let secret = fetch::<D>(&client, &arn, &domain, clock.now())
            .await
            .map_err(|reason| StartError::UnreadableSecret { variable: variable.to_owned(), reason })?;
        let refresh_at = clock.now().saturating_add(REFRESH_INTERVAL);
        let current = RwLock::new(Reading { secret: Arc::new(secret), refresh_at });
        Ok(Self { client, arn, domain, clock, current })
    }

    /// The secret as it is now. A document that cannot be read again, or is unusable, leaves the one before in place. How
    /// long it is still good for is measured.
    pub async fn current(&self) -> Arc<D::Secret> {
        let secret = self.current_unmeasured().await;
        let now = self.clock.now();
        if let Some((metric, end)) = D::end(&secret) {
            metrics::gauge(metric, end.saturating_since(now).as_secs() / DAY.as_secs());
        }
        secret
    }

    /// The same for a service that is not the one to renew it, and says nothing of its end.
    pub(crate) async fn current_unmeasured(&self) -> Arc<D::Secret> {
        let now = self.clock.now();
        {
            let reading = self.current.read().expect("no holder panics");
            if now < reading.refresh_at {
                return Arc::clone(&reading.secret);
            }
        }
        let fetched = fetch::<D>(&self.client, &self.arn, &self.domain, now).await;
        let mut reading = self.current.write().expect("no holder panics");
        reading.refresh_at = now.saturating_add(REFRESH_INTERVAL);
        match fetched {
            Ok(secret) => reading.secret = Arc::new(secret),
            Err(reason) => tracing::error!(purpose = D::PURPOSE, reason, "a secret could not be refreshed"),
        }
        Arc::clone(&reading.secret)
    }
}

async fn fetch<D: SecretDocument>(
    client: &aws_sdk_secretsmanager::Client,
    arn: &str,
    domain: &Domain,
    now: Timestamp,
) -> Result<D::Secret, String> {
    let answer = client.get_secret_value().secret_id(arn).send().await.map_err(|error| {
        use aws_sdk_secretsmanager::error::ProvideErrorMetadata as _;
        error.code().unwrap_or("Secrets Manager does not answer").to_owned()
    })?;
    let json = answer.secret_string.map(Zeroizing::new).ok_or("it has no value")?;
    from_json::<D>(&json, domain, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use vestibule_protocol::opaque::ServerSetup;

    #[test]
    fn a_document_of_another_purpose_is_refused_without_being_repeated() {
        let rng = &mut StdRng::seed_from_u64(1);
        let document =
            OpaqueDocument { server_setup: ServerSetup::generate(rng), dummy_identifier_key: SecretKey::generate(rng) };
        let json = to_json(document);
        let domain = "localhost".parse().unwrap();
        let now = Timestamp::from_seconds(1_800_000_000);
        assert!(from_json::<OpaqueDocument>(&json, &domain, now).is_ok());
        let reason = from_json::<SealingAsDocument>(&json, &domain, now).err().unwrap();
        assert_eq!(reason, "it is for the purpose \"opaque\", and \"sealing-as\" is wanted");
        let altered = json.replace("server_setup", "server_set_up");
        let reason = from_json::<OpaqueDocument>(&altered, &domain, now).err().unwrap();
        assert_eq!(reason, "it is not a document for the purpose \"opaque\"");
    }
}

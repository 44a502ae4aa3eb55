//! What the queuing service checks before it publishes a generation of KeyPackages.

use std::collections::HashSet;
use std::fmt;

use vestibule_mls::encryption_key_bytes;
use vestibule_protocol::add_package::{AddPackage, AddPackageError};
use vestibule_protocol::encoding::Bytes;
use vestibule_protocol::limits::MAX_KEY_PACKAGES;
use vestibule_protocol::time::Timestamp;

use crate::batch::{BatchError, SignatureBatch};
use crate::rules::{CheckedKeyPackage, PackageError};

/// Why a generation is not published.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PublicationError {
    /// There are more than [`MAX_KEY_PACKAGES`] ordinary packages.
    #[error("at most {MAX_KEY_PACKAGES} ordinary packages may be published, {0} were sent")]
    Count(usize),
    /// There is no last-resort package.
    #[error("one package with the last-resort extension must be there")]
    LastResortMissing,
    /// A package is not accepted.
    #[error("{position}: {error}")]
    Package {
        /// Which.
        position: Position,
        /// Why.
        error: PackageError,
    },
}

/// Where a package stands in the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Position {
    /// In the list, counted from 0.
    Ordinary(usize),
    /// In the place of the last-resort one.
    LastResort,
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ordinary(index) => write!(formatter, "add_packages[{index}]"),
            Self::LastResort => formatter.write_str("last_resort_add_package"),
        }
    }
}

/// An AddPackage that may be published.
#[derive(Clone, Debug)]
pub struct PublishedPackage {
    /// The AddPackage, as it was sent.
    pub add_package: Bytes,
    /// The first second after its validity.
    pub not_after: Timestamp,
}

/// A generation of packages that may be published.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Those to be handed out once.
    pub packages: Vec<PublishedPackage>,
    /// The one to be handed out when the others are gone.
    pub last_resort: PublishedPackage,
}

impl Publication {
    /// Checks a generation.
    ///
    /// # Errors
    /// [`PublicationError`]: the first thing that is wrong, wrong signatures last.
    pub fn check(
        add_packages: &[Bytes],
        last_resort: Option<&Bytes>,
        now: Timestamp,
    ) -> Result<Self, PublicationError> {
        if add_packages.len() > MAX_KEY_PACKAGES {
            return Err(PublicationError::Count(add_packages.len()));
        }
        let last_resort = last_resort.ok_or(PublicationError::LastResortMissing)?;
        let mut inspection =
            Inspection { now, batch: SignatureBatch::default(), signers: Vec::new(), seen: HashSet::new() };
        let mut packages = Vec::with_capacity(add_packages.len());
        for (index, add_package) in add_packages.iter().enumerate() {
            packages.push(inspection.inspect(add_package, Position::Ordinary(index))?);
        }
        let last_resort = inspection.inspect(last_resort, Position::LastResort)?;
        inspection.verify_signatures()?;
        Ok(Self { packages, last_resort })
    }

    /// The first second in which one of the ordinary packages is not valid any more; of the last-resort one if there are
    /// no others.
    pub fn not_after(&self) -> Timestamp {
        self.packages.iter().map(|package| package.not_after).min().unwrap_or(self.last_resort.not_after)
    }
}

/// What is remembered from one package to the next.
struct Inspection {
    now: Timestamp,
    batch: SignatureBatch,
    /// Whose each signature of the batch is.
    signers: Vec<Position>,
    /// Everything that no two packages may have in common. All of it is or contains keys or ciphertexts, so that one kind
    /// cannot be taken for another.
    seen: HashSet<Vec<u8>>,
}

impl Inspection {
    fn inspect(&mut self, bytes: &Bytes, position: Position) -> Result<PublishedPackage, PublicationError> {
        let at = |error| PublicationError::Package { position, error };
        let add_package = AddPackage::from_bytes(&bytes.0).map_err(|error| match error {
            AddPackageError::TooLarge => at(PackageError::TooLarge),
            _ => at(PackageError::Malformed),
        })?;
        let checked = CheckedKeyPackage::check(add_package.key_package(), &self.batch, self.now).map_err(at)?;
        self.signers.resize(self.batch.len(), position);
        if checked.is_last_resort != (position == Position::LastResort) {
            return Err(at(PackageError::LastResortMisplaced));
        }
        let leaf = checked.key_package.leaf_node();
        let unique: [&[u8]; 6] = [
            checked.key_package.hpke_init_key().as_slice(),
            &encryption_key_bytes(leaf.encryption_key()).ok_or(at(PackageError::Malformed))?,
            leaf.signature_key().as_slice(),
            leaf.credential().serialized_content(),
            checked.queue_config(),
            add_package.encrypted_identity(),
        ];
        if !unique.into_iter().all(|part| self.seen.insert(part.to_vec())) {
            return Err(at(PackageError::Duplicate));
        }
        Ok(PublishedPackage { add_package: bytes.clone(), not_after: checked.expiration_data.not_after })
    }

    fn verify_signatures(self) -> Result<(), PublicationError> {
        let signers = self.signers;
        self.batch.verify().map_err(|BatchError(number)| PublicationError::Package {
            position: signers[number],
            error: PackageError::SignatureInvalid,
        })
    }
}

//! openmls' cryptography with randomness that is given.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use openmls_rust_crypto::{MemoryStorage, RustCrypto};
use openmls_traits::OpenMlsProvider;
use openmls_traits::random::OpenMlsRand;
use rand::{CryptoRng, RngCore};

/// A provider whose keys come from `R`, and whose storage is its caller's to keep or to throw away.
pub struct Provider<'a, R> {
    crypto: RustCrypto,
    randomness: GivenRandomness<'a, R>,
    storage: MemoryStorage,
}

impl<'a, R: RngCore + CryptoRng> Provider<'a, R> {
    /// A provider with an empty storage.
    pub fn new(rng: &'a mut R) -> Self {
        Self::with_storage(rng, MemoryStorage::default())
    }

    /// A provider with this storage.
    pub fn with_storage(rng: &'a mut R, storage: MemoryStorage) -> Self {
        Self { crypto: RustCrypto::default(), randomness: GivenRandomness(Mutex::new(rng)), storage }
    }

    /// What openmls stored.
    pub fn into_storage(self) -> MemoryStorage {
        self.storage
    }
}

impl<R> fmt::Debug for Provider<'_, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Provider")
    }
}

impl<'a, R: RngCore + CryptoRng> OpenMlsProvider for Provider<'a, R> {
    type CryptoProvider = RustCrypto;
    type RandProvider = GivenRandomness<'a, R>;
    type StorageProvider = MemoryStorage;

    fn storage(&self) -> &MemoryStorage {
        &self.storage
    }

    fn crypto(&self) -> &RustCrypto {
        &self.crypto
    }

    fn rand(&self) -> &GivenRandomness<'a, R> {
        &self.randomness
    }
}

/// A generator behind the shared reference that openmls has.
pub struct GivenRandomness<'a, R>(Mutex<&'a mut R>);

impl<R: RngCore + CryptoRng> OpenMlsRand for GivenRandomness<'_, R> {
    type Error = NoRandomness;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], NoRandomness> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn random_vec(&self, length: usize) -> Result<Vec<u8>, NoRandomness> {
        let mut bytes = vec![0; length];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}

impl<R: RngCore + CryptoRng> GivenRandomness<'_, R> {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).try_fill_bytes(bytes).map_err(|_| NoRandomness)
    }
}

impl<R> fmt::Debug for GivenRandomness<'_, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("GivenRandomness")
    }
}

/// The generator that was given failed.
#[derive(Clone, Copy, Debug)]
pub struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("there is no randomness")
    }
}

impl std::error::Error for NoRandomness {}

//! openmls' cryptography with randomness that is given.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use openmls_rust_crypto::{MemoryStorage, RustCrypto};
use openmls_traits::OpenMlsProvider;
use openmls_traits::random::OpenMlsRand;
use rand::{CryptoRng, RngCore};
use zeroize::Zeroize;

/// openmls' own cryptography, randomness from `P`, and a storage that is wiped at the end.
pub struct Provider<P> {
    crypto: RustCrypto,
    randomness: P,
    storage: MemoryStorage,
}

impl<'a, R: RngCore + CryptoRng> Provider<GivenRandomness<'a, R>> {
    /// A provider whose keys come from `rng`, with this storage.
    pub fn new(rng: &'a mut R, storage: MemoryStorage) -> Self {
        Self { crypto: RustCrypto::default(), randomness: GivenRandomness(Mutex::new(rng)), storage }
    }
}

impl Provider<NoRandomness> {
    /// A provider for where nothing is to be random.
    pub fn deterministic(storage: MemoryStorage) -> Self {
        Self { crypto: RustCrypto::default(), randomness: NoRandomness, storage }
    }
}

impl<P> fmt::Debug for Provider<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Provider")
    }
}

impl<P> Drop for Provider<P> {
    fn drop(&mut self) {
        let values = self.storage.values.get_mut().unwrap_or_else(PoisonError::into_inner);
        values.values_mut().for_each(Zeroize::zeroize);
    }
}

impl<P: OpenMlsRand> OpenMlsProvider for Provider<P> {
    type CryptoProvider = RustCrypto;
    type RandProvider = P;
    type StorageProvider = MemoryStorage;

    fn storage(&self) -> &MemoryStorage {
        &self.storage
    }

    fn crypto(&self) -> &RustCrypto {
        &self.crypto
    }

    fn rand(&self) -> &P {
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

/// There is no randomness: none was given, or the generator that was given failed.
#[derive(Clone, Copy, Debug)]
pub struct NoRandomness;

impl OpenMlsRand for NoRandomness {
    type Error = Self;

    fn random_array<const N: usize>(&self) -> Result<[u8; N], Self> {
        Err(Self)
    }

    fn random_vec(&self, _: usize) -> Result<Vec<u8>, Self> {
        Err(Self)
    }
}

impl fmt::Display for NoRandomness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("there is no randomness")
    }
}

impl std::error::Error for NoRandomness {}

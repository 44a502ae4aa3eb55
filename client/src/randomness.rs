//! Where the client's random bytes come from.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::{OsRng, StdRng};
use rand::{CryptoRng, RngCore, SeedableRng as _};

/// The system's random generator, or one whose bytes follow from a seed, for tests. Clones draw from the same stream.
#[derive(Clone, Default)]
pub struct Randomness {
    seeded: Option<Arc<Mutex<StdRng>>>,
}

impl Randomness {
    /// The system's generator.
    pub fn system() -> Self {
        Self::default()
    }

    /// A generator that gives the same bytes in every run. For tests alone: whoever knows the seed knows every key.
    pub fn seeded(seed: u64) -> Self {
        Self { seeded: Some(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))) }
    }
}

impl RngCore for Randomness {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        match &self.seeded {
            Some(generator) => generator.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(bytes),
            None => OsRng.fill_bytes(bytes),
        }
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Randomness {}

impl fmt::Debug for Randomness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.seeded.is_some() { "Randomness(seeded)" } else { "Randomness(system)" })
    }
}

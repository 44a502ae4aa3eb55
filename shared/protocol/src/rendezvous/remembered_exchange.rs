//! For tests: a SPAKE2 [`Exchange`](spake2::Exchange) whose results are remembered, so that the hundred thousand runs of
//! the simulation compute each only once. Results follow from the inputs, so remembering them changes nothing.

use std::cell::RefCell;
use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::{CryptoRng, RngCore, SeedableRng as _};

use super::spake2::{self, Message, MessageError};
use super::{Pairing, Role};
use crate::name::Domain;
use crate::symmetric::RendezvousSharedKey;

type Finished = Result<[u8; 32], MessageError>;

thread_local! {
    static STARTED: RefCell<HashMap<Inputs, Message>> = RefCell::default();
    static FINISHED: RefCell<HashMap<(Message, Vec<u8>), Finished>> = RefCell::default();
}

/// All that an exchange follows from.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Inputs {
    is_new_device: bool,
    code: u32,
    random_string: [u8; 2],
    domain: Domain,
    entropy: [u8; 64],
}

/// See [`spake2::Exchange`].
pub(super) struct Exchange {
    inputs: Inputs,
    message: Message,
}

impl Exchange {
    pub(super) fn start(role: Role, pairing: &Pairing, domain: &Domain, rng: &mut (impl RngCore + CryptoRng)) -> Self {
        let mut entropy = [0; 64];
        rng.fill_bytes(&mut entropy);
        let inputs = Inputs {
            is_new_device: role == Role::NewDevice,
            code: pairing.code.number(),
            random_string: *pairing.random_string.as_bytes(),
            domain: domain.clone(),
            entropy,
        };
        let remembered = STARTED.with_borrow(|started| started.get(&inputs).copied());
        let message = remembered.unwrap_or_else(|| {
            let message = *inputs.compute().message();
            STARTED.with_borrow_mut(|started| started.insert(inputs.clone(), message));
            message
        });
        Self { inputs, message }
    }

    pub(super) fn message(&self) -> &Message {
        &self.message
    }

    pub(super) fn finish(self, peer_message: &[u8]) -> Result<RendezvousSharedKey, MessageError> {
        let place = (self.message, peer_message.to_vec());
        let remembered = FINISHED.with_borrow(|finished| finished.get(&place).copied());
        let result = remembered.unwrap_or_else(|| {
            let result = self.inputs.compute().finish(peer_message).map(|key| *key.as_bytes());
            FINISHED.with_borrow_mut(|finished| finished.insert(place, result));
            result
        });
        result.map(RendezvousSharedKey::from_bytes)
    }
}

impl Inputs {
    fn compute(&self) -> spake2::Exchange {
        let role = if self.is_new_device { Role::NewDevice } else { Role::ExistingDevice };
        let pairing = Pairing {
            code: super::RendezvousCode::from_number(self.code),
            random_string: super::RandomString::from_bytes(self.random_string),
        };
        spake2::Exchange::start(role, &pairing, &self.domain, &mut Entropy(self.entropy))
    }
}

/// A generator that gives 64 bytes.
pub(super) struct Entropy(pub(super) [u8; 64]);

impl RngCore for Entropy {
    fn next_u32(&mut self) -> u32 {
        unreachable!("SPAKE2 draws bytes")
    }

    fn next_u64(&mut self) -> u64 {
        unreachable!("SPAKE2 draws bytes")
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.0);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand::Error> {
        self.fill_bytes(bytes);
        Ok(())
    }
}

impl CryptoRng for Entropy {}

#[test]
fn a_remembered_exchange_gives_what_the_real_one_gives() {
    let domain: Domain = "example.org".parse().unwrap();
    let pairing: Pairing = "27182-aardvark-breakaway".parse().unwrap();
    for _ in 0..2 {
        let rng = || StdRng::seed_from_u64(1);
        let remembered = Exchange::start(Role::NewDevice, &pairing, &domain, &mut rng());
        let real = spake2::Exchange::start(Role::NewDevice, &pairing, &domain, &mut rng());
        assert_eq!(remembered.message(), real.message());
        let peer = spake2::Exchange::start(Role::ExistingDevice, &pairing, &domain, &mut StdRng::seed_from_u64(2));
        let keys = [remembered.finish(peer.message()), real.finish(peer.message())].map(Result::unwrap);
        assert_eq!(keys[0].as_bytes(), keys[1].as_bytes());
    }
}

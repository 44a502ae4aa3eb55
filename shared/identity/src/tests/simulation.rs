//! Eight devices that change one identity at random, and all see the same in the end.

use rand::Rng as _;

use super::*;

/// How many devices there are, in and out.
const DEVICES: usize = 8;
/// How many changes are tried in a run.
const STEPS: usize = 14;

/// A device in a run.
struct Actor {
    device: Device,
    identity: Option<Identity>,
    /// How many commits of the identity's generation it has seen.
    seen: usize,
}

struct World {
    actors: Vec<Actor>,
    services: Vec<Service>,
    next_seed: u64,
    rng: StdRng,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut actors: Vec<_> = (0..DEVICES as u64)
            .map(|index| Actor { device: Device::new(&alice(), seed * 1000 + index), identity: None, seen: 0 })
            .collect();
        let (identity, service) = actors[0].device.start(1, None);
        actors[0].identity = Some(identity);
        let next_seed = seed * 1000 + DEVICES as u64;
        Self { actors, services: vec![service], next_seed, rng: StdRng::seed_from_u64(seed) }
    }

    fn service(&mut self) -> &mut Service {
        self.services.last_mut().unwrap()
    }

    fn any(&mut self, mut is_one: impl FnMut(&Actor) -> bool) -> Option<usize> {
        let indices: Vec<_> = (0..DEVICES).filter(|index| is_one(&self.actors[*index])).collect();
        (!indices.is_empty()).then(|| indices[self.rng.gen_range(0..indices.len())])
    }

    /// Lets a device see all that has happened in its generation, and enter the next ones as far as it may.
    fn catch_up(&mut self, index: usize) {
        let Actor { device, identity, seen } = &mut self.actors[index];
        let Some(member) = identity else { return };
        if self.rng.gen_bool(0.2) {
            *member = serde_json::from_str(&serde_json::to_string(member).unwrap()).unwrap();
        }
        let generation = member.follower().generation() as usize;
        for commit in &self.services[generation - 1].commits[*seen..] {
            member.process(&commit.0).unwrap();
            *seen += 1;
            if !member.is_member() {
                break;
            }
        }
        let is_last_generation = generation == self.services.len();
        let last = self.services.last_mut().unwrap();
        if member.is_member() && !is_last_generation {
            if !last.follower.may_enter().contains(&device.uuid()) {
                assert_eq!(device.entry(last).unwrap_err(), IdentityError::EntryRefused);
                *identity = None;
            } else {
                let entry = device.entry(last).unwrap();
                last.accept_prepared(&entry).unwrap();
                (*identity, *seen) = (Some(entry.next), last.commits.len());
            }
        } else if !member.is_member() {
            assert!(last.follower.member(device.uuid()).is_none());
            *identity = None;
        }
        if self.actors[index].identity.is_none() {
            // A client that was removed does not come back; the device does, as another.
            self.actors[index].device = Device::new(&alice(), self.next_seed);
            self.next_seed += 1;
        }
    }

    /// What a device might do next.
    fn prepare(&mut self, index: usize) -> Option<(PreparedCommit, Option<(usize, PrivateIdentityKeyPackage)>)> {
        let outsider = self.any(|actor| actor.identity.is_none());
        let action = self.rng.gen_range(0..10);
        let member = self.actors[index].identity.clone()?;
        let follower = member.follower();
        let device = &mut self.actors[index].device;
        if !follower.member(device.uuid()).unwrap().is_confirmed || action < 2 {
            return Some((device.update(&member), None));
        }
        if action < 4 && follower.members().len() > 2 {
            let others: Vec<_> = follower
                .members()
                .iter()
                .map(|other| other.client_id.uuid)
                .filter(|uuid| *uuid != device.uuid())
                .collect();
            let count = if action == 3 { 2.min(others.len()) } else { 1 };
            return Some((device.remove(&member, &others[..count]), None));
        }
        let newcomer = outsider?;
        let (key_package, private) = self.actors[newcomer].device.key_package();
        let prepared = self.actors[index].device.add(&member, &key_package);
        Some((prepared, Some((newcomer, private))))
    }

    /// One device changes something; sometimes another does at the same time, and the slower one tries again.
    fn step(&mut self) {
        let Some(first) = self.any(|actor| actor.identity.is_some()) else { return };
        self.catch_up(first);
        if self.rng.gen_bool(0.08) {
            return self.reset(first);
        }
        let rival = self.any(|actor| actor.identity.is_some()).filter(|rival| *rival != first);
        let slower = rival.and_then(|rival| {
            self.catch_up(rival);
            self.catch_up(first);
            let prepared = self.prepare(rival)?;
            Some((rival, prepared.0))
        });
        let Some(prepared) = self.prepare(first) else { return };
        self.send(first, prepared);
        if let Some((rival, stale)) = slower {
            let epoch = self.service().follower.epoch();
            assert_eq!(self.service().accept_prepared(&stale), Err(IdentityError::AnotherEpoch));
            assert_eq!(self.service().follower.epoch(), epoch);
            self.catch_up(rival);
            if let Some(prepared) = self.prepare(rival) {
                self.send(rival, prepared);
            }
        }
    }

    fn send(&mut self, index: usize, prepared: (PreparedCommit, Option<(usize, PrivateIdentityKeyPackage)>)) {
        let (prepared, added) = prepared;
        self.service().accept_prepared(&prepared).unwrap();
        let (seen, follower) = (self.service().commits.len(), self.service().follower.clone());
        self.actors[index].identity = Some(prepared.next);
        self.actors[index].seen = seen;
        if let Some((newcomer, private)) = added {
            let identity = Identity::join(private, &prepared.welcome.unwrap().0, follower).unwrap();
            self.actors[newcomer].identity = Some(identity);
            self.actors[newcomer].seen = seen;
        }
    }

    fn reset(&mut self, index: usize) {
        let last = self.service().follower.clone();
        let Actor { device, identity, seen } = &mut self.actors[index];
        if !identity.as_ref().is_some_and(|member| member.follower().member(device.uuid()).unwrap().is_confirmed) {
            return;
        }
        let (started, service) = device.start(last.generation() + 1, Some(&last));
        (*identity, *seen) = (Some(started), 0);
        self.services.push(service);
    }

    /// Everybody sees everything; nobody is left out and nobody sees anything else.
    fn check(mut self) {
        // An entry is something new for those who have caught up before it.
        for _ in 0..2 {
            (0..DEVICES).for_each(|index| self.catch_up(index));
        }
        let mut replayed: Option<Follower> = None;
        for service in &self.services {
            replayed = Some(service.replay(replayed.as_ref()));
        }
        let replayed = replayed.unwrap();
        let members: Vec<_> = self.actors.iter().filter_map(|actor| actor.identity.as_ref()).collect();
        assert_eq!(members.len(), replayed.members().len());
        let secret = |identity: &Identity| identity.export_secret("test", b"", 32).unwrap();
        for identity in &members {
            assert_eq!(identity.follower().fingerprint(), replayed.fingerprint());
            assert_eq!(identity.follower().members(), replayed.members());
            assert_eq!(identity.follower().may_enter(), replayed.may_enter());
            assert_eq!(secret(identity), secret(members[0]));
        }
    }
}

#[test]
fn eight_devices_that_do_what_they_like_end_in_the_same_tree() {
    for seed in 0..6 {
        let mut world = World::new(seed);
        (0..STEPS).for_each(|_| world.step());
        world.check();
    }
}

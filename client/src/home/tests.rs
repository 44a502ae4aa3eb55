use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::{TempDir, tempdir};

use super::*;

mod keys;

fn open(directory: &TempDir) -> Result<Option<Home>, HomeError> {
    Home::open(directory.path(), Randomness::system(), Fuse::none())
}

fn create(directory: &TempDir) -> Result<Home, HomeError> {
    create_with(directory, Fuse::none())
}

fn create_with(directory: &TempDir, fuse: Fuse) -> Result<Home, HomeError> {
    Home::open_or_create(directory.path(), Randomness::system(), fuse)
}

/// A state that can be told from others by a byte.
fn state(mark: u8) -> State {
    State::new("http://127.0.0.1:1".parse().unwrap(), [mark; 32].into())
}

impl Home {
    /// Leaves the home as the given version of the state's form had it: 1 and 2 without a state key.
    pub(crate) fn store_version(self, version: u16) {
        let state = self.load().unwrap().unwrap();
        let mut json: serde_json::Value = serde_json::from_slice(&state.to_json()).unwrap();
        json["version"] = version.into();
        if let Some(account) = json["account"].as_object_mut() {
            let later = [
                ("identity", 4),
                ("user_secrets", 4),
                ("renewal", 4),
                ("approval", 4),
                ("key_server", 3),
                ("pseudonym", 2),
            ];
            if version < 5 {
                account.remove("was_linked").unwrap();
                let packages = account.remove("connection_packages").unwrap();
                let keys = packages["batches"].get(0).map_or(serde_json::json!([]), |batch| batch["keys"].clone());
                account.insert("connection_keys".to_owned(), keys);
            }
            for (field, _) in later.into_iter().filter(|(_, since)| version < *since) {
                account.remove(field).unwrap();
            }
        }
        let json: Zeroizing<Vec<u8>> = serde_json::to_vec(&json).unwrap().into();
        // Tokens came later than any of these.
        self.remove_wallet().unwrap();
        if version >= 3 {
            return self.replace(Kind::State, &state_path(&self.directory), json).unwrap();
        }
        fs::write(state_path(&self.directory), self.keys.seal_under_device_key(Kind::State, json)).unwrap();
        for path in self.all_key_packages().unwrap() {
            let opened = self.keys.open(Kind::KeyPackages, &fs::read(&path).unwrap(), &path).unwrap();
            fs::write(&path, self.keys.seal_under_device_key(Kind::KeyPackages, opened)).unwrap();
        }
        fs::remove_file(state_key_path(&self.directory)).unwrap();
    }

    /// What those files hold that are sealed and whole, by their names.
    pub(crate) fn opened_files(&self) -> Vec<(String, Vec<u8>)> {
        let packages = self.all_key_packages().unwrap().into_iter().map(|path| (Kind::KeyPackages, path));
        let files = packages.chain([(Kind::State, state_path(&self.directory))]);
        let opened = files.filter_map(|(kind, path)| {
            let opened = self.keys.open(kind, &fs::read(&path).ok()?, &path).ok()?;
            Some((path.display().to_string(), opened.to_vec()))
        });
        opened.collect()
    }
}

fn mark(home: &Home) -> Option<u8> {
    home.load().unwrap().map(|state| state.trusted_root.as_bytes()[0])
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_stored_is_loaded_by_the_next_process() {
    let directory = tempdir().unwrap();
    let home = create(&directory).unwrap();
    assert_eq!(mark(&home), None);
    home.store(&state(1)).unwrap();
    home.store(&state(2)).unwrap();
    drop(home);
    assert_eq!(mark(&open(&directory).unwrap().unwrap()), Some(2));
}

#[test]
fn to_open_a_home_that_is_not_there_creates_nothing() {
    let directory = tempdir().unwrap();
    assert!(open(&directory).unwrap().is_none());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn directory_and_files_are_for_the_user_alone() {
    let parent = tempdir().unwrap();
    let directory = parent.path().join("new/home");
    let home = Home::open_or_create(&directory, Randomness::system(), Fuse::none()).unwrap();
    home.store(&state(1)).unwrap();
    assert_eq!(mode(&directory), 0o700);
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_directory_that_others_can_read_is_refused_unless_it_is_empty() {
    let directory = tempdir().unwrap();
    let readable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(directory.path(), readable.clone()).unwrap();
    drop(create(&directory).unwrap());
    assert_eq!(mode(directory.path()), 0o700);

    fs::set_permissions(directory.path(), readable).unwrap();
    assert!(matches!(create(&directory), Err(HomeError::NotPrivate(_))));
    assert!(matches!(open(&directory), Err(HomeError::NotPrivate(_))));
}

#[test]
fn a_second_process_is_refused() {
    let directory = tempdir().unwrap();
    let home = create(&directory).unwrap();
    let error = create(&directory).unwrap_err();
    let wanted = format!("another vestibule process is using {}", directory.path().display());
    assert_eq!(error.to_string(), wanted);
    assert!(matches!(open(&directory), Err(HomeError::InUse(_))));
    drop(home);
    assert!(open(&directory).unwrap().is_some());
}

#[test]
fn a_state_that_was_damaged_anywhere_is_refused_and_left_as_it_is() {
    let directory = tempdir().unwrap();
    let home = create(&directory).unwrap();
    home.store(&state(1)).unwrap();
    let path = state_path(directory.path());
    let sealed = fs::read(&path).unwrap();
    let mut damaged: Vec<Vec<u8>> = (0..sealed.len()).map(|length| sealed[..length].to_vec()).collect();
    for position in 0..sealed.len() {
        damaged.push(sealed.clone());
        damaged.last_mut().unwrap()[position] ^= 2;
    }
    for bytes in damaged {
        fs::write(&path, &bytes).unwrap();
        let refused = home.load();
        assert!(matches!(refused, Err(HomeError::Damaged(_) | HomeError::ForeignFile(_))));
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
}

#[test]
fn a_state_of_a_newer_version_is_named_as_such() {
    let directory = tempdir().unwrap();
    let home = create(&directory).unwrap();
    let path = state_path(directory.path());
    fs::write(&path, b"VESTIBULE-STATE\x03whatever").unwrap();
    assert!(matches!(home.load(), Err(HomeError::NewerVersion(_))));

    let newer = br#"{"version":6,"news":true}"#.to_vec().into();
    let newer = home.keys.seal(Kind::State, newer, &mut Randomness::system());
    fs::write(&path, newer).unwrap();
    assert!(matches!(home.load(), Err(HomeError::NewerVersion(_))));
}

#[test]
fn a_state_opens_under_its_own_key_alone() {
    let (directory, other) = (tempdir().unwrap(), tempdir().unwrap());
    create(&directory).unwrap().store(&state(1)).unwrap();
    create(&other).unwrap().store(&state(2)).unwrap();
    let copy = |path: fn(&Path) -> PathBuf| fs::copy(path(other.path()), path(directory.path())).unwrap();
    copy(device_key_path);
    assert!(matches!(create(&directory), Err(HomeError::Damaged(_))));
    copy(state_key_path);
    assert!(matches!(create(&directory).unwrap().load(), Err(HomeError::Damaged(_))));
}

#[test]
fn key_packages_are_read_from_the_file_of_their_generation_alone() {
    let directory = tempdir().unwrap();
    let home = create(&directory).unwrap();
    for generation in [1, 2] {
        home.store_key_packages(&PrivateKeyPackages::new(generation, Vec::new())).unwrap();
        assert!(home.load_key_packages(generation).is_ok());
    }
    let [first, second] = ["key-packages-1", "key-packages-2"].map(|name| directory.path().join(name));
    assert_eq!(mode(&first), 0o600);
    fs::copy(&first, &second).unwrap();
    assert!(matches!(home.load_key_packages(2), Err(HomeError::Damaged(_))));
    home.store(&state(1)).unwrap();
    fs::copy(state_path(directory.path()), &second).unwrap();
    assert!(matches!(home.load_key_packages(2), Err(HomeError::ForeignFile(_))));
}

#[test]
fn key_packages_are_removed_with_what_a_crash_left_of_them() {
    let directory = tempdir().unwrap();
    let home = create(&directory).unwrap();
    for generation in 1..=3 {
        home.store_key_packages(&PrivateKeyPackages::new(generation, Vec::new())).unwrap();
    }
    fs::write(directory.path().join("key-packages-4.new"), b"half").unwrap();
    home.store(&state(1)).unwrap();
    home.remove_key_packages_except(&[2]).unwrap();
    let mut left: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["device-key", "key-packages-2", "lock", "state", "state-key"]);
}

#[test]
fn a_missing_or_damaged_key_is_not_replaced_while_there_is_a_state() {
    let directory = tempdir().unwrap();
    create(&directory).unwrap().store(&state(1)).unwrap();
    let path = device_key_path(directory.path());
    fs::write(&path, [0; 31]).unwrap();
    assert!(matches!(create(&directory), Err(HomeError::DeviceKeyDamaged(_))));
    fs::remove_file(&path).unwrap();
    assert!(matches!(create(&directory), Err(HomeError::DeviceKeyMissing(_))));
    assert!(matches!(open(&directory), Err(HomeError::DeviceKeyMissing(_))));
    assert!(!path.exists());
}

#[test]
fn a_crash_while_writing_leaves_the_old_state_or_the_new() {
    for points in 0.. {
        let directory = tempdir().unwrap();
        create(&directory).unwrap().store(&state(1)).unwrap();
        let fuse = Fuse::after(points);
        let stored = create_with(&directory, fuse).and_then(|home| home.store(&state(2)));
        let home = open(&directory).unwrap().unwrap();
        assert!(matches!(mark(&home), Some(1 | 2)));
        home.store(&state(3)).unwrap();
        assert_eq!(mark(&home), Some(3));
        if stored.is_ok() {
            assert!(points >= 5, "only {points} points");
            return;
        }
    }
}

#[test]
fn a_crash_while_a_home_is_made_does_not_hinder_the_next_attempt() {
    for points in 0.. {
        let parent = tempdir().unwrap();
        let directory = parent.path().join("home");
        let made = Home::open_or_create(&directory, Randomness::system(), Fuse::after(points)).is_ok();
        let home = Home::open_or_create(&directory, Randomness::system(), Fuse::none()).unwrap();
        home.store(&state(1)).unwrap();
        assert_eq!(mark(&home), Some(1));
        if made {
            assert!(points >= 12, "only {points} points");
            return;
        }
    }
}

#[test]
fn neither_key_nor_state_is_readable_in_the_file() {
    let directory = tempdir().unwrap();
    let home = create(&directory).unwrap();
    home.store(&state(1)).unwrap();
    let sealed = fs::read(state_path(directory.path())).unwrap();
    assert!(!sealed.windows(6).any(|window| window == b"server"));
    home.store(&state(1)).unwrap();
    assert_ne!(fs::read(state_path(directory.path())).unwrap()[16..40], sealed[16..40], "a nonce was used twice");
    assert!(format!("{home:?}").contains("state_key: SealingKey }"));
}

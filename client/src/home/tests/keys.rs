//! Who can open a home, and who cannot.

use super::*;

fn storage_key() -> StorageKey {
    StorageKey::generate(&mut Randomness::system())
}

fn unlock(directory: &TempDir, storage_key: &StorageKey) -> Result<Home, HomeError> {
    unlock_with(directory, storage_key, Fuse::none())
}

fn unlock_with(directory: &TempDir, storage_key: &StorageKey, fuse: Fuse) -> Result<Home, HomeError> {
    Home::unlock(directory.path(), storage_key, Randomness::system(), fuse)
}

/// A home with a state and KeyPackages that opens with this storage key too.
fn home_of(storage_key: &StorageKey) -> TempDir {
    let directory = tempdir().unwrap();
    let home = create(&directory).unwrap();
    home.store(&state(1)).unwrap();
    home.store_key_packages(&PrivateKeyPackages::new(1, Vec::new())).unwrap();
    home.open_with_storage_key_too(storage_key).unwrap();
    directory
}

/// The same as it was before there were state keys.
fn older_home() -> TempDir {
    let directory = home_of(&storage_key());
    open(&directory).unwrap().unwrap().store_version(2);
    directory
}

fn remove_device_key(directory: &TempDir) {
    fs::remove_file(device_key_path(directory.path())).unwrap();
}

fn assert_all_is_there(home: &Home) {
    assert_eq!(mark(home), Some(1));
    home.load_key_packages(1).unwrap();
}

#[test]
fn a_home_without_its_device_key_is_opened_with_the_storage_key_for_good() {
    let key = storage_key();
    let directory = home_of(&key);
    remove_device_key(&directory);
    assert!(matches!(open(&directory), Err(HomeError::Locked(_))));
    assert!(matches!(create(&directory), Err(HomeError::Locked(_))));
    assert!(!device_key_path(directory.path()).exists());

    assert_all_is_there(&unlock(&directory, &key).unwrap());
    assert_all_is_there(&open(&directory).unwrap().unwrap());
    // And again, should it be lost again.
    remove_device_key(&directory);
    assert_all_is_there(&unlock(&directory, &key).unwrap());
}

#[test]
fn a_device_key_that_is_damaged_or_of_another_home_is_as_good_as_none() {
    let key = storage_key();
    for wrong in [vec![0; 31], vec![0; 32]] {
        let directory = home_of(&key);
        fs::write(device_key_path(directory.path()), wrong).unwrap();
        assert!(matches!(open(&directory), Err(HomeError::Locked(_))));
        assert_all_is_there(&unlock(&directory, &key).unwrap());
        assert_all_is_there(&open(&directory).unwrap().unwrap());
    }
}

#[test]
fn another_storage_key_opens_nothing_and_changes_nothing() {
    let directory = home_of(&storage_key());
    remove_device_key(&directory);
    let before = fs::read(state_key_path(directory.path())).unwrap();
    assert!(matches!(unlock(&directory, &storage_key()), Err(HomeError::AnotherStorageKey(_))));
    assert!(!device_key_path(directory.path()).exists());
    assert_eq!(fs::read(state_key_path(directory.path())).unwrap(), before);
}

#[test]
fn a_home_that_never_met_a_storage_key_needs_its_device_key() {
    let directory = tempdir().unwrap();
    create(&directory).unwrap().store(&state(1)).unwrap();
    remove_device_key(&directory);
    assert!(matches!(open(&directory), Err(HomeError::DeviceKeyMissing(_))));
    assert!(matches!(unlock(&directory, &storage_key()), Err(HomeError::AnotherStorageKey(_))));
    let directory = older_home();
    remove_device_key(&directory);
    assert!(matches!(open(&directory), Err(HomeError::DeviceKeyMissing(_))));
    assert!(matches!(unlock(&directory, &storage_key()), Err(HomeError::DeviceKeyMissing(_))));
}

#[test]
fn a_state_key_that_is_missing_is_not_replaced_while_a_state_needs_it() {
    let directory = home_of(&storage_key());
    fs::remove_file(state_key_path(directory.path())).unwrap();
    assert!(matches!(open(&directory), Err(HomeError::StateKeyMissing(_))));
    assert!(!state_key_path(directory.path()).exists());
}

#[test]
fn a_state_key_file_that_was_damaged_anywhere_is_refused_and_left_as_it_is() {
    let key = storage_key();
    let directory = home_of(&key);
    remove_device_key(&directory);
    let path = state_key_path(directory.path());
    let whole = fs::read(&path).unwrap();
    // Under the device key 88 bytes, under the storage key 72.
    assert_eq!(whole.len(), 88 + 72);
    for position in 88..whole.len() {
        let mut damaged = whole.clone();
        damaged[position] ^= 1;
        fs::write(&path, &damaged).unwrap();
        assert!(matches!(unlock(&directory, &key), Err(HomeError::AnotherStorageKey(_))));
        fs::write(&path, &whole[..position]).unwrap();
        assert!(unlock(&directory, &key).is_err());
        assert_eq!(fs::read(&path).unwrap(), whole[..position]);
    }
    fs::write(&path, &whole).unwrap();
    assert_all_is_there(&unlock(&directory, &key).unwrap());
}

#[test]
fn an_older_home_is_read_as_it_is_and_written_under_a_state_key() {
    let directory = older_home();
    let sealed = fs::read(state_path(directory.path())).unwrap();
    let home = open(&directory).unwrap().unwrap();
    assert_all_is_there(&home);
    assert_eq!(fs::read(state_path(directory.path())).unwrap(), sealed);
    home.store(&state(1)).unwrap();
    drop(home);
    // The KeyPackages are still sealed under the device key.
    assert_all_is_there(&open(&directory).unwrap().unwrap());
}

#[test]
fn an_older_home_is_not_taken_over_by_a_device_key_that_is_not_its_own() {
    let directory = older_home();
    let device_key = fs::read(device_key_path(directory.path())).unwrap();
    fs::write(device_key_path(directory.path()), [0; 32]).unwrap();
    assert!(matches!(open(&directory), Err(HomeError::Damaged(_))));
    assert!(!state_key_path(directory.path()).exists());
    fs::write(device_key_path(directory.path()), device_key).unwrap();
    assert_all_is_there(&open(&directory).unwrap().unwrap());
}

#[test]
fn an_older_home_that_met_a_storage_key_opens_with_it_whole() {
    let key = storage_key();
    let directory = older_home();
    let home = open(&directory).unwrap().unwrap();
    home.open_with_storage_key_too(&key).unwrap();
    drop(home);
    remove_device_key(&directory);
    assert_all_is_there(&unlock(&directory, &key).unwrap());
}

#[test]
fn a_crash_while_an_older_home_is_brought_up_to_date_loses_nothing() {
    let key = storage_key();
    for points in 0.. {
        let directory = older_home();
        let done = create_with(&directory, Fuse::after(points)).and_then(|home| home.open_with_storage_key_too(&key));
        assert_all_is_there(&open(&directory).unwrap().unwrap());
        remove_device_key(&directory);
        // Whoever is told to unlock it can.
        if matches!(open(&directory), Err(HomeError::Locked(_))) {
            assert_all_is_there(&unlock(&directory, &key).unwrap());
        }
        if done.is_ok() {
            assert!(points >= 20, "only {points} points");
            return;
        }
    }
}

#[test]
fn a_crash_while_a_home_is_unlocked_does_not_hinder_the_next_attempt() {
    let key = storage_key();
    for points in 0.. {
        let directory = home_of(&key);
        remove_device_key(&directory);
        let unlocked = unlock_with(&directory, &key, Fuse::after(points)).is_ok();
        match open(&directory) {
            Ok(home) => assert_all_is_there(&home.unwrap()),
            Err(HomeError::Locked(_)) => assert_all_is_there(&unlock(&directory, &key).unwrap()),
            Err(error) => panic!("{error}"),
        }
        assert_all_is_there(&open(&directory).unwrap().unwrap());
        if unlocked {
            assert!(points >= 10, "only {points} points");
            return;
        }
    }
}

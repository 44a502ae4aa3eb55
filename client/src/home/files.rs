//! Private files, replaced atomically.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use super::HomeError;
use crate::fuse::Fuse;

/// Puts a file with these contents at `path`, in place of the one that may be there: written beside it, brought to the
/// disk, renamed, and the renaming brought to the disk as well.
pub(super) fn replace(path: &Path, contents: &[u8], fuse: &Fuse) -> Result<(), HomeError> {
    let failed = |source| HomeError::Io { path: path.to_owned(), action: "written", source };
    fuse.reach("before a file is written")?;

    let new_path = path.with_extension("new");
    match fs::remove_file(&new_path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = private_file().write(true).create_new(true).open(&new_path).map_err(failed)?;
    fuse.reach("after a file was created")?;
    file.write_all(contents).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fuse.reach("after a file was written")?;

    fs::rename(&new_path, path).map_err(failed)?;
    fuse.reach("after a file was renamed")?;
    path.parent().map_or(Ok(()), sync_directory).map_err(failed)?;
    Ok(fuse.reach("after a file was replaced")?)
}

/// Reads the file at `path`, or gives `None` if there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, HomeError> {
    match fs::read(path) {
        Ok(contents) => Ok(Some(contents)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(HomeError::Io { path: path.to_owned(), action: "read", source }),
    }
}

/// Removes the file at `path`, if there is one.
pub(super) fn remove(path: &Path) -> Result<(), HomeError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(HomeError::Io { path: path.to_owned(), action: "removed", source: error })
        }
        _ => Ok(()),
    }
}

/// Whether there is something at `path`. That it cannot be seen does not mean that it is not there.
pub(super) fn exists(path: &Path) -> Result<bool, HomeError> {
    path.try_exists().map_err(|source| HomeError::Io { path: path.to_owned(), action: "read", source })
}

/// The file whose lock says who uses the directory. Its contents do not matter.
pub(super) fn open_lock(path: &Path) -> Result<File, HomeError> {
    let opened = private_file().read(true).write(true).create(true).truncate(false).open(path);
    opened.map_err(|source| HomeError::Io { path: path.to_owned(), action: "opened", source })
}

/// Makes `directory`, for the user alone. One that is there and empty becomes private; one that holds something must
/// be private already.
pub(super) fn make_private_directory(directory: &Path, fuse: &Fuse) -> Result<(), HomeError> {
    let failed = |source| HomeError::Io { path: directory.to_owned(), action: "made", source };
    fuse.reach("before the directory is made")?;
    if directory.is_dir() {
        let is_empty = fs::read_dir(directory).map_err(failed)?.next().is_none();
        if is_empty {
            make_private(directory).map_err(failed)?;
        }
        return require_private_directory(directory);
    }
    private_directory().recursive(true).create(directory).map_err(failed)?;
    // What was registered must not be lost with a directory that never reached the disk.
    directory.parent().map_or(Ok(()), sync_directory).map_err(failed)?;
    Ok(fuse.reach("after the directory was made")?)
}

#[cfg(unix)]
pub(super) fn require_private_directory(directory: &Path) -> Result<(), HomeError> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata = fs::metadata(directory);
    let metadata = metadata.map_err(|source| HomeError::Io { path: directory.to_owned(), action: "read", source })?;
    let is_private = metadata.permissions().mode() & 0o077 == 0;
    if is_private { Ok(()) } else { Err(HomeError::NotPrivate(directory.to_owned())) }
}

#[cfg(unix)]
fn make_private(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))
}

#[cfg(unix)]
fn private_directory() -> DirBuilder {
    use std::os::unix::fs::DirBuilderExt as _;
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

#[cfg(unix)]
fn private_file() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    // A relative path of one part has the empty path for a parent.
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    File::open(directory)?.sync_all()
}

// Elsewhere the user's profile is private by its access control list, and directories cannot be synced.

#[cfg(not(unix))]
pub(super) fn require_private_directory(_: &Path) -> Result<(), HomeError> {
    Ok(())
}

#[cfg(not(unix))]
fn make_private(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn private_directory() -> DirBuilder {
    DirBuilder::new()
}

#[cfg(not(unix))]
fn private_file() -> OpenOptions {
    OpenOptions::new()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

//! Keys in files: private ones, in directories of their own.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use serde_json::Value;
use vestibule_backend::dynamodb::Item;
use vestibule_keys::{KeyFiles, PublicItem, RootDocument, SECRETS, SecretDocumentJson};
use zeroize::Zeroizing;

/// The name of the file with the root key.
pub(crate) const ROOT_FILE: &str = "root.json";

/// Reads a file that may hold secrets.
pub(crate) fn read(path: &Path) -> io::Result<Zeroizing<String>> {
    let content = std::fs::read_to_string(path);
    content.map(Zeroizing::new).map_err(about(path))
}

/// Reads the root key.
pub(crate) fn read_root(path: &Path) -> io::Result<RootDocument> {
    let malformed = |_| io::Error::other(format!("{}: it is not a root key", path.display()));
    serde_json::from_str(&read(path)?).map_err(malformed)
}

/// Reads an item, as our own files have it or as `aws dynamodb get-item` prints it.
pub(crate) fn read_item(path: &Path) -> io::Result<Item> {
    let json: Value = serde_json::from_str(&read(path)?).unwrap_or_default();
    let item = Item::from_dynamodb_json(json.get("Item").unwrap_or(&json));
    item.ok_or_else(|| io::Error::other(format!("{}: it is not an item in DynamoDB's JSON", path.display())))
}

/// Reads the secrets and items in a directory: as many as are there.
pub(crate) fn read_directory(directory: &Path) -> io::Result<KeyFiles> {
    let mut files = KeyFiles::default();
    for (purpose, logical_id) in SECRETS {
        let path = directory.join(secret_file(purpose));
        if path.try_exists()? {
            files.secrets.push(SecretDocumentJson { logical_id, purpose, json: read(&path)? });
        }
    }
    for kind in PublicItem::ALL {
        let path = directory.join(kind.file_name());
        if path.try_exists()? {
            files.items.push((kind, read_item(&path)?));
        }
    }
    Ok(files)
}

/// Writes secrets and items into a new directory that only its owner can read.
pub(crate) fn write_directory(directory: &Path, files: &KeyFiles) -> io::Result<()> {
    make_private_directory(directory)?;
    for secret in &files.secrets {
        write_private(&directory.join(secret_file(secret.purpose)), &secret.json)?;
    }
    for (kind, item) in &files.items {
        write_private(&directory.join(kind.file_name()), &item.to_dynamodb_json().to_string())?;
    }
    Ok(())
}

/// The name of the file with a secret document.
pub(crate) fn secret_file(purpose: &str) -> String {
    format!("{purpose}.json")
}

fn make_private_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(about(path))
}

/// Writes a new file that only its owner can read.
pub(crate) fn write_private(path: &Path, content: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file: File = options.open(path).map_err(about(path))?;
    file.write_all(content.as_bytes()).map_err(about(path))?;
    file.sync_all().map_err(about(path))
}

/// Says in an error which file it is about.
fn about(path: &Path) -> impl Fn(io::Error) -> io::Error + '_ {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

//! The environment of functions that somebody else runs, as `cargo lambda watch --env-file` reads it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use crate::private_file;

/// One variable a line. The names and values of a template have no line breaks or quotes in them.
pub fn text(environment: &BTreeMap<String, String>) -> String {
    environment.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}

/// Writes it to a file that only its owner can read: whoever has the access key in it may do what the functions may. Its
/// directory is made if there is none, and then is its owner's alone too.
///
/// # Errors
/// If the file, which the error names, cannot be written; it is then as it was.
pub fn write(file: &Path, environment: &BTreeMap<String, String>) -> io::Result<()> {
    // A name alone is in the current directory, which has no name there.
    let file = if file.parent() == Some(Path::new("")) { Path::new(".").join(file) } else { file.to_owned() };
    let written = file.parent().map_or(Ok(()), private_file::create_directory);
    let written = written.and_then(|()| private_file::replace(&file, Zeroizing::new(text(environment)).as_bytes()));
    written.map_err(|error| io::Error::new(error.kind(), format!("{} cannot be written: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_a_line() {
        let environment = [("B", "2"), ("A", "1")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(text(&environment), "A=1\nB=2\n");
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("functions.env");
        write(&file, &environment).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "A=1\nB=2\n");
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;

        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("made/functions.env");
        write(&file, &BTreeMap::new()).unwrap();
        let mode = |file: &Path| file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        for below in ["functions.env", "further/functions.env"].map(|below| file.join(below)) {
            let error = write(&below, &BTreeMap::new()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{} cannot be written: ", below.display())), "{error}");
        }
    }
}

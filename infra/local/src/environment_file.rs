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

/// Writes it to a file that only its owner can read: whoever has the access key in it may do what the functions may.
///
/// # Errors
/// If the file cannot be written; it is then as it was.
pub fn write(file: &Path, environment: &BTreeMap<String, String>) -> io::Result<()> {
    // A name alone is in the current directory, which has no name there.
    let file = if file.parent() == Some(Path::new("")) { Path::new(".").join(file) } else { file.to_owned() };
    private_file::replace(&file, Zeroizing::new(text(environment)).as_bytes())
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
        let file = directory.path().join("functions.env");
        write(&file, &BTreeMap::new()).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

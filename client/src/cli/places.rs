//! What this computer is called, and where its users keep their data.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use vestibule_protocol::device_label::DeviceName;

/// The directory for a client's state where the platform keeps its users' data, if it says where that is.
pub(super) fn default_home() -> Option<PathBuf> {
    let directory = |variable| env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = if cfg!(windows) {
        directory("LOCALAPPDATA")?
    } else if cfg!(target_os = "macos") {
        directory("HOME")?.join("Library/Application Support")
    } else {
        // The XDG Base Directory Specification.
        directory("XDG_DATA_HOME").or_else(|| Some(directory("HOME")?.join(".local/share")))?
    };
    Some(data.join("vestibule"))
}

/// This computer's name, fit to name a device.
pub(super) fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(ask_host_name).unwrap_or_default();
    DeviceName::adapted_from(&name).map_or_else(|| "this computer".to_owned(), |name| name.to_string())
}

/// Asks the program that macOS, the BSDs and Windows have for it.
fn ask_host_name() -> Option<String> {
    let output = Command::new("hostname").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok().filter(|_| output.status.success())
}

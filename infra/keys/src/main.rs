//! `vestibule-keys`: makes the keys of a deployment and writes them to files.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rand::rngs::OsRng;
use vestibule_keys::Deployment;
use vestibule_protocol::name::Domain;
use vestibule_protocol::time::Timestamp;
use zeroize::Zeroizing;

/// Makes the keys of a Vestibule deployment. Needs no network; run it on a machine that you trust.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes the root, an intermediate and every secret document, and writes them into a new directory
    Generate {
        /// The domain of the user names, as in alice@example.org
        #[arg(long)]
        domain: Domain,
        /// The directory to make; it must not exist
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

fn main() -> ExitCode {
    let Command::Generate { domain, out } = Arguments::parse().command;
    match generate(domain, &out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {}: {error}", out.display());
            ExitCode::FAILURE
        }
    }
}

fn generate(domain: Domain, out: &Path) -> io::Result<()> {
    let deployment = Deployment::generate(domain, Timestamp::now(), &mut OsRng);
    make_private_directory(out)?;
    let root = Zeroizing::new(serde_json::to_string(&deployment.root)?);
    write_private(&out.join("root.json"), &root)?;
    let secrets: Vec<_> = deployment.secrets.iter().chain(&deployment.queuing_service.secrets).collect();
    for secret in &secrets {
        write_private(&out.join(format!("{}.json", secret.purpose)), &secret.json)?;
    }
    let item = deployment.public_credentials_item().to_dynamodb_json();
    write_private(&out.join("credentials-item.json"), &item.to_string())?;
    let item = deployment.queuing_service.public_keys_item().to_dynamodb_json();
    write_private(&out.join("qs-keys-item.json"), &item.to_string())?;

    let mut stdout = io::stdout().lock();
    writeln!(stdout, "root fingerprint  {}", deployment.root_fingerprint)?;
    writeln!(stdout, "root.json         the root key: keep it offline, it is needed to make intermediates")?;
    for secret in &secrets {
        writeln!(stdout, "{:<17} the value of the secret {}", format!("{}.json", secret.purpose), secret.logical_id)?;
    }
    writeln!(stdout, "credentials-item.json, public: the item to put into AsTable")?;
    writeln!(stdout, "qs-keys-item.json, public: the item to put into QsTable")
}

fn make_private_directory(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn write_private(path: &Path, content: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file: File = options.open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

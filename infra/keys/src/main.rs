//! `vestibule-keys`: makes the keys of a deployment, replaces some of them, and writes them to files.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rand::rngs::OsRng;
use vestibule_keys::{Deployment, TokenIssuerKeys};
use vestibule_protocol::name::Domain;
use vestibule_protocol::time::Timestamp;
use zeroize::Zeroizing;

/// The item that publishes the keys under which tokens are issued.
const TOKEN_KEYS_ITEM: &str = "token-keys-item.json";

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
    /// Adds a key to those that tokens are issued under, and writes what has changed into a new directory. Once a month
    RotateTokens {
        /// The present value of the secret TokensSecret
        #[arg(long, value_name = "FILE")]
        secret: PathBuf,
        /// The directory to make; it must not exist
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

fn main() -> ExitCode {
    let (result, out) = match Arguments::parse().command {
        Command::Generate { domain, out } => (generate(domain, &out), out),
        Command::RotateTokens { secret, out } => (rotate_tokens(&secret, &out), out),
    };
    match result {
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
    let secrets: Vec<_> = deployment
        .secrets
        .iter()
        .chain(&deployment.queuing_service.secrets)
        .chain([&deployment.token_issuer.secret])
        .collect();
    for secret in &secrets {
        write_private(&out.join(format!("{}.json", secret.purpose)), &secret.json)?;
    }
    let item = deployment.public_credentials_item().to_dynamodb_json();
    write_private(&out.join("credentials-item.json"), &item.to_string())?;
    let item = deployment.queuing_service.public_keys_item().to_dynamodb_json();
    write_private(&out.join("qs-keys-item.json"), &item.to_string())?;
    let item = deployment.token_issuer.public_keys_item().to_dynamodb_json();
    write_private(&out.join(TOKEN_KEYS_ITEM), &item.to_string())?;

    let mut stdout = io::stdout().lock();
    writeln!(stdout, "root fingerprint  {}", deployment.root_fingerprint)?;
    writeln!(stdout, "root.json         the root key: keep it offline, it is needed to make intermediates")?;
    for secret in &secrets {
        writeln!(stdout, "{:<17} the value of the secret {}", format!("{}.json", secret.purpose), secret.logical_id)?;
    }
    writeln!(stdout, "credentials-item.json, public: the item to put into AsTable")?;
    writeln!(stdout, "qs-keys-item.json, public: the item to put into QsTable")?;
    writeln!(stdout, "{TOKEN_KEYS_ITEM}, public: another item to put into QsTable")
}

fn rotate_tokens(secret: &Path, out: &Path) -> io::Result<()> {
    let secret = Zeroizing::new(std::fs::read_to_string(secret)?);
    let keys = TokenIssuerKeys::rotate(&secret, Timestamp::now(), &mut OsRng).map_err(io::Error::other)?;
    make_private_directory(out)?;
    write_private(&out.join(TOKEN_KEYS_ITEM), &keys.public_keys_item().to_dynamodb_json().to_string())?;
    write_private(&out.join("tokens.json"), &keys.secret.json)?;

    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{TOKEN_KEYS_ITEM}, public: the item to put into QsTable, before anything else")?;
    writeln!(stdout, "tokens.json           the new value of the secret {}", keys.secret.logical_id)
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

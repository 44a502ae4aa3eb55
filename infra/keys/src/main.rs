//! `vestibule-keys`: makes the keys of a deployment, replaces some of them, and puts them where the deployment has them.

use std::error::Error;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use rand::rngs::OsRng;
use vestibule_backend::Environment;
use vestibule_backend::authentication_service::public_credentials;
use vestibule_backend::queuing_service::public_keys;
use vestibule_keys::{
    AuthenticationServiceKeys, Beginning, Deployment, KeyFiles, PublicItem, QueuingServiceKeys, Stack, TokenIssuerKeys,
    TokenRotationError, Vault, VaultError, Written, inventory, names,
};
use vestibule_protocol::endpoint::GetCredentialsResponse;
use vestibule_protocol::name::Domain;
use vestibule_protocol::signed::Fingerprint;
use vestibule_protocol::time::Timestamp;
use zeroize::Zeroizing;

mod files;

/// Makes and replaces the keys of a Vestibule deployment. Only `download` and `upload` need a network: run the others on a
/// machine that you trust, where the root key is.
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
        /// What `download` has written just now
        #[arg(long, value_name = "DIR")]
        present: PathBuf,
        /// The directory to make; it must not exist
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Adds an intermediate that begins in two days, and writes what has changed into a new directory. Once a year
    RotateIntermediate {
        /// The root key: root.json of what `generate` has written
        #[arg(long, value_name = "FILE")]
        root: PathBuf,
        /// What `download` has written just now
        #[arg(long, value_name = "DIR")]
        present: PathBuf,
        /// Let it begin today, because the one before is known to others
        #[arg(long)]
        today: bool,
        /// The directory to make; it must not exist
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Certifies the queuing service's keys for another year, and writes what has changed into a new directory. Once a year
    RenewQsKeys {
        /// The root key: root.json of what `generate` has written
        #[arg(long, value_name = "FILE")]
        root: PathBuf,
        /// What `download` has written just now
        #[arg(long, value_name = "DIR")]
        present: PathBuf,
        /// The directory to make; it must not exist
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Revokes credentials, and writes what has changed into a new directory
    Revoke {
        /// What `download` has written just now
        #[arg(long, value_name = "DIR")]
        present: PathBuf,
        /// The directory to make; it must not exist
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Take a fingerprint that names no intermediate for that of a client's credential
        #[arg(long)]
        client: bool,
        /// The fingerprint of an intermediate, or of a client's credential
        #[arg(required = true, allow_hyphen_values = true)]
        fingerprints: Vec<Fingerprint>,
    },
    /// Lists what is published: names, and how long each has
    Show {
        /// What `download` has written
        #[arg(long, value_name = "DIR")]
        present: PathBuf,
    },
    /// Writes the secrets and public items of a deployment into a new directory
    Download {
        /// Only what this command needs: the public items, and at most one secret. May be said more than once
        #[arg(long = "for", value_name = "COMMAND")]
        purposes: Vec<Purpose>,
        /// What `aws cloudformation describe-stacks --stack-name … --output json` has printed
        #[arg(long, value_name = "FILE")]
        stack: PathBuf,
        /// The directory to make; it must not exist
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Puts the secrets and public items in a directory into the deployment, unless something in use would be lost
    Upload {
        /// What `aws cloudformation describe-stacks --stack-name … --output json` has printed
        #[arg(long, value_name = "FILE")]
        stack: PathBuf,
        /// What one of the other commands has written
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
    },
}

/// The command for which something is downloaded.
#[derive(Clone, Copy, ValueEnum)]
enum Purpose {
    RotateTokens,
    RotateIntermediate,
    RenewQsKeys,
    Revoke,
    Show,
}

impl Purpose {
    /// The purpose of the secret that the command needs.
    fn secret(self) -> Option<&'static str> {
        match self {
            Self::RotateTokens => Some("tokens"),
            Self::RotateIntermediate | Self::Revoke => Some("as-signing"),
            Self::RenewQsKeys => Some("qs"),
            Self::Show => None,
        }
    }
}

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let now = Timestamp::now();
    let outcome = match Arguments::parse().command {
        Command::Generate { domain, out } => generate(domain, &out, now),
        Command::RotateTokens { present, out } => rotate_tokens(&present, &out, now),
        Command::RotateIntermediate { root, present, today, out } => {
            rotate_intermediate(&root, &present, today, &out, now)
        }
        Command::RenewQsKeys { root, present, out } => renew_qs_keys(&root, &present, &out, now),
        Command::Revoke { present, out, client, fingerprints } => revoke(&present, &fingerprints, client, &out, now),
        Command::Show { present } => show(&present, now),
        Command::Download { purposes, stack, out } => online(download(&stack, &purposes, &out)),
        Command::Upload { stack, from } => online(upload(&stack, &from, now)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn generate(domain: Domain, out: &Path, now: Timestamp) -> Outcome {
    let deployment = Deployment::generate(domain, now, &mut OsRng);
    let root = Zeroizing::new(serde_json::to_string(&deployment.root)?);
    let fingerprint = deployment.root_fingerprint;
    let made = KeyFiles::from(deployment);
    files::write_directory(out, &made)?;
    files::write_private(&out.join(files::ROOT_FILE), &root)?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "root fingerprint        {fingerprint}")?;
    writeln!(stdout, "{:<23} the root key: take it away from here and keep it offline", files::ROOT_FILE)?;
    Ok(tell(&mut stdout, &made)?)
}

fn rotate_tokens(present: &Path, out: &Path, now: Timestamp) -> Outcome {
    let secret = files::read(&present.join(files::secret_file("tokens")))?;
    let present = files::read_directory(present)?;
    let keys = match TokenIssuerKeys::rotate(&secret, now, &mut OsRng) {
        // The one before was not uploaded completely: this is what is missing.
        Err(error @ TokenRotationError::TwoInUse { .. }) => {
            TokenIssuerKeys::unpublished(&secret, present.item(PublicItem::TokenKeys), now)?.ok_or(error)?
        }
        keys => keys?,
    };
    let item = (PublicItem::TokenKeys, keys.public_keys_item());
    finish(out, &KeyFiles { secrets: vec![keys.secret], items: vec![item] })
}

fn rotate_intermediate(root: &Path, present: &Path, today: bool, out: &Path, now: Timestamp) -> Outcome {
    let root = files::read_root(root)?;
    let secret = files::read(&present.join(files::secret_file("as-signing")))?;
    let beginning = if today { Beginning::Today } else { Beginning::InTwoDays };
    let published = &published_credentials(present)?;
    finish(out, &AuthenticationServiceKeys::rotate(&root, &secret, published, beginning, now, &mut OsRng)?.into())
}

fn revoke(present: &Path, fingerprints: &[Fingerprint], clients: bool, out: &Path, now: Timestamp) -> Outcome {
    let secret = files::read(&present.join(files::secret_file("as-signing")))?;
    let published = &published_credentials(present)?;
    let keys = AuthenticationServiceKeys::revoke(&secret, published, fingerprints, clients, now)?;
    let mut stdout = io::stdout().lock();
    for line in names(fingerprints, published, now)? {
        writeln!(stdout, "{line}")?;
    }
    drop(stdout);
    finish(out, &keys.into())
}

fn renew_qs_keys(root: &Path, present: &Path, out: &Path, now: Timestamp) -> Outcome {
    let root = files::read_root(root)?;
    let secret = files::read(&present.join(files::secret_file("qs")))?;
    let item = files::read_item(&present.join(PublicItem::QsKeys.file_name()))?;
    let published = public_keys::read_item(&item).ok_or("the item has no keys of the queuing service")?;
    let keys = QueuingServiceKeys::renew(&root, &secret, &published, &published_credentials(present)?, now)?;
    let items = vec![(PublicItem::QsKeys, keys.public_keys_item())];
    finish(out, &KeyFiles { secrets: Vec::new(), items })
}

fn show(present: &Path, now: Timestamp) -> Outcome {
    let files = files::read_directory(present)?;
    if files.items.is_empty() {
        return Err(format!("{}: there is no public item in it", present.display()).into());
    }
    let mut stdout = io::stdout().lock();
    for line in inventory(&files, now)? {
        writeln!(stdout, "{line}")?;
    }
    Ok(())
}

fn published_credentials(present: &Path) -> Result<GetCredentialsResponse, Box<dyn Error>> {
    let item = files::read_item(&present.join(PublicItem::Credentials.file_name()))?;
    Ok(public_credentials::read_item(&item).ok_or("the item has no credentials")?)
}

fn online(command: impl Future<Output = Outcome>) -> Outcome {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

async fn download(stack: &Path, purposes: &[Purpose], out: &Path) -> Outcome {
    let vault = vault(stack)?;
    let wanted: Vec<&str> = purposes.iter().filter_map(|purpose| purpose.secret()).collect();
    let present = if purposes.is_empty() { vault.download().await? } else { vault.download_for(&wanted).await? };
    if present.is_empty() {
        return Err("the deployment has no keys yet: upload those that `generate` makes".into());
    }
    finish(out, &present)
}

async fn upload(stack: &Path, from: &Path, now: Timestamp) -> Outcome {
    if from.join(files::ROOT_FILE).try_exists()? {
        let path = from.join(files::ROOT_FILE);
        return Err(format!("{} is here: first take it to where it is kept offline", path.display()).into());
    }
    let files = files::read_directory(from)?;
    if files.is_empty() {
        return Err(format!("{}: there are no keys in it", from.display()).into());
    }
    match vault(stack)?.upload(&files, now).await {
        Ok(written) => Ok(tell_written(&mut io::stdout().lock(), &written, &[])?),
        Err(VaultError::Interrupted { written, left, reason }) => {
            // Why it was interrupted is said whether this can be or not.
            let _ = tell_written(&mut io::stdout().lock(), &written, &left);
            let then = match *reason {
                VaultError::Changed(_) => "",
                _ => "; run the same upload again, and keep the directory until it is complete",
            };
            Err(format!("{reason}{then}").into())
        }
        Err(error) => Err(format!("{error}; nothing was written").into()),
    }
}

/// Says what an upload has done with each secret and item.
fn tell_written(stdout: &mut impl io::Write, written: &[Written], left: &[String]) -> io::Result<()> {
    for Written { place, is_new } in written {
        writeln!(stdout, "{:<10} {place}", if *is_new { "written" } else { "unchanged" })?;
    }
    left.iter().try_for_each(|place| writeln!(stdout, "{:<10} {place}", "left"))
}

/// The vault that the stack names, for whoever has the credentials in the environment variables.
fn vault(stack: &Path) -> Result<Vault, Box<dyn Error>> {
    let stack = Stack::read(&files::read(stack)?).map_err(|error| format!("{}: {error}", stack.display()))?;
    let hint = "run `eval \"$(aws configure export-credentials --format env)\"` and set AWS_REGION";
    let environment = Environment::of_operator().map_err(|error| format!("{error}: {hint}"))?;
    Ok(Vault::new(&environment, stack))
}

fn finish(out: &Path, made: &KeyFiles) -> Outcome {
    files::write_directory(out, made)?;
    Ok(tell(&mut io::stdout().lock(), made)?)
}

/// Says what each file is.
fn tell(stdout: &mut impl io::Write, made: &KeyFiles) -> io::Result<()> {
    for secret in &made.secrets {
        let file = files::secret_file(secret.purpose);
        writeln!(stdout, "{file:<23} the value of the secret {}", secret.logical_id)?;
    }
    for (kind, _) in &made.items {
        writeln!(stdout, "{:<23} public: an item of {}", kind.file_name(), kind.table())?;
    }
    Ok(())
}

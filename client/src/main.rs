//! The `vestibule` command: see [`vestibule_client::cli`].

fn main() -> std::process::ExitCode {
    vestibule_client::cli::main()
}

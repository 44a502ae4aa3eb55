fn main() -> std::process::ExitCode {
    vestibule_backend::run::<qs_claim_key_packages::QsClaimKeyPackages>()
}

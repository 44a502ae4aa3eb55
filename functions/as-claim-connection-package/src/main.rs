fn main() -> std::process::ExitCode {
    vestibule_backend::run::<as_claim_connection_package::AsClaimConnectionPackage>()
}

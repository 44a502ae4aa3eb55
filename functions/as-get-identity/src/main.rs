fn main() -> std::process::ExitCode {
    vestibule_backend::run::<as_get_identity::AsGetIdentity>()
}

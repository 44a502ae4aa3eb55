fn main() -> std::process::ExitCode {
    vestibule_backend::run::<ks_use_session::KsUseSession>()
}

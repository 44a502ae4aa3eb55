fn main() -> std::process::ExitCode {
    vestibule_backend::run::<ks_open_session::KsOpenSession>()
}

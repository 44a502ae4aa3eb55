fn main() -> std::process::ExitCode {
    vestibule_backend::run::<as_initiate_login::AsInitiateLogin>()
}

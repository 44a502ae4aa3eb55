fn main() -> std::process::ExitCode {
    vestibule_backend::run::<as_add_client::AsAddClient>()
}

fn main() -> std::process::ExitCode {
    vestibule_backend::run::<qs_delete_client::QsDeleteClient>()
}

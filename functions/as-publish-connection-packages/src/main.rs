fn main() -> std::process::ExitCode {
    vestibule_backend::run::<as_publish_connection_packages::AsPublishConnectionPackages>()
}

fn main() -> std::process::ExitCode {
    vestibule_backend::run::<qs_publish_key_packages::QsPublishKeyPackages>()
}

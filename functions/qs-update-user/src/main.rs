fn main() -> std::process::ExitCode {
    vestibule_backend::run::<qs_update_user::QsUpdateUser>()
}

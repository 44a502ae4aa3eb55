fn main() -> std::process::ExitCode {
    vestibule_backend::run::<qs_get_user::QsGetUser>()
}

fn main() -> std::process::ExitCode {
    vestibule_backend::run::<rs_join::RsJoin>()
}

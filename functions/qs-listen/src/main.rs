fn main() -> std::process::ExitCode {
    vestibule_backend::run_websocket::<qs_listen::QsListen>()
}

fn main() -> std::process::ExitCode {
    vestibule_backend::run_websocket::<rs_relay::RsRelay>()
}

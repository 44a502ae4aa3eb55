//! Two devices at whose commands people sit, or nobody.

use std::sync::Mutex;

use super::*;
use crate::testing::FakeRendezvous;

/// Two devices, and the relay between them.
pub(super) struct Pair {
    pub(super) devices: [Device; 2],
    pub(super) fake: Arc<FakeRendezvous>,
}

/// What a command prints, readable while it runs.
#[derive(Clone, Default)]
pub(super) struct Screen(Arc<Mutex<Vec<u8>>>);

impl Screen {
    pub(super) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    pub(super) fn events(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Lets the others run until there is something to read.
    pub(super) async fn read(&self) -> String {
        while self.text().is_empty() {
            tokio::task::yield_now().await;
        }
        self.text()
    }

    /// The words of the code that is shown as an event.
    pub(super) async fn words(&self) -> String {
        let code: Value = serde_json::from_str(self.read().await.lines().next().unwrap()).unwrap();
        code["words"].as_str().unwrap().to_owned()
    }
}

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal at which these lines are typed, one after the other.
pub(super) fn typing(lines: &[&str]) -> ReadLine {
    let lines = Mutex::new(lines.iter().map(|line| format!("{line}\n")).collect::<std::collections::VecDeque<_>>());
    Arc::new(move || Ok(Zeroizing::new(lines.lock().unwrap().pop_front().unwrap_or_default())))
}

impl Pair {
    pub(super) async fn new() -> Self {
        let new_device = Device::new();
        let existing_device = new_device.another();
        existing_device.register(ALICE).await.result.unwrap();
        let fake = FakeRendezvous::new(new_device.service.clone(), new_device.clock.clone());
        Self { devices: [new_device, existing_device], fake }
    }

    pub(super) fn adjust(&self, side: usize, options: Options) -> Options {
        self.devices[side].adjust(options).transport(self.fake.clone()).relay_transport(self.fake.clone())
    }

    /// Runs a command on a device, where nobody can be asked.
    pub(super) async fn run(&self, side: usize, arguments: &[&str]) -> Ran {
        let screen = Screen::default();
        let (exit_code, stderr) = self.run_on(side, arguments, &screen, None).await;
        Ran { exit_code, stdout: screen.text(), stderr }
    }

    /// Runs a command on a device, with somebody at its terminal or nobody.
    pub(super) async fn run_on(
        &self,
        side: usize,
        arguments: &[&str],
        screen: &Screen,
        terminal: Option<ReadLine>,
    ) -> (u8, String) {
        let home = self.devices[side].home.path().to_str().unwrap();
        let base = ["vestibule", "--home", home];
        let password = format!("{PASSWORD}\n");
        let (mut stdin, mut stdout, mut stderr) = (password.as_bytes(), screen.clone(), Vec::new());
        let streams = Streams {
            stdin: &mut stdin,
            stdout: &mut stdout,
            stderr: &mut stderr,
            can_ask: terminal.is_some(),
            read_line: terminal.unwrap_or_else(|| Arc::new(|| panic!("nobody is to be asked"))),
            is_watched: false,
        };
        let exit_code = run([&base, arguments].concat(), streams, |options| self.adjust(side, options)).await;
        (exit_code, String::from_utf8(stderr).unwrap())
    }
}

//! The process of a function.

use std::io::{self, BufRead, BufReader, PipeReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::watch;

use super::Program;

/// A running process, which is killed when this is dropped. What it writes becomes lines of this process's log.
pub(super) struct Process {
    child: Arc<Mutex<Child>>,
    ending: watch::Receiver<Option<String>>,
}

impl Process {
    /// Starts a program whose Runtime API is at `runtime_api`, such as `http://127.0.0.1:9001/secret`.
    pub(super) fn start(program: &Program, runtime_api: &str) -> io::Result<Self> {
        let (output, writer) = io::pipe()?;
        let mut command = Command::new(&program.file);
        // On Lambda too it finds no other variables than Lambda's and the template's.
        command.env_clear().envs(&program.variables).env("AWS_LAMBDA_RUNTIME_API", runtime_api);
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let child = Arc::new(Mutex::new(command.spawn()?));
        // As long as the command has them, the ends of the pipe are open.
        drop(command);
        let (ended, ending) = watch::channel(None);
        let process = Self { child: Arc::clone(&child), ending };
        let follow = move || {
            let last_line = log(output);
            ended.send_replace(Some(said_at_the_end(&child, last_line)));
        };
        thread::Builder::new().name(program.name.clone()).spawn(follow)?;
        Ok(process)
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.ending.borrow().is_some()
    }

    /// Comes back when it has ended, with its exit status and the last line that it wrote.
    pub(super) async fn end(&mut self) -> String {
        match self.ending.wait_for(Option::is_some).await {
            Ok(ending) => ending.clone().unwrap_or_default(),
            Err(_) => "nobody watches the process".to_owned(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        kill(&self.child);
    }
}

/// Logs each line until there are no more, and gives back the last one. What is not UTF-8 in it is replaced.
fn log(output: PipeReader) -> Option<String> {
    let lines = BufReader::new(output).split(b'\n').map_while(Result::ok);
    let lines = lines.map(|line| String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned());
    lines.inspect(|line| tracing::info!(target: "vestibule_local::function", "{line}")).last()
}

fn said_at_the_end(child: &Mutex<Child>, last_line: Option<String>) -> String {
    // One that has closed its output but goes on would be watched by nobody.
    let status = kill(child).map_or_else(|| "an unknown exit status".to_owned(), |status| status.to_string());
    last_line.map_or_else(|| status.clone(), |line| format!("{status}: {line}"))
}

/// Kills a process that has not ended yet, and takes its exit status, without which the system would keep it.
fn kill(child: &Mutex<Child>) -> Option<ExitStatus> {
    let mut child = child.lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok(Some(status)) = child.try_wait() {
        return Some(status);
    }
    // It may end by itself in between, and then cannot be killed.
    let _ = child.kill();
    child.wait().ok()
}

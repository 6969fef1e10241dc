//! `satisfice serve` as a process of its own, and what it logs.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long a process may take to say something, at worst.
const PATIENCE: Duration = Duration::from_secs(120);

/// A gateway process, and the lines that it logs. It ends when this is dropped.
pub struct Served {
    child: Child,
    log: Receiver<String>,
}

/// The program, without arguments.
pub fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_satisfice"))
}

impl Served {
    /// `command` is the program, or what runs it; it serves the `c.toml` of `folder`, with `more` flags.
    pub fn start(command: &mut Command, folder: &Path, more: &[&str]) -> Self {
        let listening = ["--config", "c.toml", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
        Self::serve(command, folder, &[&listening, more].concat())
    }

    /// With these flags alone.
    pub fn serve(command: &mut Command, folder: &Path, flags: &[&str]) -> Self {
        let command = command.arg("serve").args(flags).current_dir(folder).env_remove("RUST_LOG");
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let (lines, log) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
        Self { child, log }
    }

    /// Waits for a line that holds `text`.
    pub fn says(&self, text: &str) -> String {
        let mut heard = vec![];
        loop {
            let line = self.log.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{text}: {e} after {heard:#?}"));
            if line.contains(text) {
                return line;
            }
            heard.push(line);
        }
    }

    /// The next line that it logs.
    pub fn next(&self) -> String {
        self.log.recv_timeout(PATIENCE).unwrap()
    }

    /// Leaves its log: the reader ends at the next line.
    pub fn stop_reading(&mut self) {
        self.log = channel().1;
    }

    /// Tells it to stop, as the system does.
    pub fn terminate(&self) {
        self.signal("-TERM");
    }

    pub fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Waits until it has ended, in order.
    pub fn ends(mut self) {
        assert!(self.child.wait().unwrap().success());
    }

    /// Ends it; what it said that nobody waited for.
    pub fn rest(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.log.iter().collect()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The address in a line of the log.
pub fn url(line: &str) -> String {
    let word = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    word.trim_end_matches(':').to_owned()
}

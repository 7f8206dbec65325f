//! torch's side of a benchmark: a Python process that is given one case after another, so that both sides take turns.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The process.
pub(crate) struct Torch {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Torch {
    /// Starts `python` (with torch, for some cases diffusers) on as many threads as ours.
    pub(crate) fn start(python: &str, threads: usize) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../benches/torch_side.py");
        let mut command = Command::new(python);
        command
            .arg(script)
            .arg(threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("the Python program named by --python");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("standard output is piped"));
        Self { child, input, output }
    }

    /// Runs a case and returns its number (seconds as a rule).
    pub(crate) fn run(&mut self, case: &str) -> f64 {
        let input = self.input.as_mut().expect("open until the end");
        writeln!(input, "{case}").expect("the Python program reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the Python program answers");
        line.trim().parse().expect("the Python program answers with a number")
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.child.wait();
    }
}

/// The value after `--name` on the command line.
pub(crate) fn option(name: &str) -> Option<String> {
    let mut arguments = std::env::args().skip_while(|a| *a != format!("--{name}"));
    arguments.next().and(arguments.next())
}

/// The processor's name, as Linux tells it.
pub(crate) fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.to_owned())
}

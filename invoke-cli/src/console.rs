//! Where a command asks and answers.

use std::io::{self, BufRead, IsTerminal, Write};

/// Standard input, output and error, or a test's stand-in for them.
pub trait Console {
    /// Writes to standard output as it stands.
    fn out(&mut self, text: &str);
    /// Writes to standard error as it stands.
    fn err(&mut self, text: &str);
    /// Asks on standard output; the answer without its line end. Fails when there is no more input.
    fn ask(&mut self, question: &str) -> io::Result<String>;
    /// Asks on standard error for something that must not be seen while it is typed.
    fn ask_hidden(&mut self, question: &str) -> io::Result<String>;
}

/// The process's own.
#[derive(Debug, Clone, Copy)]
pub struct Terminal;

fn line() -> io::Result<String> {
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn write(mut stream: impl Write, text: &str) {
    // A reader that went away has nothing more to be told.
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}

impl Console for Terminal {
    fn out(&mut self, text: &str) {
        write(io::stdout().lock(), text);
    }

    fn err(&mut self, text: &str) {
        write(io::stderr().lock(), text);
    }

    fn ask(&mut self, question: &str) -> io::Result<String> {
        self.out(question);
        line()
    }

    fn ask_hidden(&mut self, question: &str) -> io::Result<String> {
        self.err(question);
        if io::stdin().is_terminal() {
            return console::Term::stderr().read_secure_line();
        }
        line()
    }
}

//! A server that a test has started.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, ChildStdout, Command, Stdio},
};

use crate::step::{Result, answers, run};

/// It serves, `health` says so, it stops when told, and then `health` says no.
pub(crate) fn serves(hubbub: &mut Command, health: impl Fn() -> Command) -> Result {
    let mut serving = Serving::start(hubbub)?;
    run(&mut health())?;
    serving.stop()?;
    if answers(&mut health()) { Err("healthy, though it was stopped".to_owned()) } else { Ok(()) }
}

/// A server that says where it listens.
pub(crate) struct Serving {
    process: Child,
    /// Held open: it may have more to say.
    _said: BufReader<ChildStdout>,
    address: String,
}

impl Serving {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let mut process =
            command.stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
        let mut said = BufReader::new(process.stdout.take().ok_or("it has no output")?);
        let mut line = String::new();
        let read = said.read_line(&mut line).map_err(|error| error.to_string())?;
        let mut serving = Self { process, _said: said, address: String::new() };
        match line.trim().strip_prefix("listening on http://") {
            Some(address) => serving.address = address.to_owned(),
            None if read == 0 => return Err("it ended before it listened".to_owned()),
            None => return Err(format!("it said `{line}`")),
        }
        Ok(serving)
    }

    pub(crate) fn get(&self, path: &str) -> Result<String> {
        let mut answer = String::new();
        TcpStream::connect(&self.address)
            .and_then(|mut stream| {
                let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close");
                stream.write_all(format!("{head}\r\n\r\n").as_bytes())?;
                stream.read_to_string(&mut answer)
            })
            .map_err(|error| format!("{path}: {error}"))?;
        Ok(answer)
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(&mut self) -> Result {
        run(Command::new("sh").args(["-c", "kill -TERM $0", &self.process.id().to_string()]))?;
        let status = self.process.wait().map_err(|error| error.to_string())?;
        if status.success() { Ok(()) } else { Err(format!("told to stop, it ended with {status}")) }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It is over already, unless the test failed.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

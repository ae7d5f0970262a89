//! A scenario that does what it is told while a tracer looks on.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use zombie_trace_e2e::Line;

use crate::{check::Truths, context};

/// `scenario puppet`, outside of any tracer's command.
pub(crate) struct Puppet {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    /// What it has said so far.
    pub(crate) truths: Truths,
}

impl Puppet {
    /// Starts one.
    pub(crate) fn start(stderr: Stdio) -> Result<Self, String> {
        let mut child = Command::new(context::scenario())
            .arg("puppet")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(|error| format!("scenario puppet: {error}"))?;
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut puppet = Self {
            child,
            stdin,
            stdout,
            truths: Truths::default(),
        };
        puppet.read_answer()?;
        Ok(puppet)
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it do something; returns the pid of the process concerned once it is done.
    pub(crate) fn obey(&mut self, command: &str) -> Result<u32, String> {
        let stdin = self.stdin.as_mut().expect("open until dropped");
        writeln!(stdin, "{command}").map_err(|error| format!("puppet: {command}: {error}"))?;
        self.read_answer()
            .map_err(|error| format!("{command}: {error}"))
    }

    fn read_answer(&mut self) -> Result<u32, String> {
        loop {
            let mut line = String::new();
            let read = self.stdout.read_line(&mut line);
            if !matches!(read, Ok(1..)) {
                return Err(format!("puppet: no answer: {read:?}"));
            }
            match serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))? {
                Line::Done { pid } => return Ok(pid),
                truth => self.truths.add(truth),
            }
        }
    }

    /// Ends it.
    pub(crate) fn end(&mut self) {
        self.stdin = None;
        let _ = self.child.wait();
    }
}

impl Drop for Puppet {
    fn drop(&mut self) {
        self.end();
    }
}

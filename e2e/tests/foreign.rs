//! Whose child a zombie is, where the tracer has seen neither its birth nor its end.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    Outcome, Test,
    backend::{BACKENDS, problem},
    context, ensure,
    puppet::Puppet,
    tracer::Tracer,
};

pub(crate) fn tests() -> Vec<Test> {
    BACKENDS
        .into_iter()
        .map(|backend| {
            let works = problem(backend).map(|why| format!("{backend} does not load: {why}"));
            let forced = context::forced_backend().map(|backend| format!("{backend} is forced"));
            Test::new(format!("foreign::from-before-{backend}"), move || {
                from_before(backend)
            })
            .unless(works)
            .unless(forced)
        })
        .collect()
}

/// A shell makes a child and becomes another program, which never reaps it; a puppet has one that it
/// made itself, and reaps it while it is watched.
fn from_before(backend: &str) -> Outcome {
    let heir = Heir::start()?;
    let mut puppet = Puppet::start(Stdio::inherit())?;
    let own = puppet.obey("zombie own 0")?;
    let [heirs_pid, puppets_pid] = [heir.parent.id(), puppet.pid()].map(|pid| pid.to_string());
    let mut tracer = Tracer::json(["--backend", backend, "--alive-after", "1ms"])
        .args(["-P", &heirs_pid, "-P", &puppets_pid])
        .start()?;
    let alive = |pid: u32| move |line: &Value| line["type"] == "alive" && line["pid"] == pid;
    tracer.wait_line("the heir's zombie", alive(heir.zombie))?;
    tracer.wait_line("the puppet's zombie", alive(own))?;
    puppet.obey("reap own")?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let report = run.report()?;
    let foreign = |pid: u32| {
        let lines = report.alive().chain(report.zombies());
        let of_pid = lines.filter(move |line| line["pid"] == pid);
        of_pid
            .map(|line| line["foreign"].clone())
            .collect::<Vec<_>>()
    };
    let (inherited, own) = (foreign(heir.zombie), foreign(own));
    if inherited.is_empty() || inherited.iter().any(|foreign| *foreign != json!(true)) {
        return run.fail(format!("inherited over exec: {inherited:?}"));
    }
    ensure!(report.zombies().count() == 1, "one is reaped");
    if own.len() < 2 || own.iter().any(|foreign| *foreign != json!(false)) {
        return run.fail(format!("made by its parent: {own:?}"));
    }
    Ok(())
}

/// A program with a zombie that it did not make.
struct Heir {
    parent: Child,
    zombie: u32,
}

impl Heir {
    fn start() -> Result<Self, String> {
        let mut parent = Command::new("/bin/sh")
            .args(["-c", "sleep 0 & echo $!; exec sleep 1000"])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("sh: {error}"))?;
        let mut line = String::new();
        let stdout = parent.stdout.take().expect("piped");
        let read = BufReader::new(stdout).read_line(&mut line);
        let zombie = line.trim().parse().unwrap_or(0);
        let heir = Self { parent, zombie };
        read.map_err(|error| format!("sh: {error}"))?;
        ensure!(zombie != 0, "sh printed {line:?}");
        let stat = |pid: u32| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let deadline = Instant::now() + Duration::from_secs(60);
        while !stat(zombie).contains(") Z ") || !stat(heir.parent.id()).contains("(sleep) S") {
            ensure!(Instant::now() < deadline, "no zombie of a sleep");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(heir)
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        let _ = self.parent.kill();
        let _ = self.parent.wait();
    }
}

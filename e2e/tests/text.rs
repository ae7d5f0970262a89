//! Text for people: living zombies by parent, the verdict, the terminal's width.

use std::process::{Child, Command, Stdio};

use crate::{
    Outcome, Test, context, ensure,
    fault::children,
    pty::{self, Pty, until},
    tracer::Tracer,
};

const PERL: &str = "/usr/bin/perl";
/// Leaves twenty zombies, one each 50 ms, and sleeps.
const LEAK: &str = "for (1 .. 20) { select undef, undef, undef, 0.05; fork or exit 3 } sleep 600";

pub(crate) fn tests() -> Vec<Test> {
    let tests = vec![
        Test::new("text::one-line-per-parent", one_line_per_parent),
        Test::new("text::each", each),
        Test::new("text::no-trouble", no_trouble),
        Test::new("text::width", follows_the_width),
    ];
    tests
        .into_iter()
        .map(|test| test.unless(context::no_program(PERL)))
        .collect()
}

/// A parent that leaks until it is dropped.
struct Leak(Child);

impl Leak {
    fn start() -> Result<Self, String> {
        let mut perl = Command::new(PERL);
        perl.args(["-e", LEAK]).stdin(Stdio::null());
        perl.spawn()
            .map(Self)
            .map_err(|error| format!("{PERL}: {error}"))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Leak {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// While it runs, a leak is a line per doubling, with the finding; at the end, it is the verdict and
/// the first row.
fn one_line_per_parent() -> Outcome {
    let leak = Leak::start()?;
    let pid = leak.pid();
    let named = "perl -e for (1 .. 20) { select undef, undef, ";
    let mut tracer = Tracer::new(["--alive-after", "500ms", "-P", &pid.to_string()]).start()?;
    tracer.wait_stdout("never-waits: does not handle SIGCHLD and is not waiting now")?;
    tracer.wait_stdout(" living zombies, the oldest ")?;
    // It sleeps for good: what it does at the end is then no matter of chance.
    let stat = format!("/proc/{pid}/stat");
    until("all zombies are there", || {
        let sleeps = std::fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") S "));
        Ok(children(pid).len() == 20 && sleeps)
    })?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let (stream, summary) = match text.split_once("\n\n") {
        Some(parts) => parts,
        None => return run.fail("no summary"),
    };
    let lines = stream.matches(named).count();
    // Not one per zombie: at each doubling of their number or of the age.
    let living: usize = summary
        .split_once(" living")
        .and_then(|(before, _)| before.rsplit(' ').next()?.parse().ok())
        .unwrap_or(0);
    ensure!(living >= 2, "{text}");
    let doublings = 2 * (living.ilog2() as usize + 2) + 8;
    ensure!((1..=doublings).contains(&lines), "{lines} lines:\n{text}");
    ensure!(
        summary.starts_with(&format!("1 parent leaves zombies: {named}")),
        "{text}"
    );
    let row = summary
        .lines()
        .skip_while(|line| *line != "parents, by zombie time")
        .nth(2)
        .unwrap_or_default();
    for part in [
        &*pid.to_string(),
        "perl -e",
        &*living.to_string(),
        "never-waits",
    ] {
        ensure!(row.contains(part), "no {part} in the first row:\n{text}");
    }
    Ok(())
}

/// A line per zombie, if asked for.
fn each() -> Outcome {
    let leak = Leak::start()?;
    let pid = leak.pid().to_string();
    let mut tracer = Tracer::new(["--each", "--alive-after", "500ms", "-P", &pid]).start()?;
    let rows = |text: &str| {
        let lines = text.lines();
        let rows =
            lines.filter(|line| line.contains("still a zombie") && line.contains("never-waits"));
        rows.count()
    };
    tracer.wait_stdout_for("two zombies", |text| rows(text) >= 2)?;
    let run = tracer.stop()?;
    run.expect_code(0)?;
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    ensure!(rows(&text) >= 2, "{text}");
    Ok(())
}

/// The first line of the summary says so, and quick reaps are counted, not listed.
fn no_trouble() -> Outcome {
    let script = "fork and wait or exit for 1 .. 20";
    let output = context::fresh_path("calm.txt");
    let run = Tracer::new(["-m", "50s", "-o"])
        .args([&output])
        .command([PERL, "-e", script])
        .run()?;
    run.expect_code(0)?;
    let text = std::fs::read_to_string(&output).map_err(|error| error.to_string())?;
    let summary = text.split("\n\n").nth(1).unwrap_or_default();
    ensure!(summary.starts_with("every zombie was reaped"), "{text}");
    ensure!(text.contains("not listed: 21 reaped within 50 s"), "{text}");
    ensure!(
        text.lines()
            .next()
            .is_some_and(|line| line.contains("PID COMM")),
        "{text}"
    );
    Ok(())
}

/// A terminal that becomes wider gets the columns that it has room for.
fn follows_the_width() -> Outcome {
    let mut tracer = Command::new(context::zombie_trace());
    if let Some(backend) = context::forced_backend() {
        tracer.args(["--backend", &backend]);
    }
    // Its own children are no matter here.
    tracer.args(["-P", &std::process::id().to_string()]);
    let pty = Pty::open(24, 60)?;
    let mut tracer = pty.start(tracer)?;
    pty.wait("ZOMBIE")?;
    let text = pty.text();
    ensure!(!text.contains("REAPER"), "{text}");
    pty.resize(24, 200);
    pty.wait("REAPER")?;
    // SAFETY: no pointers.
    unsafe { libc::kill(tracer.id().cast_signed(), libc::SIGINT) };
    let code = pty::end_of(&mut tracer)?;
    ensure!(code == 0, "status {code}:\n{}", pty.text());
    Ok(())
}

//! The library, by its examples and by a crate outside of the workspace.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use zombie_trace_e2e::{Span, Truth};

use crate::{
    Outcome, Test, context, ensure,
    puppet::Puppet,
    tracer::{Run, Tracer},
};

pub(crate) fn tests() -> Vec<Test> {
    let of_example = |name: &str, example: &str, run: fn() -> Outcome| {
        Test::new(format!("library::{name}"), run).unless(context::no_example(example))
    };
    vec![
        of_example("stream", "stream", stream),
        of_example("read-recording", "read_recording", read_recording),
        of_example("assert-no-zombies", "assert_no_zombies", all_reaped),
        of_example("assert-no-zombies-left", "assert_no_zombies", one_left),
        of_example("assert-no-zombies-slow", "assert_no_zombies", one_slow),
        Test::new("library::outside-crate", outside).unless(context::no_outside_crate()),
    ]
}

fn example(name: &str) -> Tracer {
    Tracer::of(Command::new(context::example(name)))
}

/// The truth about the process of a role.
fn truth<'a>(puppet: &'a Puppet, role: &str) -> Result<&'a Truth, String> {
    let mut all = puppet.truths.processes.iter();
    all.find(|truth| truth.role == role)
        .ok_or_else(|| format!("no truth about {role}"))
}

/// Whether a figure with this error can be true.
fn fits(found: u64, error: u64, truth: Option<Span>) -> bool {
    truth.is_none_or(|span| found + error >= span.lo && found.saturating_sub(error) <= span.hi)
}

fn stream() -> Outcome {
    let mut puppet = Puppet::start(Stdio::inherit())?;
    let mut running = example("stream").args([puppet.pid().to_string()]).spawn()?;
    running.wait_attached()?;
    let reaped = puppet.obey("zombie plain 0")?;
    puppet.obey("reap plain")?;
    running.wait_stdout(&format!("zombie {reaped} "))?;
    let left = puppet.obey("zombie left 0")?;
    running.signal(libc::SIGINT);
    let run = running.finish()?;
    run.expect_code(0)?;

    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let line = |begin: &str| -> Result<Vec<String>, String> {
        let line = text.lines().find(|line| line.starts_with(begin));
        let Some(line) = line else {
            return run.fail(format!("no line {begin:?}"));
        };
        Ok(line.split(' ').map(ToOwned::to_owned).collect())
    };
    let zombie = line(&format!("zombie {reaped} "))?;
    let parent = puppet.pid().to_string();
    let number = |word: &str| {
        word.parse::<u64>()
            .map_err(|error| format!("{word}: {error}"))
    };
    let (found, error) = (number(&zombie[5])?, number(&zombie[8])?);
    let lasted = truth(&puppet, "plain")?.zombie();
    ensure!(
        lasted.is_some(),
        "the puppet does not know how long it was a zombie"
    );
    ensure!(
        fits(found, error, lasted),
        "{found} ± {error} ns, but the truth is {lasted:?}"
    );
    ensure!(zombie[3] == parent && zombie[12] == parent, "{zombie:?}");
    let living = line(&format!("living {left} "))?;
    ensure!(living[3] == parent, "{living:?}");
    ensure!(
        text.ends_with("summary 2 exits, 1 reaped, 1 alive, complete: true\n"),
        "{text}"
    );
    Ok(())
}

fn read_recording() -> Outcome {
    let mut puppet = Puppet::start(Stdio::inherit())?;
    let running = Tracer::json(["-P", &puppet.pid().to_string()]).start()?;
    let mut pids = Vec::new();
    for role in ["one", "two", "three"] {
        pids.push(puppet.obey(&format!("zombie {role} 0"))?);
    }
    // The first lasts longest: each one's time holds that of the next.
    for role in ["three", "two", "one"] {
        puppet.obey(&format!("reap {role}"))?;
    }
    let recorded = running.stop()?;
    recorded.expect_code(0)?;
    let file = context::fresh_path("recorded.jsonl");
    fs::write(&file, &recorded.output).map_err(|error| error.to_string())?;

    let run = example("read_recording").args([&file]).run()?;
    run.expect_code(0)?;
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(' ').collect()).collect();
    ensure!(lines.len() == 4, "{text}");
    for (line, (pid, role)) in lines.iter().zip(pids.iter().zip(["one", "two", "three"])) {
        ensure!(
            line[0] == pid.to_string(),
            "{pid} is not in its place: {text}"
        );
        ensure!(line[1] == format!("{role:?}"), "{text}");
        let found: u64 = line[2].parse().map_err(|_| text.clone())?;
        let lasted = truth(&puppet, role)?.zombie();
        ensure!(lasted.is_some(), "no truth about {role}");
        // Of all backends.
        const ERROR: u64 = 25_000;
        ensure!(
            fits(found, ERROR, lasted),
            "{role}: {found} ns for {lasted:?}"
        );
    }
    ensure!(lines[3][..2] == ["3", "reaped,"], "{text}");
    ensure!(run.stderr.is_empty(), "{}", run.stderr);

    // What is cut is read up to the cut, with a warning.
    let half = &recorded.output[..recorded.output.len() / 2];
    fs::write(&file, half).map_err(|error| error.to_string())?;
    let run = example("read_recording").args([&file]).run()?;
    run.expect_code(0)?;
    ensure!(run.stderr.starts_with("warning: cut: "), "{}", run.stderr);
    Ok(())
}

/// `assert_no_zombies`, with a limit that only a test with a slow reaper sets.
fn assert_no_zombies(limit_ms: u32, script: &str) -> Result<Run, String> {
    let limit = limit_ms.to_string();
    example("assert_no_zombies")
        .args([limit.as_str(), "/bin/sh", "-c", script])
        .run()
}

fn all_reaped() -> Outcome {
    let run = assert_no_zombies(60_000, "/bin/true; /bin/true & wait; exit 7")?;
    run.expect_code(7)?;
    ensure!(run.stderr.is_empty(), "{}", run.stderr);
    Ok(())
}

/// A shell that waits until a child of `$parent` is a zombie: prints both pids.
const UNTIL_ZOMBIE: &str = "until
    child=$(cat /proc/$parent/task/$parent/children) &&
    grep -qs '^State:.Z' /proc/${child% }/status
do sleep 0.01; done; echo $parent $child";

fn one_left() -> Outcome {
    let script =
        format!("sh -c '/bin/true & exec sleep 300' >/dev/null 2>&1 & parent=$!; {UNTIL_ZOMBIE}");
    let run = assert_no_zombies(60_000, &script)?;
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let mut pids = text.split_whitespace();
    let (Some(parent), Some(zombie)) = (pids.next(), pids.next()) else {
        return run.fail("the script names no pids");
    };
    let parent: libc::pid_t = parent.parse().map_err(|_| text.clone())?;
    // SAFETY: no pointers. It sleeps for much longer yet, so the pid is its.
    unsafe { libc::kill(parent, libc::SIGKILL) };
    run.expect_code(101)?;
    ensure!(
        run.stderr
            .contains(&format!("({zombie}) is still a zombie: ")),
        "{}",
        run.stderr
    );
    Ok(())
}

fn one_slow() -> Outcome {
    // The parent's second program never waits, and ends 200 ms after its child surely is a zombie.
    let script = format!(
        "sh -c '/bin/true & exec sleep 300' >/dev/null 2>&1 & parent=$!; {UNTIL_ZOMBIE}; \
                          sleep 0.2; kill $parent; wait"
    );
    let run = assert_no_zombies(100, &script)?;
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let Some(zombie) = text.split_whitespace().nth(1) else {
        return run.fail("the script names no pids");
    };
    run.expect_code(101)?;
    let begin = format!("({zombie}) was a zombie for ");
    let Some((_, rest)) = run.stderr.split_once(&begin) else {
        // Its new parent has not reaped it yet.
        let is_left = run
            .stderr
            .contains(&format!("({zombie}) is still a zombie: "));
        ensure!(is_left, "{}", run.stderr);
        return Ok(());
    };
    let ms: u64 = rest
        .split(' ')
        .next()
        .unwrap_or_default()
        .parse()
        .unwrap_or(0);
    ensure!(ms >= 200, "{}", run.stderr);
    Ok(())
}

fn outside() -> Outcome {
    let path: PathBuf = context::outside_crate();
    let run = Tracer::of(Command::new(Path::new(&path))).run()?;
    run.expect_code(0)?;
    ensure!(run.stdout.ends_with(b"true\n"), "{:?}", run.stdout);
    Ok(())
}

//! The process that looks names up: what it may do, and what its end costs.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use super::Sampled;
use crate::{
    Outcome, Test,
    command::before_exec,
    context, ensure,
    privilege::{BPF, DAC_READ_SEARCH, only},
    pty::until,
    report::number,
    sealed::STRACE,
    tracer::Tracer,
};

/// As the tracer calls it, and where it finds the module.
const BASH: &str = "/bin/bash";
const NAME: &str = "zombie-trace: symbols";
const MODULE: libc::c_int = 3;

pub(crate) fn tests() -> Vec<Test> {
    let old_kernel = (!context::kernel_is_at_least(6, 1)).then(|| "before Linux 6.1".to_owned());
    let injected = |name: &str, signal: &'static str| {
        Test::new(format!("stacks::{name}"), move || ended_by(signal))
            .unless(old_kernel.clone())
            .unless(context::no_program(STRACE))
    };
    vec![
        Test::new("stacks::names-are-looked-up-without-rights", without_rights),
        Test::new("stacks::names-are-looked-up-in-one-file", in_one_file)
            .unless(context::no_program(STRACE).or_else(|| context::no_program(BASH))),
        injected("a-crash-of-the-lookup-costs-only-names", "SIGSEGV"),
        injected("a-lookup-that-hangs-costs-only-names", "SIGSTOP"),
    ]
}

/// The process for a program that everybody may read. It has read nothing yet.
fn lookup(mut command: Command) -> Result<Child, String> {
    let module = File::open(context::scenario()).map_err(|error| error.to_string())?;
    let fd = module.as_raw_fd();
    before_exec(&mut command, move || {
        // SAFETY: no pointers. The descriptor outlives exec.
        let result = unsafe {
            match fd == MODULE {
                true => libc::fcntl(fd, libc::F_SETFD, 0),
                false => libc::dup2(fd, MODULE),
            }
        };
        match result {
            0.. => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    });
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    child.map_err(|error| format!("{command:?}: {error}"))
}

/// What it answers to a question about one address.
fn answer(mut child: Child) -> Result<String, String> {
    let mut stdin = child.stdin.take().expect("piped");
    let question = br#"{"is_perf_map":false,"addresses":[4096]}"#;
    let asked = stdin.write_all(question);
    drop(stdin);
    let mut text = String::new();
    let read = child
        .stdout
        .take()
        .expect("piped")
        .read_to_string(&mut text);
    let status = child.wait().map_err(|error| error.to_string())?;
    asked.and(read).map_err(|error| error.to_string())?;
    ensure!(
        status.success() && text.contains("4096"),
        "{status}: {text}"
    );
    Ok(text)
}

/// Another user, no capability, no new privileges, and limits: whether root starts it, or a user with file
/// capabilities.
fn without_rights() -> Outcome {
    confined(|_| {})?;
    confined(|command| only(command, 1 << DAC_READ_SEARCH | 1 << BPF))
}

fn confined(started_by: impl FnOnce(&mut Command)) -> Outcome {
    let mut command = Command::new(context::zombie_trace());
    command.arg0(NAME);
    started_by(&mut command);
    let child = lookup(command)?;
    let [status, limits] = ["status", "limits"].map(|file| format!("/proc/{}/{file}", child.id()));
    let is_confined = || -> Result<(), String> {
        let read =
            |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
        let (status, limits) = (read(&status)?, read(&limits)?);
        let none = format!("{:016x}", 0);
        for (field, expected) in [
            ("Uid:", "65534 65534 65534 65534"),
            ("Gid:", "65534 65534 65534 65534"),
            ("Groups:", ""),
            ("NoNewPrivs:", "1"),
            ("CapInh:", &none),
            ("CapPrm:", &none),
            ("CapEff:", &none),
            ("CapAmb:", &none),
        ] {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let words: Vec<_> = line.ok_or(field)?.split_whitespace().collect();
            ensure!(words.join(" ") == expected, "{field} {words:?}");
        }
        for (field, expected) in [
            ("Max cpu time", "10"),
            ("Max file size", "67108864"),
            ("Max core file size", "0"),
            ("Max open files", "16"),
            ("Max address space", "4294967296"),
        ] {
            let line = limits.lines().find_map(|line| line.strip_prefix(field));
            let words: Vec<_> = line.ok_or(field)?.split_whitespace().collect();
            ensure!(words[..2] == [expected; 2], "{field} {words:?}");
        }
        Ok(())
    };
    let confined = until("it is confined", || Ok(is_confined().is_ok()));
    confined.map_err(|error| format!("{error}: {:?}", is_confined()))?;
    answer(child).map(drop)
}

/// Landlock leaves it the module.
fn in_one_file() -> Outcome {
    let calls = context::fresh_path("strace");
    let mut command = Command::new(STRACE);
    let name = format!("exec -a '{NAME}' \"$0\"");
    command.args(["-f", "-qq", "-o"]).arg(&calls);
    command.args(["-e", "trace=landlock_create_ruleset,landlock_restrict_self"]);
    command
        .args([BASH, "-c", &name])
        .arg(context::zombie_trace());
    answer(lookup(command)?)?;
    let text = fs::read_to_string(&calls).map_err(|error| error.to_string())?;
    let refused = ["ENOSYS", "EOPNOTSUPP"]
        .iter()
        .any(|error| text.contains(error));
    if refused {
        println!("this kernel has no Landlock");
        return Ok(());
    }
    let restricted = |line: &str| line.contains("landlock_restrict_self(") && line.ends_with("= 0");
    ensure!(text.lines().any(restricted), "not restricted:\n{text}");
    Ok(())
}

/// A signal ends or stops each lookup at its start. Stacks are there all the same, and the run ends.
fn ended_by(signal: &str) -> Outcome {
    let mut parent = Command::new("sh")
        .args(["-c", "true & exec sleep 600"])
        .spawn()
        .map_err(|error| error.to_string())?;
    let outcome = without_names(parent.id(), signal);
    let _ = parent.kill();
    let _ = parent.wait();
    outcome
}

fn without_names(ppid: u32, signal: &str) -> Outcome {
    // Nothing else makes this call.
    const CALL: &str = "landlock_create_ruleset";
    let calls = context::fresh_path("strace");
    let calls = calls.to_str().expect("UTF-8");
    let trace = format!("trace={CALL}");
    let inject = format!("inject={CALL}:signal={signal}");
    let options = ["--stacks=99", "-d", "4s", "--ppid", &ppid.to_string()].map(str::to_owned);
    let run = Tracer::json(options)
        .wrapped([
            STRACE, "-f", "-qq", "-o", calls, "-e", &trace, "-e", &inject,
        ])
        .run()?;
    run.expect_code(0)?;
    let said = fs::read_to_string(calls).map_err(|error| format!("{calls}: {error}"))?;
    ensure!(said.contains(CALL), "nothing was looked up");
    let report = run.report()?;
    let sampled = Sampled::of(&report).or_else(|error| run.fail(error))?;
    ensure!(number(&sampled.totals, "samples") > 0, "{}", sampled.totals);
    let frames: Vec<&Value> = sampled
        .doing
        .iter()
        .flat_map(|one| sampled.frames(one))
        .collect();
    let known = frames.iter().filter(|frame| !frame["module"].is_null());
    ensure!(known.count() > 1, "no stack: {frames:?}");
    let named = frames.iter().find(|frame| !frame["function"].is_null());
    ensure!(named.is_none(), "it has been looked up: {named:?}");
    ensure!(report.summary()["complete"] == true, "{}", report.summary());
    match run.stderr.contains("panicked") {
        true => run.fail("a panic"),
        false => Ok(()),
    }
}

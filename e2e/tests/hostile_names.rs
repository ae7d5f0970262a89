//! Names that would fool a terminal or the log of a build, through every output for people.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{Outcome, Test, context, ensure};

/// Sets the title of a terminal's window.
const TITLE: &str = "\x1b]0;pwned\x07";
/// Reorders what follows, and colours it by a control character of Latin-1.
const REORDER: &str = "\u{202e}\u{9b}31m";
/// A command to GitHub's runner.
const COMMAND: &str = "::error::pwned";
/// Starts a line of its own.
const NEWLINE: &str = "a\n::error::b";
const NAMES: [&str; 4] = [TITLE, REORDER, COMMAND, NEWLINE];
/// As they are shown.
const SHOWN: [&str; 4] = [
    r"\x1b]0;pwned\x07",
    r"\u{202e}\u{9b}31m",
    r"\x3a:error::pwned",
    r"a\x0a::error::b",
];

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("hostile-names::recorded", recorded),
        Test::new("hostile-names::listed", listed),
        Test::new("hostile-names::looked-at", looked_at),
        Test::new("hostile-names::in-errors", in_errors),
        Test::new("hostile-names::ascii-locale", ascii_locale),
    ]
}

/// A directory with a program of each name, which makes a child of the name that it is given, waits
/// until its standard input ends, and reaps the child then.
struct Programs(PathBuf);

impl Programs {
    fn new() -> Result<Self, String> {
        let directory = context::fresh_path("hostile");
        let script = "#!/bin/sh\n[ $# = 0 ] && exit 3\n\"$1\" &\nread line\nwait\n";
        fs::create_dir(&directory).map_err(|error| error.to_string())?;
        for name in NAMES {
            let path = directory.join(name);
            fs::write(&path, script).map_err(|error| error.to_string())?;
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(&path, mode).map_err(|error| error.to_string())?;
        }
        Ok(Self(directory))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn zombie_trace<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Result<Output, String> {
    let mut command = Command::new(context::zombie_trace());
    command
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null());
    command.output().map_err(|error| error.to_string())
}

/// Explains which of the outputs would reach a terminal or a log with more than text.
fn check(what: &str, output: &Output) -> Result<String, String> {
    let mut all = String::new();
    for text in [&output.stdout, &output.stderr] {
        let text = String::from_utf8(text.clone())
            .map_err(|error| format!("{what}: {error}: {text:?}"))?;
        let is_safe = |char: char| char == '\n' || (!char.is_control() && char != '\u{202e}');
        ensure!(
            text.chars().all(is_safe),
            "{what} writes control characters: {text:?}"
        );
        // As GitHub's runner reads it.
        let is_command = |line: &str| line.trim_start().starts_with("::") || line.contains("##[");
        ensure!(
            !text.lines().any(is_command),
            "{what} writes a command to a log: {text:?}"
        );
        all += &text;
    }
    Ok(all)
}

/// In addition, each of these is shown.
fn check_shown(what: &str, output: &Output, shown: &[&str]) -> Outcome {
    let text = check(what, output)?;
    for shown in shown {
        ensure!(text.contains(shown), "{what} does not show {shown}: {text}");
    }
    Ok(())
}

fn record(programs: &Programs, parent: &str, child: &str) -> Result<PathBuf, String> {
    let recording = programs.path(&format!("{parent}.jsonl"));
    let output = zombie_trace([
        OsStr::new("--json"),
        OsStr::new("-a"),
        OsStr::new("-o"),
        recording.as_os_str(),
        OsStr::new("--"),
        programs.path(parent).as_os_str(),
        programs.path(child).as_os_str(),
    ])?;
    check("a run with --json", &output)?;
    ensure!(output.status.success(), "{output:?}");
    Ok(recording)
}

fn recorded() -> Outcome {
    let programs = Programs::new()?;
    for (index, parent) in NAMES.into_iter().enumerate() {
        let other = (index + 1) % NAMES.len();
        let recording = record(&programs, parent, NAMES[other])?;
        let recording = recording.as_os_str();
        let json = fs::read_to_string(recording).map_err(|error| error.to_string())?;
        ensure!(
            !json.contains(['\x1b', '\u{9b}', '\u{202e}']),
            "the recording holds control characters: {json:?}"
        );
        let names = [SHOWN[index], SHOWN[other]];
        let report = zombie_trace([OsStr::new("report"), recording])?;
        check_shown("report", &report, &names)?;
        let copies = zombie_trace([OsStr::new("report"), recording, recording])?;
        check_shown("report of two", &copies, &["holds the same run as"])?;
        let diff = zombie_trace([OsStr::new("diff"), recording, recording])?;
        // Within a path, `::` is no command.
        let name = names[0].trim_start_matches(r"\x3a:");
        check_shown("diff", &diff, &["are the same run", name])?;
        for args in [
            &["report", "--json"][..],
            &["diff", "--json"],
            &["report", "--fail-if", "count>0", "--format", "text"],
        ] {
            let mut args: Vec<_> = args.iter().map(OsStr::new).collect();
            args.push(recording);
            if args[0] == "diff" {
                args.push(recording);
            }
            check(&format!("{args:?}"), &zombie_trace(args)?)?;
        }
    }
    Ok(())
}

fn listed() -> Outcome {
    let programs = Programs::new()?;
    for options in [
        &["-a"][..],
        &["-a", "-s"],
        &["-a", "-i", "1s"],
        &["-a", "-vv"],
    ] {
        let mut args: Vec<_> = options.iter().map(OsStr::new).collect();
        let [parent, child] = [TITLE, NEWLINE].map(|name| programs.path(name));
        args.extend([OsStr::new("--"), parent.as_os_str(), child.as_os_str()]);
        let output = zombie_trace(args)?;
        // The table of parents, which each of them has, cuts names.
        check_shown(&format!("{options:?}"), &output, &[r"\x1b]0;pw"])?;
    }
    Ok(())
}

/// A parent whose child is a zombie.
struct Family {
    parent: Child,
    child: u32,
}

impl Family {
    fn new(programs: &Programs, parent: &str, child: &str) -> Result<Self, String> {
        let parent = Command::new(programs.path(parent))
            .arg(programs.path(child))
            .stdin(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let pid = parent.id();
        let mut family = Self { parent, child: 0 };
        let deadline = Instant::now() + Duration::from_secs(60);
        while Instant::now() < deadline {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            if let Ok(Ok(child)) = children.map(|text| text.trim().parse())
                && let Ok(stat) = fs::read(format!("/proc/{child}/stat"))
                && stat.windows(4).any(|part| part == b") Z ")
            {
                family.child = child;
                // Of a younger one `ps` only says that it is one.
                thread::sleep(Duration::from_millis(50));
                return Ok(family);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Err("the child has not become a zombie".to_owned())
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        drop(self.parent.stdin.take());
        let _ = self.parent.wait();
    }
}

fn looked_at() -> Outcome {
    let programs = Programs::new()?;
    for (index, parent) in NAMES.into_iter().enumerate() {
        let other = (index + 1) % NAMES.len();
        // Within a line, `::` is no command.
        let names = [index, other].map(|at| SHOWN[at].trim_start_matches(r"\x3a:"));
        let family = Family::new(&programs, parent, NAMES[other])?;
        let [pid, child] = [family.parent.id(), family.child].map(|pid| pid.to_string());
        for (args, shown) in [
            (&["ps", "-P", &pid][..], &names[..]),
            (&["ps", "-P", &pid, "--json"], &[]),
            (&["inspect", &child], &names),
            (&["inspect", &pid], &names),
        ] {
            check_shown(&args.join(" "), &zombie_trace(args)?, shown)?;
        }
    }
    Ok(())
}

fn in_errors() -> Outcome {
    let directory = Path::new("/nowhere");
    for (name, shown) in NAMES.into_iter().zip(SHOWN) {
        let path = directory.join(name);
        let name = OsStr::from_bytes(name.as_bytes());
        let option = OsStr::new("--");
        let option = [option.as_bytes(), name.as_bytes()].concat();
        let path = path.as_os_str();
        for (args, shown) in [
            (
                &[OsStr::new("report"), path][..],
                &[shown.trim_start_matches(r"\x3a:")][..],
            ),
            (
                &[
                    OsStr::new("report"),
                    OsStr::new("--html"),
                    path,
                    OsStr::new("/dev/null"),
                ],
                &[],
            ),
            (&[OsStr::new("diff"), path, path], &[]),
            (&[OsStr::new("ps"), OsStr::new("-c"), path], &[]),
            (
                &[OsStr::new("-o"), path, OsStr::new("--"), OsStr::new("true")],
                &[],
            ),
            (&[OsStr::new("--"), path], &[]),
            (&[OsStr::new("--"), name], &[shown]),
            (&[OsStr::from_bytes(&option)], &[]),
            (&[name], &[]),
            (&[OsStr::new("-n"), name, OsStr::new("-m"), name], &[]),
            (&[OsStr::new("--container"), name], &[]),
        ] {
            let output = zombie_trace(args)?;
            check_shown(&format!("{args:?}"), &output, shown)?;
            ensure!(!output.status.success(), "{args:?} succeeds: {output:?}");
        }
    }
    Ok(())
}

/// Without UTF-8, all text is ASCII.
fn ascii_locale() -> Outcome {
    let programs = Programs::new()?;
    let recording = record(&programs, TITLE, "\u{202e}\u{9b}31m")?;
    let recording = recording.as_os_str();
    let [parent, child] = [TITLE, REORDER].map(|name| programs.path(name));
    let family = Family::new(&programs, TITLE, REORDER)?;
    let pid = family.child.to_string();
    for args in [
        &[OsStr::new("report"), recording][..],
        &[OsStr::new("diff"), recording, recording],
        &[OsStr::new("ps")],
        &[OsStr::new("doctor")],
        &[OsStr::new("inspect"), OsStr::new(&pid)],
        &[
            OsStr::new("-a"),
            OsStr::new("--"),
            parent.as_os_str(),
            child.as_os_str(),
        ],
        &[OsStr::new("report"), OsStr::new("/nowhere/\u{e9}")],
    ] {
        let mut command = Command::new(context::zombie_trace());
        command.args(args).env("LC_ALL", "C").stdin(Stdio::null());
        let output = command.output().map_err(|error| error.to_string())?;
        let text = check(&format!("{args:?}"), &output)?;
        ensure!(text.is_ascii(), "{args:?} is not ASCII: {text}");
    }
    Ok(())
}

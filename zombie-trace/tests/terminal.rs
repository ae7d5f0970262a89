//! What reaches a terminal or a log: escaped names, and ASCII where the locale asks for it.

mod support;

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use zombie_trace::internals::Json;

const HOSTILE: [&str; 5] = [
    "\x1b]0;pwned\x07",
    "\u{202e}\u{9b}31m",
    "::error::pwned",
    "##[add-mask]x",
    "a\n::error::b",
];

/// Two recordings whose names, and whose processes' names, are hostile.
fn recordings(name: &str) -> (tempfile::TempDir, Vec<String>) {
    let directory = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    for pid in [1, 2] {
        let mut run = support::eventful();
        run.start.tracer_pid = pid;
        run.start.command = Some(vec![name.to_owned()]);
        run.start.kernel = name.to_owned();
        for zombie in &mut run.zombies {
            zombie.comm = name.into();
            zombie.parent_comm = Some(name.into());
            zombie.cgroup = Some(name.into());
            if let Some(container) = &mut zombie.container {
                container.id = None;
                container.hostname = Some(name.into());
            }
        }
        run.alive[0].comm = name.into();
        run.alive[0].cause_text = Some(name.into());
        let mut out = Vec::new();
        run.play(&mut Json::new(&mut out, true));
        let file = format!("{name}{pid}");
        // A warning names the file.
        let cut = &out[..out.len() - 10 * pid as usize];
        fs::write(directory.path().join(&file), cut).unwrap();
        names.push(format!("./{file}"));
    }
    (directory, names)
}

fn zombie_trace(directory: &tempfile::TempDir, locale: &str, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_zombie-trace"))
        .args(args)
        .current_dir(directory.path())
        .env("LC_ALL", locale)
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    let both = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8(both).unwrap()
}

#[track_caller]
fn check(args: &[&str], output: &Output) {
    let text = text(output);
    let control = |char: &char| *char != '\n' && (char.is_control() || *char == '\u{202e}');
    assert_eq!(text.chars().find(control), None, "{args:?}: {text}");
    for line in text.lines() {
        let is_command = line.trim_start().starts_with("::") || line.contains("##[");
        assert!(!is_command, "{args:?}: {text}");
    }
}

#[test]
fn no_output_obeys_a_name() {
    for name in HOSTILE {
        let (directory, files) = recordings(name);
        let [one, other] = &*files else {
            unreachable!("there are two recordings")
        };
        for args in [
            &["report", one, other][..],
            &["report", one, one],
            &["report", one, "--json"],
            &["diff", one, other],
            &["diff", one, other, "--json"],
            &["report", one, "--fail-if", "count>0"],
            &["report", one, "--html", one],
            &["report", "/nowhere/x", one],
            &["report", one, name],
            &[one],
            &["--comm", "[", one],
            &["--min", one],
            &["--container", one],
            &["--format", one],
        ] {
            check(args, &zombie_trace(&directory, "C.UTF-8", args));
        }
    }
}

#[test]
fn only_our_own_command_reaches_github() {
    for name in HOSTILE {
        let (directory, files) = recordings(name);
        let args = [
            "report",
            &files[0],
            "--fail-if",
            "count>0",
            "--format",
            "github",
        ];
        let output = zombie_trace(&directory, "C.UTF-8", &args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        let commands = stderr
            .lines()
            .filter(|line| line.trim_start().starts_with("::") || line.contains("##["));
        let commands: Vec<_> = commands.collect();
        assert_eq!(commands.len(), 1, "{stderr}");
        assert!(commands[0].starts_with("::error title=zombie-trace --fail-if::FAIL count = "));
    }
}

#[test]
fn text_is_ascii_in_other_locales() {
    let (directory, files) = recordings("naïve 日本");
    let [one, other] = &*files else {
        unreachable!("there are two recordings")
    };
    for args in [&["report", one][..], &["diff", one, other]] {
        let utf8 = text(&zombie_trace(&directory, "C.UTF-8", args));
        assert!(utf8.contains("naïve"), "{utf8}");
        for locale in ["C", "POSIX", "de_DE.ISO-8859-1"] {
            let ascii = text(&zombie_trace(&directory, locale, args));
            assert!(ascii.is_ascii(), "{ascii}");
            assert!(ascii.contains(r"na\u{ef}ve"), "{ascii}");
        }
    }
    for (name, run) in [("calm", support::calm()), ("empty", support::empty())] {
        let mut out = Vec::new();
        run.play(&mut Json::new(&mut out, true));
        fs::write(directory.path().join(name), out).unwrap();
        let utf8 = text(&zombie_trace(&directory, "C.UTF-8", &["report", name]));
        let ascii = text(&zombie_trace(&directory, "C", &["report", name]));
        assert!(ascii.is_ascii(), "{ascii}");
        assert_eq!(utf8.contains("µs"), ascii.contains(" us"), "{ascii}");
        assert_eq!(utf8.lines().count(), ascii.lines().count());
    }
    let report = text(&zombie_trace(&directory, "C", &["report", one]));
    assert!(
        report.contains("#\n") && report.contains("| 1 autoreaped"),
        "{report}"
    );
    // Data stay as they are.
    let json = |locale| zombie_trace(&directory, locale, &["report", one, "--json"]).stdout;
    assert_eq!(json("C"), json("C.UTF-8"));
}

//! The picture in the README: a real run on a terminal, as `cargo xtask picture` writes it.

use std::{env, fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command};

use zombie_trace_e2e::picture;

use crate::{
    Outcome, Test, context, ensure,
    pty::{self, Pty},
};

const ROWS: u16 = 40;
const COLUMNS: u16 = 112;
const PYTHON: &str = "/usr/bin/python3";
const SUPERVISOR: &str = include_str!("../cookbook/supervisor.py");
const ARGS: [&str; 4] = ["-d", "7s", "--", "./supervisor.py"];

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("picture::terminal", terminal)
            .unless(context::no_program(PYTHON))
            .in_pid_namespace(),
    ]
}

/// A supervisor that reaps one child a second is traced: the whole run fits on the screen.
fn terminal() -> Outcome {
    let directory = context::fresh_path("picture");
    let failed = |error: std::io::Error| error.to_string();
    fs::create_dir_all(&directory).map_err(failed)?;
    let program = directory.join("supervisor.py");
    fs::write(&program, SUPERVISOR).map_err(failed)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).map_err(failed)?;
    let pty = Pty::open(ROWS, COLUMNS)?;
    let mut tracer = Command::new(context::zombie_trace());
    // The run in the picture takes as long as it says; another one takes until there is what it shows.
    let shown = env::var_os("ZOMBIE_TRACE_PICTURE").map(PathBuf::from);
    let args = match shown {
        Some(_) => &ARGS[..],
        None => &ARGS[2..],
    };
    tracer
        .args(args)
        .current_dir(&directory)
        .env("TERM", "xterm-256color")
        .env("LC_ALL", "C.UTF-8")
        .env_remove("NO_COLOR");
    let mut tracer = pty.start(tracer)?;
    if shown.is_none() {
        pty.wait(" living zombies")?;
        // SAFETY: no pointers; it is our child, and not waited for yet.
        unsafe { libc::kill(tracer.id().cast_signed(), libc::SIGTERM) };
    }
    let status = pty::end_of(&mut tracer)?;
    pty.wait("complete: nothing was lost")?;
    let [rows, columns] = [ROWS, COLUMNS].map(|size| size.try_into().expect("not 0"));
    let mut screen = vt100::Parser::new(rows, columns, 0);
    let prompt = format!("\x1b[2m$\x1b[0m sudo zombie-trace {}\r\n", ARGS.join(" "));
    screen.process(prompt.as_bytes());
    screen.process(pty.text().as_bytes());
    let text = screen.screen().contents();
    for part in [
        "$ sudo zombie-trace",
        "1 parent leaves zombies: python3 ./supervisor.py",
        "parents, by zombie time",
    ] {
        ensure!(
            text.contains(part),
            "status {status}, no {part:?} in:\n{text}"
        );
    }
    let svg = picture::svg(screen.screen(), "zombie-trace traces a supervisor");
    roxmltree::Document::parse(&svg).map_err(|error| format!("{error}:\n{svg}"))?;
    match shown {
        Some(path) => fs::write(path, svg).map_err(failed),
        None => Ok(()),
    }
}

//! `zombie-trace doctor`: what this machine allows, and what it costs.

mod args;

use std::io::{self, Write};

use serde::Serialize;

pub use args::DoctorArgs;

use crate::{
    args::BufferSize,
    exit_code::ExitCode,
    kernel::{
        BackendCheck, BtfCheck, Capabilities, Config, Confinement, DEFAULT_MAX_ZOMBIES,
        Examination, KernelScope,
    },
    sink,
    system::{Cgroups, proc::Proc},
    text::{self, BAD, GOOD, HEADING, encode, visible},
};

/// Everything that was found.
#[derive(Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    examination: &'a Examination,
    proc: &'a ProcCheck,
}

/// Whether /proc shows all processes, which `ps`, `inspect` and causes are read from.
#[derive(Clone, Debug, Serialize)]
pub struct ProcCheck {
    /// It does.
    pub complete: bool,
    /// Why not.
    pub problem: Option<String>,
}

impl ProcCheck {
    fn new() -> Self {
        let problem = match Proc::open() {
            Ok(proc) => proc.gap().map(ToString::to_string),
            Err(error) => Some(error.to_string()),
        };
        Self {
            complete: problem.is_none(),
            problem,
        }
    }
}

/// Examines this machine and reports; the status is an error if tracing can't work.
///
/// # Errors
/// Standard output can't be written.
pub fn run(args: &DoctorArgs) -> io::Result<ExitCode> {
    let examination = Examination::new(&Config {
        backend: None,
        btf: args.btf.clone(),
        scope: KernelScope::default(),
        max_zombies: DEFAULT_MAX_ZOMBIES,
        buffer: BufferSize::default().bytes(),
        debug: false,
    });
    let proc = ProcCheck::new();
    let mut out = anstream::stdout().lock();
    let written = if args.json {
        let report = Report {
            examination: &examination,
            proc: &proc,
        };
        sink::to_json(&mut out, &report).and_then(|()| writeln!(out))
    } else {
        let mut text = Vec::new();
        write_text(&mut text, &examination, &proc)?;
        out.write_all(encode(&String::from_utf8_lossy(&text)).as_bytes())
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
        _ => {}
    }
    Ok(match examination.would_use {
        Some(_) => ExitCode::Success,
        None => ExitCode::Error,
    })
}

/// For a person.
///
/// # Errors
/// Those of `out`.
pub fn write_text(
    out: &mut impl Write,
    examination: &Examination,
    proc: &ProcCheck,
) -> io::Result<()> {
    let held = held(examination.capabilities.as_ref(), &examination.confinement);
    line(out, "kernel", &about_kernel(examination))?;
    line(out, "BTF", &about_btf(&examination.btf))?;
    line(out, "capabilities", &held)?;
    let confinement = about_confinement(&examination.confinement);
    line(out, "confinement", &confinement)?;
    let lockdown = about_lockdown(examination.lockdown.as_deref());
    line(out, "lockdown", &lockdown)?;
    line(out, "tracefs", &about_tracefs(examination))?;
    line(out, "/proc", &about_proc(proc))?;
    let cgroups = about_cgroups(examination.cgroups.as_ref());
    line(out, "cgroups", &cgroups)?;
    writeln!(out, "{HEADING}backends{HEADING:#}")?;
    for backend in &examination.backends {
        line(out, &format!("  {}", backend.name), &about(backend))?;
    }
    match examination.would_use {
        Some(name) => line(out, "would use", name)?,
        None => line(out, "would use", &bad("none: tracing can't work here"))?,
    }
    line(out, "room", &about_room(examination))?;
    line(out, "pid_max", &about_pid_max(examination))
}

fn about_kernel(examination: &Examination) -> String {
    let verdict = match examination.kernel_is_new_enough {
        Some(true) => good("5.10 or later"),
        Some(false) if examination.would_use.is_some() => {
            good("older than 5.10 by its release, but it has what tracing needs")
        }
        Some(false) => bad("too old: needs 5.10 or later"),
        None => "of unknown version".to_owned(),
    };
    format!("{} ({verdict})", visible(&examination.kernel))
}

fn about_btf(btf: &BtfCheck) -> String {
    match (&btf.path, btf.bytes, &btf.problem) {
        (Some(path), Some(bytes), _) => format!(
            "{} ({:.1} MB, {})",
            text::path(path),
            bytes as f64 / 1e6,
            good("has every field")
        ),
        (.., problem) => bad(problem.as_deref().unwrap_or_default()),
    }
}

fn about_confinement(confinement: &Confinement) -> String {
    match confinement {
        Confinement {
            bpf_refused: Some(problem),
            ..
        } => bad(problem),
        Confinement {
            user_namespace: true,
            ..
        } => bad("a user namespace, such as a rootless container: run it as root outside of it"),
        Confinement {
            seccomp_filter: true,
            ..
        } => "a seccomp filter, which allows bpf(2)".to_owned(),
        _ => "none".to_owned(),
    }
}

fn about_lockdown(mode: Option<&str>) -> String {
    match mode {
        None => "not known (securityfs is not mounted or not readable)".to_owned(),
        Some("confidentiality") => bad("confidentiality: programs may not read kernel memory"),
        Some(mode) => visible(mode),
    }
}

fn about_tracefs(examination: &Examination) -> String {
    match &examination.tracefs {
        Some(path) if examination.tracefs_is_readable => text::path(path),
        Some(path) => format!(
            "{} (not readable: the tracepoint backend needs CAP_DAC_READ_SEARCH)",
            text::path(path)
        ),
        None => "not mounted (the tracepoint backend mounts it for itself, as root)".to_owned(),
    }
}

fn about_proc(proc: &ProcCheck) -> String {
    match &proc.problem {
        None => good("shows all processes"),
        Some(problem) => bad(problem),
    }
}

fn about_cgroups(cgroups: Option<&Cgroups>) -> String {
    match cgroups.map(|cgroups| (&cgroups.v2, cgroups.v1)) {
        None => "not known: /proc does not show what is mounted".to_owned(),
        Some((Some(path), false)) => {
            format!("{} (v2): containers by their paths", text::path(path))
        }
        Some((Some(path), true)) => format!(
            "{} (v2), and v1 beside it: a container that is in v1 alone shows by its host name only",
            text::path(path)
        ),
        Some((None, true)) => {
            "v1 alone: no paths, and containers by their host names only".to_owned()
        }
        Some((None, false)) => {
            "not mounted: no paths, and containers by their host names only".to_owned()
        }
    }
}

fn about_room(examination: &Examination) -> String {
    let mut text = format!(
        "{} dying processes and zombies, ring buffer of {} KiB",
        examination.max_zombies,
        examination.buffer_bytes / 1024
    );
    if let Some(bytes) = examination.map_bytes {
        text += &format!("; {} MiB of kernel memory in all", bytes.div_ceil(1 << 20));
    }
    text
}

fn about_pid_max(examination: &Examination) -> String {
    let max_zombies = examination.max_zombies;
    match examination.pid_max {
        None => "not known".to_owned(),
        Some(pid_max) if pid_max <= max_zombies => format!("{pid_max}: there is room for all"),
        Some(pid_max) => format!(
            "{pid_max}: more than {max_zombies} zombies at once need --max-zombies N, with some \
             {} bytes of kernel memory for each",
            examination.map_bytes.unwrap_or(0) / u64::from(max_zombies)
        ),
    }
}

fn held(capabilities: Option<&Capabilities>, confinement: &Confinement) -> String {
    match capabilities {
        None => bad("not known: /proc does not show them"),
        Some(_) if confinement.user_namespace => {
            bad("of no use: they count inside this user namespace only")
        }
        Some(Capabilities { missing, .. }) if !missing.is_empty() => {
            bad(&format!("missing {}", missing.join(" and ")))
        }
        Some(held) if held.missing_for_tracefs.is_empty() => good("all"),
        Some(held) => format!(
            "{}, except {} (tracepoint backend)",
            good("enough"),
            held.missing_for_tracefs.join(" and ")
        ),
    }
}

fn about(backend: &BackendCheck) -> String {
    match &backend.problem {
        Some(problem) => format!("{} {}", bad("no "), visible(problem)),
        None => {
            let tax = match backend.syscall_tax_ns {
                0 => "no system call is slower".to_owned(),
                tax => format!("every system call of the machine is some {tax} ns slower"),
            };
            format!(
                "{} exact to {} µs; {tax}",
                good("yes"),
                backend.error_ns / 1000
            )
        }
    }
}

fn line(out: &mut impl Write, name: &str, text: &str) -> io::Result<()> {
    writeln!(out, "{name:<14}{text}")
}

fn good(text: &str) -> String {
    format!("{GOOD}{}{GOOD:#}", visible(text))
}

fn bad(text: &str) -> String {
    format!("{BAD}{}{BAD:#}", visible(text))
}

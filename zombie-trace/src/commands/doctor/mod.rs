//! `zombie-trace doctor`: what this machine allows, and what it costs.

mod args;

use std::io::{self, Write};

use serde::Serialize;

pub use args::DoctorArgs;

use crate::{
    args::{BufferSize, DEFAULT_MAX_ZOMBIES},
    exit_code::ExitCode,
    kernel::{BackendCheck, Capabilities, Config, Confinement, Examination, Scope},
    sink,
    system::proc::Proc,
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
        scope: Scope::default(),
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
    let Examination {
        kernel,
        kernel_is_new_enough,
        btf,
        capabilities,
        confinement,
        lockdown,
        tracefs,
        tracefs_is_readable,
        cgroups,
        backends,
        would_use,
        pid_max,
        max_zombies,
        buffer_bytes,
        map_bytes,
    } = examination;

    let verdict = match kernel_is_new_enough {
        Some(true) => good("5.10 or later"),
        Some(false) => bad("too old: needs 5.10 or later"),
        None => "of unknown version".to_owned(),
    };
    line(out, "kernel", &format!("{} ({verdict})", visible(kernel)))?;

    let text = match (&btf.path, btf.bytes, &btf.problem) {
        (Some(path), Some(bytes), _) => format!(
            "{} ({:.1} MB, {})",
            text::path(path),
            bytes as f64 / 1e6,
            good("has every field")
        ),
        (.., problem) => bad(problem.as_deref().unwrap_or_default()),
    };
    line(out, "BTF", &text)?;

    line(
        out,
        "capabilities",
        &held(capabilities.as_ref(), confinement),
    )?;
    let text = match confinement {
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
    };
    line(out, "confinement", &text)?;

    let text = match lockdown.as_deref() {
        None => "not known (securityfs is not mounted or not readable)".to_owned(),
        Some("confidentiality") => bad("confidentiality: programs may not read kernel memory"),
        Some(mode) => visible(mode),
    };
    line(out, "lockdown", &text)?;

    let text = match tracefs {
        Some(path) if *tracefs_is_readable => text::path(path),
        Some(path) => format!(
            "{} (not readable: the tracepoint backend needs CAP_DAC_READ_SEARCH)",
            text::path(path)
        ),
        None => "not mounted (the tracepoint backend mounts it for itself, as root)".to_owned(),
    };
    line(out, "tracefs", &text)?;

    let text = match &proc.problem {
        None => good("shows all processes"),
        Some(problem) => bad(problem),
    };
    line(out, "/proc", &text)?;

    let mounted = cgroups.as_ref().map(|cgroups| (&cgroups.v2, cgroups.v1));
    let text = match mounted {
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
    };
    line(out, "cgroups", &text)?;

    writeln!(out, "{HEADING}backends{HEADING:#}")?;
    for backend in backends {
        line(out, &format!("  {}", backend.name), &about(backend))?;
    }
    match would_use {
        Some(name) => line(out, "would use", name)?,
        None => line(out, "would use", &bad("none: tracing can't work here"))?,
    }

    let mut text = format!(
        "{max_zombies} dying processes and zombies, ring buffer of {} KiB",
        buffer_bytes / 1024
    );
    if let Some(bytes) = map_bytes {
        text += &format!("; {} MiB of kernel memory in all", bytes.div_ceil(1 << 20));
    }
    line(out, "room", &text)?;
    let text = match pid_max {
        None => "not known".to_owned(),
        Some(pid_max) if pid_max <= max_zombies => format!("{pid_max}: there is room for all"),
        Some(pid_max) => format!(
            "{pid_max}: more than {max_zombies} zombies at once need --max-zombies N, with some \
             {} bytes of kernel memory for each",
            map_bytes.unwrap_or(0) / u64::from(*max_zombies)
        ),
    };
    line(out, "pid_max", &text)
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

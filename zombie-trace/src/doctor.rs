//! `zombie-trace doctor`: what this machine allows, and what it costs.

use std::io::{self, Write};

use crate::{
    cli::{BufferSize, DEFAULT_MAX_ZOMBIES, DoctorArgs},
    exit_code::ExitCode,
    kernel::{BackendCheck, Config, Examination, Scope},
    sink::{self, BAD, GOOD, HEADING, encode, visible},
};

/// Looks, tries and tells; an error if tracing can't work.
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
        min_zombie_ns: 0,
        debug: false,
    });
    let mut out = anstream::stdout().lock();
    let written = if args.json {
        sink::to_json(&mut out, &examination).and_then(|()| writeln!(out))
    } else {
        let mut text = Vec::new();
        write_text(&mut text, &examination)?;
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
pub fn write_text(out: &mut impl Write, examination: &Examination) -> io::Result<()> {
    let Examination {
        kernel,
        kernel_is_new_enough,
        btf,
        capabilities,
        lockdown,
        tracefs,
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
            sink::path(path),
            bytes as f64 / 1e6,
            good("has every field")
        ),
        (.., problem) => bad(problem.as_deref().unwrap_or_default()),
    };
    line(out, "BTF", &text)?;

    let text = if !capabilities.missing.is_empty() {
        bad(&format!("missing {}", capabilities.missing.join(" and ")))
    } else if capabilities.missing_for_tracefs.is_empty() {
        good("all")
    } else {
        format!(
            "{}, but for {} (tracepoint backend)",
            good("enough"),
            capabilities.missing_for_tracefs.join(" and ")
        )
    };
    line(out, "capabilities", &text)?;

    let text = match lockdown.as_deref() {
        None => "not known (securityfs is not mounted or not readable)".to_owned(),
        Some("confidentiality") => bad("confidentiality: programs may not read kernel memory"),
        Some(mode) => visible(mode),
    };
    line(out, "lockdown", &text)?;

    let text = match tracefs {
        Some(path) => sink::path(path),
        None => "not mounted (the tracepoint backend mounts it for itself, as root)".to_owned(),
    };
    line(out, "tracefs", &text)?;

    let text = match (&cgroups.v2, cgroups.v1) {
        (Some(path), false) => format!("{} (v2): containers by their paths", sink::path(path)),
        (Some(path), true) => format!(
            "{} (v2), and v1 beside it: a container that is in v1 alone shows by its host name only",
            sink::path(path)
        ),
        (None, true) => "v1 alone: no paths, and containers by their host names only".to_owned(),
        (None, false) => {
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

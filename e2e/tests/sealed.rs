//! Nobody can change what the programs in the kernel work with, and reading what they know does not
//! make them miss anything.

use std::{
    fs, io,
    os::unix::{fs::chown, process::CommandExt as _},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Outcome, Test, context, ensure, kernel_objects,
    privilege::{self, only},
    tracer::{Run, Tracer},
};

pub(crate) const STRACE: &str = "/usr/bin/strace";
const SETCAP: &str = "/usr/sbin/setcap";
const NOBODY: u32 = 65534;

pub(crate) fn tests() -> Vec<Test> {
    let no_getfd = (!context::kernel_is_at_least(5, 6)).then(|| "no pidfd_getfd".to_owned());
    vec![
        Test::new("sealed::no-map-system-calls", no_map_system_calls)
            .unless(context::no_program(STRACE)),
        Test::new("sealed::maps-are-frozen", maps_are_frozen),
        Test::new("sealed::descriptors-cannot-be-taken", cannot_be_taken)
            .unless(context::no_program(SETCAP))
            .unless(no_getfd.clone()),
        Test::new(
            "sealed::descriptors-cannot-be-taken-by-equals",
            cannot_be_taken_by_equals,
        )
        .unless(no_getfd),
    ]
}

/// While a process works on a map by system call, some kernels skip the programs of its CPU. Diagnoses,
/// the living zombies and the descendants are read without.
fn no_map_system_calls() -> Outcome {
    const MAP_CALLS: [&str; 4] = ["LOOKUP", "UPDATE_ELEM", "DELETE_ELEM", "GET_NEXT_KEY"];
    let calls = context::fresh_path("strace");
    let path = calls.to_str().expect("UTF-8");
    let demo = [
        context::zombie_trace().to_str().expect("UTF-8"),
        "demo",
        "coalesced",
    ];
    // The demonstration ends with its standard input.
    let (stdin, go_on) = io::pipe().map_err(|error| error.to_string())?;
    let mut running = Tracer::json(["--alive-after", "100ms"])
        .command(demo)
        .wrapped([
            STRACE,
            "-f",
            "-qq",
            "-e",
            "trace=bpf,exit_group",
            "-o",
            path,
        ])
        .with(|command| {
            command.stdin(stdin);
        })
        .spawn()?;
    running.wait_line("a handler that was asked for", |line| {
        line["type"] == "alive"
            && line["cause_text"]
                .as_str()
                .is_some_and(|text| text.contains("handler"))
    })?;
    drop(go_on);
    let run = running.finish()?;
    run.expect_code(0)?;
    let text = fs::read_to_string(&calls).map_err(|error| format!("{path}: {error}"))?;
    let lines: Vec<&str> = text.lines().collect();
    let attached = lines
        .iter()
        .rposition(|line| line.contains("BPF_RAW_TRACEPOINT_OPEN"))
        .ok_or("nothing is attached")?;
    // The demonstration and its children end before the run does.
    let ended = lines
        .iter()
        .rposition(|line| line.contains("BPF_ITER_CREATE"))
        .ok_or("nothing is listed")?;
    ensure!(ended > attached, "nothing is listed while it is attached");
    let made: Vec<_> = lines[attached..ended]
        .iter()
        .filter(|line| MAP_CALLS.iter().any(|call| line.contains(call)))
        .collect();
    ensure!(made.is_empty(), "{} calls: {:?}", made.len(), made.first());
    Ok(())
}

/// No system call can write to a map that a descriptor is left of, but for the ring buffer.
fn maps_are_frozen() -> Outcome {
    /// `BPF_MAP_TYPE_RINGBUF` (include/uapi/linux/bpf.h).
    const RING_BUFFER: &str = "map_type:\t27";
    let tracer = Tracer::json([""; 0]).start()?;
    let maps: Vec<String> = kernel_objects::descriptors(tracer.pid())
        .filter(|info| info.contains("map_id:"))
        .collect();
    tracer.stop()?.expect_code(0)?;
    ensure!(maps.len() == 3, "{} maps are open: {maps:#?}", maps.len());
    for info in &maps {
        ensure!(
            info.contains("frozen:\t1") || info.contains(RING_BUFFER),
            "it can be written to: {info}"
        );
    }
    Ok(())
}

/// The user of a tracer with file capabilities gets none of its descriptors.
fn cannot_be_taken() -> Outcome {
    let directory = context::fresh_path("file-capabilities");
    let program = directory.join("zombie-trace");
    fs::create_dir(&directory)
        .and_then(|()| fs::copy(context::zombie_trace(), &program))
        .and_then(|_| chown(&directory, Some(NOBODY), Some(NOBODY)))
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut capabilities = "cap_bpf,cap_perfmon,cap_dac_read_search".to_owned();
    if !context::kernel_is_at_least(5, 11) {
        capabilities += ",cap_sys_resource";
    }
    let status = Command::new(SETCAP)
        .arg(format!("{capabilities}=ep"))
        .arg(&program)
        .status();
    ensure!(status.is_ok_and(|status| status.success()), "setcap");

    // What has nothing to hide loses its descriptors, or the test would show nothing.
    let mut victim = Command::new(context::scenario())
        .arg("puppet")
        .uid(NOBODY)
        .gid(NOBODY)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("puppet: {error}"))?;
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut taken = String::new();
    // Not before it has called exec.
    while !taken.contains("taken: 0 ") && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
        taken = thief(victim.id()).map_err(|error| format!("thief: {error}"))?;
    }
    drop(victim.stdin.take());
    let _ = victim.wait();
    ensure!(taken.contains("taken: 0 "), "no thief: {taken}");

    let mut command = Command::new(&program);
    command.args(["--json", "-a", "-o"]);
    command
        .arg(directory.join("out.jsonl"))
        .stdin(Stdio::null());
    let tracer = Tracer::of(command)
        .with(|command| only(command, 0))
        .start()?;
    let taken = thief(tracer.pid()).map_err(|error| format!("thief: {error}"))?;
    let run: Run = tracer.stop()?;
    run.expect_code(0)?;
    ensure!(taken.trim() == "done", "of the tracer: {taken}");
    summary_in(&directory.join("out.jsonl"))
}

/// Nor does a process with the very same capabilities, which no other check of the kernel stops.
fn cannot_be_taken_by_equals() -> Outcome {
    let mut set = 1 << privilege::BPF | 1 << privilege::PERFMON | 1 << privilege::DAC_READ_SEARCH;
    if !context::kernel_is_at_least(5, 11) {
        set |= 1 << privilege::SYS_RESOURCE;
    }
    let tracer = Tracer::new(["--summary"])
        .with(|command| only(command, set))
        .start()?;
    let mut thief = Command::new(context::scenario());
    thief.args(["steal", &tracer.pid().to_string()]);
    only(&mut thief, set);
    let taken = context::succeeds(&mut thief)?;
    tracer.stop()?.expect_code(0)?;
    let taken = String::from_utf8_lossy(&taken.stdout);
    ensure!(taken.trim() == "done", "{taken}");
    Ok(())
}

fn thief(pid: u32) -> io::Result<String> {
    let output = Command::new(context::scenario())
        .args(["steal", &pid.to_string()])
        .uid(NOBODY)
        .gid(NOBODY)
        .stderr(Stdio::inherit())
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn summary_in(path: &Path) -> Outcome {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    ensure!(text.contains(r#""type":"summary""#), "no summary");
    Ok(())
}

//! Booting a kernel and listening to its console.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::kernels::Kernel;

/// How much CPU time a run may take. A busy host slows a run down, but does not make it work more.
const LIMIT: Duration = Duration::from_secs(1200);

/// How much CPU time may pass without a line on the console.
const SILENCE: Duration = Duration::from_secs(240);

/// How long an emulator may be silent if it takes no CPU time either.
const STANDSTILL: Duration = Duration::from_secs(1800);

/// How often the CPU time is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How many lines of the console an error shows.
const TAIL: usize = 30;

/// What makes one run of a machine like the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// An instruction takes 2^shift ns.
    pub(super) shift: u8,
    /// What the machine's random numbers start from.
    pub(super) seed: u32,
}

impl Clock {
    /// The guest's clocks count instructions and skip idle time, so the host's load takes none of the
    /// guest's time. With the host's clock, 5.10 panicked on a busy host ("IO-APIC + timer doesn't
    /// work!"), and 7.3 found its TSC unstable.
    fn arguments(self) -> [String; 6] {
        [
            "-icount".into(),
            format!("shift={},sleep=off,align=off", self.shift),
            "-rtc".into(),
            "base=2026-01-01T00:00:00,clock=vm".into(),
            "-seed".into(),
            self.seed.to_string(),
        ]
    }
}

/// Boots the kernel and returns all that it prints until it powers off, and the CPU time that this took.
pub(super) fn run(
    kernel: &Kernel,
    image: &Path,
    initramfs: &Path,
    clock: Clock,
    arguments: &str,
) -> Result<(Vec<String>, Duration)> {
    let arch = kernel.arch;
    let mut child = Command::new(arch.emulator.0)
        .args(arch.machine)
        .args(kernel.flavour.processor)
        .args(["-accel", "tcg", "-m", "2048", "-nographic", "-no-reboot"])
        // With two emulated cores 7.3 panicked while it patched its own code.
        .args(["-smp", "1", "-nic", "none"])
        .args(clock.arguments())
        .arg("-kernel")
        .arg(image)
        .arg("-initrd")
        .arg(initramfs)
        .arg("-append")
        .arg(format!(
            "console={} quiet loglevel=1 panic=-1 {arguments}",
            arch.console
        ))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("cannot run {}", arch.emulator.0))?;
    let outcome = listen(&mut child);
    let _ = child.kill();
    let used = cpu_time(child.id());
    let _ = child.wait();
    Ok((outcome?, used?))
}

fn listen(child: &mut Child) -> Result<Vec<String>> {
    let console = child.stdout.take().context("qemu has no standard output")?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        // A serial line can carry bytes that are not UTF-8.
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut lines = Vec::new();
    // The CPU time at the last line, and when that was.
    let (mut heard, mut heard_at) = (Duration::ZERO, Instant::now());
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(line) => {
                let panicked = line.contains("Kernel panic");
                lines.push(line);
                if panicked {
                    // The rest of it.
                    while let Ok(line) = receiver.recv_timeout(Duration::from_secs(5)) {
                        lines.push(line);
                    }
                    bail!("the kernel panicked:\n{}", tail(&lines));
                }
                (heard, heard_at) = (cpu_time(child.id())?, Instant::now());
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(lines),
            Err(RecvTimeoutError::Timeout) => {
                let used = cpu_time(child.id())?;
                if used.saturating_sub(heard) > SILENCE {
                    bail!(
                        "silent for {} s of CPU time, killed:\n{}",
                        SILENCE.as_secs(),
                        tail(&lines)
                    );
                }
                if heard_at.elapsed() > STANDSTILL {
                    bail!(
                        "silent for {} s, killed:\n{}",
                        STANDSTILL.as_secs(),
                        tail(&lines)
                    );
                }
            }
        }
        if heard > LIMIT {
            bail!(
                "still running after {} s of CPU time, killed:\n{}",
                LIMIT.as_secs(),
                tail(&lines)
            );
        }
    }
}

/// The CPU time of a child that is not yet reaped, all its threads together.
fn cpu_time(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| path.clone())?;
    ticks(&stat)
        .map(|ticks| Duration::from_secs(ticks) / TICKS_PER_SECOND)
        .with_context(|| format!("{path} has no CPU time: {stat}"))
}

/// The unit of times in /proc (`USER_HZ`), the same on every kernel of the machines that we run on.
const TICKS_PER_SECOND: u32 = 100;

/// utime and stime, the 14th and the 15th field; the second one is a name that can hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

/// The end of what a console has shown.
pub(super) fn tail(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_utime_and_stime() {
        let stat = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 120 3 0 0 20 0 1 0 99";
        assert_eq!(ticks(stat), Some(123));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn cpu_time_grows_with_work() {
        let ours = || cpu_time(std::process::id()).unwrap();
        let before = ours();
        let start = Instant::now();
        while ours() == before {
            assert!(start.elapsed() < Duration::from_secs(60), "no CPU time");
        }
    }
}

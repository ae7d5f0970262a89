//! Booting a kernel and listening to its console.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// No run takes as long, even where two share the machine with something else.
const LIMIT: Duration = Duration::from_secs(900);

/// Nor is any test silent for as long.
const SILENCE: Duration = Duration::from_secs(180);

/// How many lines of the console are shown of a run that went wrong.
const TAIL: usize = 30;

/// Boots the kernel and gives all that it prints until it powers off.
pub(super) fn run(image: &Path, initramfs: &Path, arguments: &str) -> Result<Vec<String>> {
    let mut child = Command::new("qemu-system-x86_64")
        .args(["-accel", "tcg", "-m", "2048", "-nographic", "-no-reboot"])
        // With two emulated cores 7.3 panicked while it patched its own code.
        .args(["-smp", "1", "-nic", "none"])
        .arg("-kernel")
        .arg(image)
        .arg("-initrd")
        .arg(initramfs)
        .arg("-append")
        .arg(format!(
            "console=ttyS0 quiet loglevel=1 panic=-1 {arguments}"
        ))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .context("cannot run qemu-system-x86_64")?;
    let outcome = listen(&mut child);
    let _ = child.kill();
    let _ = child.wait();
    outcome
}

fn listen(child: &mut Child) -> Result<Vec<String>> {
    let console = child.stdout.take().context("qemu has no standard output")?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        // Not all that comes over a serial line need be UTF-8.
        for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let start = Instant::now();
    let mut lines = Vec::new();
    loop {
        match receiver.recv_timeout(SILENCE) {
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
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(lines),
            Err(RecvTimeoutError::Timeout) => {
                bail!("silent for {SILENCE:?}, killed:\n{}", tail(&lines));
            }
        }
        if start.elapsed() > LIMIT {
            bail!("still runs after {LIMIT:?}, killed:\n{}", tail(&lines));
        }
    }
}

/// The end of what a console has shown.
pub(super) fn tail(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

//! Compressed records: whole at the end of a run, however it ends, and readable wherever they are
//! cut.

use std::{io::Read as _, thread, time::Duration};

use crate::{
    Outcome, Test, check, context, ensure,
    fault::Storm,
    report::Report,
    tracer::{Run, Tracer},
};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new("record::command", command),
        Test::new("record::sigint", || stopped(libc::SIGINT)).in_pid_namespace(),
        Test::new("record::sigterm", || stopped(libc::SIGTERM)).in_pid_namespace(),
        Test::new("record::killed", killed).in_pid_namespace(),
        Test::new("record::text", text),
    ]
}

fn recorder() -> Tracer {
    Tracer::new(["--json", "-a", "-i", "100ms"]).into_file("out.jsonl.zst")
}

/// A storm within the tracer's command, so that nobody else's processes are in the record.
fn storm(tracer: Tracer, seconds: &str) -> Tracer {
    tracer
        .command([context::load()])
        .args(["serial", "--spawn", "vfork", "--seconds", seconds])
}

fn whole(run: &Run) -> Result<String, String> {
    let text = zstd::decode_all(&run.output[..]).or_else(|error| run.fail(error))?;
    String::from_utf8(text).map_err(|error| error.to_string())
}

fn command() -> Outcome {
    let run = storm(recorder(), "1").run()?;
    run.expect_code(0)?;
    let text = whole(&run)?;
    let report = Report::parse(text.as_bytes()).or_else(|error| run.fail(error))?;
    let problems = check::books(&report);
    ensure!(problems.is_empty(), "{problems:?}");
    ensure!(
        run.output.len() < text.len() / 8,
        "{} bytes of {}",
        run.output.len(),
        text.len()
    );
    Ok(())
}

fn stopped(signal: libc::c_int) -> Outcome {
    let mut tracer = recorder().start()?;
    thread::sleep(Duration::from_millis(200));
    tracer.signal(signal);
    let run = tracer.finish()?;
    run.expect_code(0)?;
    Report::parse(whole(&run)?.as_bytes()).or_else(|error| run.fail(error))?;
    Ok(())
}

/// What had been written when it was killed is there, up to the last line.
fn killed() -> Outcome {
    let _storm = Storm::start()?;
    let mut tracer = recorder().start()?;
    // More than that is in the file by then: written is what can be read.
    tracer.wait_output("5 intervals and 200 lines", |bytes| {
        let (text, _) = readable(bytes);
        text.matches("\"type\":\"interval\"").count() >= 5 && text.lines().count() >= 200
    })?;
    tracer.signal(libc::SIGKILL);
    let run = tracer.finish()?;
    let (text, whole) = readable(&run.output);
    if whole {
        return run.fail("it is whole");
    }
    // The last one is empty, or was cut.
    let mut lines: Vec<_> = text.split('\n').collect();
    lines.pop();
    for line in &lines {
        serde_json::from_str::<serde_json::Value>(line)
            .map_err(|error| format!("{error}: {line}"))?;
    }
    Ok(())
}

/// As far as it can be decompressed, and whether that is all of it.
fn readable(compressed: &[u8]) -> (String, bool) {
    let mut text = Vec::new();
    let whole = zstd::Decoder::new(compressed)
        .and_then(|mut decoder| decoder.read_to_end(&mut text))
        .is_ok();
    (String::from_utf8_lossy(&text).into_owned(), whole)
}

fn text() -> Outcome {
    let run = storm(Tracer::new(["-s"]).into_file("out.txt.zst"), "1").run()?;
    run.expect_code(0)?;
    let text = whole(&run)?;
    ensure!(
        text.contains(" exits in ") && text.ends_with("lost\n"),
        "{text}"
    );
    Ok(())
}

use std::{cell::RefCell, os::unix::process::ExitStatusExt as _, rc::Rc};

use super::*;
use crate::{
    filter::Filter,
    run::{
        fakes::{BEGIN, FakeHost, FakeKernel, FakeSink, MS, SinkLine, ended, reaped, zombie},
        warning::WarningKind,
    },
};

/// What is asked of a run, one after the other.
struct Script(Vec<Request>);

impl RunControl for Script {
    async fn next(&mut self) -> io::Result<Request> {
        match self.0.is_empty() {
            true => pending().await,
            false => Ok(self.0.remove(0)),
        }
    }

    fn time_is_up(&mut self) -> bool {
        true
    }
}

struct Fixture {
    host: FakeHost,
    kernel: FakeKernel,
    sink: FakeSink,
    warnings: Rc<RefCell<Vec<WarningKind>>>,
    session: Session<FakeKernel, FakeKernel>,
}

impl Fixture {
    fn new(kernel: FakeKernel) -> Self {
        let (host, sink) = (FakeHost::new(), FakeSink::default());
        let pipeline = Pipeline::new(
            1_000,
            20 * MS,
            Filter::default(),
            Box::new(sink.clone()),
            Box::new(host.clone()),
        );
        host.0.now.set(BEGIN + 100 * MS);
        let warnings = Rc::<RefCell<Vec<_>>>::default();
        let warned = Rc::clone(&warnings);
        let warn: Warn = Box::new(move |warning| warned.borrow_mut().push(warning.kind()));
        let session = Session::of(pipeline, kernel.clone(), kernel.clone(), None, warn).unwrap();
        Self {
            host,
            kernel,
            sink,
            warnings,
            session,
        }
    }

    /// Reaps processes: the kernel counts them, and their records come.
    fn reap(&self, pids: std::ops::Range<u32>) {
        let mut tables = self.kernel.0.borrow_mut();
        for pid in pids {
            tables.counters.exits += 1;
            tables.counters.reaped += 1;
            tables.ring.push_back(KernelEvent::Record(reaped(pid)));
        }
    }

    async fn finish(&mut self) -> Ending {
        match self.session.finish(|| false).await {
            Ok(ending) => ending,
            Err(_) => panic!("nothing can go wrong"),
        }
    }
}

fn kernel_with(zombies: std::ops::Range<u32>) -> FakeKernel {
    let kernel = FakeKernel::default();
    {
        let mut tables = kernel.0.borrow_mut();
        tables.counters.exits = zombies.len() as u64;
        tables.existing = zombies.map(zombie).collect();
    }
    kernel
}

#[tokio::test]
async fn what_the_ring_buffer_still_holds_is_part_of_the_run() {
    let mut run = Fixture::new(kernel_with(1..3));
    run.reap(10..10_010);
    let ending = run.finish().await;
    assert!(ending.complete);
    let counts = ending.summary.counts;
    assert_eq!(
        (counts.exits, counts.reaped, counts.alive),
        (10_002, 10_000, 2)
    );
    let zombies = run.sink.take();
    let zombies = zombies
        .iter()
        .filter(|line| matches!(line, SinkLine::Zombie(_)));
    assert_eq!(zombies.count(), 10_000);
    assert_eq!(run.kernel.0.borrow().calls, ["adopt", "close", "freeze"]);
    assert!(run.warnings.borrow().is_empty());
}

#[test]
fn what_waits_in_the_ring_buffer_has_not_been_seen() {
    let mut run = Fixture::new(FakeKernel::default());
    run.reap(1..4);
    run.host.0.now.set(BEGIN + 200 * MS);
    assert!(run.session.drain(2).is_ok());
    assert_eq!(run.session.seen_until, BEGIN + 100 * MS);
    assert!(run.session.drain(2).is_ok());
    assert_eq!(run.session.seen_until, BEGIN + 200 * MS);
}

#[tokio::test]
async fn programs_that_were_under_way_are_waited_for() {
    let kernel = FakeKernel::default();
    {
        let mut tables = kernel.0.borrow_mut();
        tables.counters.exits = 1;
        tables.counters.reaped = 1;
        // It comes when the table is frozen.
        tables.late.push_back(KernelEvent::Record(reaped(42)));
    }
    let mut run = Fixture::new(kernel);
    let ending = run.finish().await;
    assert!(ending.complete && run.warnings.borrow().is_empty());
    assert_eq!(ending.summary.listed, 1);
}

#[tokio::test]
async fn once_it_is_urgent_nothing_is_waited_for() {
    let kernel = FakeKernel::default();
    {
        let mut tables = kernel.0.borrow_mut();
        // Its record never comes, and the other process is nowhere.
        tables.counters.exits = 2;
        tables.counters.reaped = 1;
    }
    let mut run = Fixture::new(kernel);
    let asked = std::cell::Cell::new(0);
    let is_urgent = || {
        asked.set(asked.get() + 1);
        true
    };
    let Ok(ending) = run.session.finish(is_urgent).await else {
        panic!("nothing can go wrong");
    };
    // Without it, the end waits for as long as it may: some hundred times.
    assert!(asked.get() <= 2, "{}", asked.get());
    assert!(!ending.complete);
    let lost = ending.summary.counts.lost;
    assert_eq!((lost.ring_full, lost.missed), (1, 1));
    let warnings = run.warnings.borrow();
    assert_eq!(warnings[..], [WarningKind::Undelivered, WarningKind::Loss]);
}

/// The kernel has skipped the program that sees exits, before and after the last look during the run.
#[tokio::test]
async fn exits_that_a_skipped_program_missed_are_lost() {
    let mut run = Fixture::new(FakeKernel::default());
    run.reap(1..4);
    run.kernel.0.borrow_mut().missed = 2;
    assert!(run.session.report_loss().is_ok());
    assert_eq!(run.warnings.borrow()[..], [WarningKind::Loss]);
    run.kernel.0.borrow_mut().missed = 5;
    let ending = run.finish().await;
    assert!(!ending.complete);
    let counts = ending.summary.counts;
    assert_eq!((counts.exits, counts.reaped, counts.lost.missed), (8, 3, 5));
    let lines = run.sink.take();
    let losses = lines
        .iter()
        .filter(|line| matches!(line, SinkLine::Loss(_)));
    assert_eq!(losses.count(), 2);
}

#[tokio::test]
async fn a_process_that_no_hook_saw_the_end_of_is_bounded() {
    let kernel = FakeKernel::default();
    {
        let mut tables = kernel.0.borrow_mut();
        tables.counters.exits = 1;
        tables.released = vec![ended(42)];
    }
    let mut run = Fixture::new(kernel);
    let Ok(ending) = run.session.finish(|| true).await else {
        panic!("nothing can go wrong");
    };
    assert_eq!(
        (ending.summary.counts.reaped, ending.summary.inexact),
        (1, 1)
    );
    assert!(ending.complete);
}

#[tokio::test]
async fn command_has_its_time_after_a_stop() {
    let mut run = Fixture::new(FakeKernel::default());
    let status = ExitStatus::from_raw(5 << 8);
    let mut control = Script(vec![Request::Hurry, Request::End(Some(status))]);
    assert_eq!(run.session.end(), None);
    let Ok(ended) = run.session.follow(&mut control, None).await else {
        panic!("nothing can go wrong");
    };
    assert_eq!(ended, Some(status));
    // The limit for the end counts from the stop on.
    assert!(run.session.end().is_some());
}

#[tokio::test]
async fn a_run_ends_when_its_time_is_up() {
    let mut run = Fixture::new(FakeKernel::default());
    let mut control = Script(Vec::new());
    let now = Instant::now();
    let Ok(ended) = run.session.follow(&mut control, Some(now)).await else {
        panic!("nothing can go wrong");
    };
    assert_eq!(ended, None);
    assert!(run.session.end().is_some());
}

/// Ends a run once a condition holds.
struct Once<F>(F);

impl<F: Fn() -> bool> RunControl for Once<F> {
    async fn next(&mut self) -> io::Result<Request> {
        while !(self.0)() {
            time::sleep(Duration::from_millis(1)).await;
        }
        Ok(Request::End(None))
    }

    fn time_is_up(&mut self) -> bool {
        true
    }
}

#[tokio::test]
async fn while_it_goes_on_zombies_losses_and_progress_are_reported() {
    let kernel = kernel_with(1..2);
    {
        let counters = &mut kernel.0.borrow_mut().counters;
        counters.exits += 1;
        counters.map_full = 1;
    }
    let run = Fixture::new(kernel);
    run.reap(10..12);
    let seen = Rc::<RefCell<Vec<SoFar>>>::default();
    let observer = {
        let seen = Rc::clone(&seen);
        Box::new(move |so_far: &SoFar| seen.borrow_mut().push(*so_far))
    };
    let mut session = run.session.looking_after(Duration::from_millis(20));
    session = session.observed_by(observer);
    let (sink, warnings) = (run.sink.clone(), Rc::clone(&run.warnings));
    let enough = || {
        let written = sink.lock();
        let has = |is: fn(&SinkLine) -> bool| written.lines.iter().any(is);
        has(|line| matches!(line, SinkLine::Zombie(_)))
            && has(|line| matches!(line, SinkLine::Alive(_)))
            && has(|line| matches!(line, SinkLine::Loss(_)))
            && !seen.borrow().is_empty()
            && !warnings.borrow().is_empty()
    };
    let Ok(ended) = session.follow(&mut Once(enough), None).await else {
        panic!("nothing can go wrong");
    };
    assert_eq!(ended, None);
    let so_far = seen.borrow()[0];
    assert_eq!((so_far.exits, so_far.living), (4, 1));
    assert_eq!(warnings.borrow()[0], WarningKind::Loss);
}

/// A sampler that has an answer, or hangs.
#[cfg(feature = "stacks")]
struct Answer(Option<crate::run::pipeline::StackSamples>);

#[cfg(feature = "stacks")]
impl StackSource for Answer {
    fn finish(
        &mut self,
        _: jiff::Timestamp,
        _: Deadline,
    ) -> io::Result<Option<crate::run::pipeline::StackSamples>> {
        Ok(self.0.take())
    }
}

#[cfg(feature = "stacks")]
async fn sampled(source: anyhow::Result<Box<dyn StackSource>>) -> (StackTotals, Vec<WarningKind>) {
    let mut run = Fixture::new(FakeKernel::default());
    let totals = StackTotals {
        hz: 19,
        after_ns: MS,
        ..StackTotals::default()
    };
    run.session = run.session.sampling(totals, source);
    run.reap(1..2);
    let Ok(ending) = run.session.finish(|| true).await else {
        panic!("nothing can go wrong");
    };
    let warnings = run.warnings.borrow().clone();
    (ending.summary.stacks.unwrap(), warnings)
}

#[cfg(feature = "stacks")]
#[tokio::test]
async fn samples_are_part_of_the_summary() {
    let totals = StackTotals {
        hz: 19,
        after_ns: MS,
        samples: 7,
        ..StackTotals::default()
    };
    let answer = crate::run::pipeline::StackSamples {
        totals,
        ..Default::default()
    };
    let (totals, warnings) = sampled(Ok(Box::new(Answer(Some(answer))))).await;
    assert_eq!((totals.hz, totals.samples), (19, 7));
    // The zombie lasted for longer than that.
    assert!(totals.due_ns > 0, "{totals:?}");
    assert!(warnings.is_empty(), "{warnings:?}");
}

#[cfg(feature = "stacks")]
#[tokio::test]
async fn a_sampler_that_hangs_delays_nothing() {
    let (totals, warnings) = sampled(Ok(Box::new(Answer(None)))).await;
    assert_eq!((totals.hz, totals.samples), (19, 0));
    assert_eq!(warnings, [WarningKind::NoStacks]);
}

#[cfg(feature = "stacks")]
#[tokio::test]
async fn without_stacks_a_run_goes_on() {
    let (totals, warnings) = sampled(Err(anyhow::anyhow!("too old"))).await;
    assert_eq!((totals.hz, totals.samples), (19, 0));
    assert_eq!(warnings, [WarningKind::NoStacks]);
}

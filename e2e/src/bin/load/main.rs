//! `load`: makes processes at full speed, for benchmarks and storms.
//!
//! Prints one JSON object, a [`LoadResult`], when all is done. All its processes are called `load`.

mod spawn;

use std::{
    io::{self, Read as _, Write as _},
    process,
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use zombie_trace_e2e::LoadResult;

use spawn::{Method, fork_into, wait_all, wait_for};

/// Makes processes at full speed
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    load: Load,
}

#[derive(Subcommand)]
enum Load {
    /// Children, each reaped before the next is made
    Serial {
        /// So long the parent is busy before it reaps each, as a slow reaper, in µs
        #[arg(long, default_value_t = 0)]
        delay_us: u64,
        #[command(flatten)]
        cycles: Cycles,
    },
    /// Groups of children that are zombies together, then reaped
    Burst {
        /// Children in a group
        #[arg(long, default_value_t = 100)]
        size: u64,
        #[command(flatten)]
        cycles: Cycles,
    },
    /// Chains of processes, each the father of the next and its reaper
    Tree {
        /// Processes in a chain
        #[arg(long, default_value_t = 50)]
        depth: u64,
        #[command(flatten)]
        cycles: Cycles,
    },
    /// Zombies, kept until standard input ends
    Held {
        /// How many
        #[arg(long, default_value_t = 1000)]
        count: u64,
    },
    /// Processes that do nothing but fork, all of them: only in a cgroup with a pids.max
    Bomb {
        /// When they stop
        #[arg(long, default_value_t = 1)]
        seconds: u64,
    },
    /// System calls that do nothing, no processes
    Syscalls {
        /// How many
        #[arg(long, default_value_t = 2_000_000)]
        count: u64,
    },
    /// Nothing: what the others start with exec
    #[command(hide = true)]
    Exit,
}

#[derive(clap::Args, Clone, Copy)]
struct Cycles {
    /// How a process is made
    #[arg(long, value_enum, default_value_t = Method::Fork)]
    spawn: Method,
    /// Processes that do this at the same time
    #[arg(long, default_value_t = 1)]
    workers: u64,
    /// Processes to make, of all workers together
    #[arg(long, default_value_t = 20_000)]
    count: u64,
    /// For so many seconds instead of a count
    #[arg(long)]
    seconds: Option<u64>,
    /// Until standard input ends, instead of a count
    #[arg(long)]
    until_eof: bool,
    /// No more processes a second than this, of all workers together
    #[arg(long)]
    rate: Option<u64>,
}

fn main() {
    let cli = Cli::parse();
    let begin = Instant::now();
    let processes = match cli.load {
        Load::Serial { delay_us, cycles } => cycles.run(1, |spawn, _| {
            let child = spawn.child();
            if delay_us > 0 {
                spawn::await_zombie(child);
                spawn::spin(Duration::from_micros(delay_us));
            }
            wait_for(child);
        }),
        Load::Burst { size, cycles } => cycles.run(size, |spawn, count| {
            for _ in 0..count {
                spawn.child();
            }
            wait_all(count);
        }),
        Load::Tree { depth, cycles } => cycles.run(depth, |_, count| wait_for(chain(count))),
        Load::Held { count } => held(count),
        Load::Bomb { seconds } => {
            spawn::bomb(begin + Duration::from_secs(seconds));
            0
        }
        Load::Syscalls { count } => {
            for _ in 0..count {
                // SAFETY: getppid takes nothing and cannot fail.
                unsafe { libc::syscall(libc::SYS_getppid) };
            }
            0
        }
        Load::Exit => process::exit(0),
    };
    LoadResult {
        processes,
        elapsed_ns: begin.elapsed().as_nanos() as u64,
    }
    .print();
}

impl Cycles {
    /// Runs `cycle`, which makes and reaps as many processes as it is told (at most `size`), until
    /// the count or the time is reached. Gives how many processes there were, workers included.
    fn run(self, size: u64, cycle: impl Fn(Method, u64)) -> u64 {
        let workers = self.workers.max(1);
        if workers == 1 {
            let rate = self.rate.map(|rate| rate as f64);
            return self.work(self.count, rate, size, &cycle);
        }
        let (mut reader, writer) = io::pipe().expect("a pipe");
        for number in 0..workers {
            let mut writer = &writer;
            fork_into(|| {
                // Spread over the time that one of their cycles may take.
                if let Some(rate) = self.rate {
                    let late = (number * size) as f64 / rate as f64;
                    std::thread::sleep(Duration::from_secs_f64(late));
                }
                let rate = self.rate.map(|rate| rate as f64 / workers as f64);
                let made = self.work(self.count / workers, rate, size, &cycle);
                // Less than PIPE_BUF: in one piece.
                writer
                    .write_all(&made.to_ne_bytes())
                    .expect("the parent reads");
            });
        }
        drop(writer);
        let mut made = 0;
        let mut bytes = [0; 8];
        for _ in 0..workers {
            reader.read_exact(&mut bytes).expect("a worker failed");
            made += u64::from_ne_bytes(bytes);
        }
        wait_all(workers);
        made + workers
    }

    fn work(self, count: u64, rate: Option<f64>, size: u64, cycle: impl Fn(Method, u64)) -> u64 {
        let begin = Instant::now();
        let limit = self.seconds.map(Duration::from_secs);
        let mut made = 0;
        loop {
            let left = match limit {
                None if self.until_eof && spawn::input_has_ended() => 0,
                None if self.until_eof => size,
                Some(limit) if begin.elapsed() >= limit => 0,
                Some(_) => size,
                None => count - made,
            };
            if left == 0 {
                return made;
            }
            cycle(self.spawn, size.min(left));
            made += size.min(left);
            if let Some(rate) = rate {
                let due = Duration::from_secs_f64(made as f64 / rate);
                let early = due.saturating_sub(begin.elapsed());
                // Shorter sleeps are not exact.
                if early > Duration::from_millis(1) {
                    std::thread::sleep(early);
                }
            }
        }
    }
}

/// A chain of processes; gives the pid of the first.
fn chain(depth: u64) -> libc::pid_t {
    fork_into(|| {
        if depth > 1 {
            wait_for(chain(depth - 1));
        }
    })
}

fn held(count: u64) -> u64 {
    for _ in 0..count {
        fork_into(|| {});
    }
    spawn::await_zombies(count);
    println!("held");
    io::stdout().flush().expect("somebody reads");
    io::stdin()
        .read_to_end(&mut Vec::new())
        .expect("readable standard input");
    wait_all(count);
    count
}

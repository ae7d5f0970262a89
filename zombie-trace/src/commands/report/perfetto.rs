use std::{
    collections::{BTreeSet, HashMap},
    io::{self, Write},
};

use serde_json::{Value, json};

use crate::model::{Alive, Comm, Zombie};

/// Above every pid (PID_MAX_LIMIT, include/linux/threads.h).
const FIRST_LANE: u64 = 10_000_000;
/// Stands for a parent that is not known: pid 0 would be the idle task.
const UNKNOWN_PARENT: u32 = 9_999_999;
/// With more than this, all are forgotten and new ones begun: a bound on memory.
const MOST_LANES: usize = 100_000;

/// Chrome's trace-event JSON, as Perfetto's UI reads it.
///
/// A process a parent, and below it as many tracks as it had children at a time: on them, for each
/// child, the slices of its run, its teardown and its time as a zombie. Times are in µs from the
/// begin of the run.
pub(super) struct Perfetto<W: Write> {
    out: W,
    parents: HashMap<u32, Parent>,
    lanes: usize,
    next_lane: u64,
    separator: &'static str,
}

#[derive(Default)]
struct Parent {
    /// When each lane is free again, and which.
    free: BTreeSet<(u64, u64)>,
}

/// What a lane is taken for.
struct Life<'a> {
    ppid: Option<u32>,
    parent_comm: Option<Comm>,
    slices: &'a [Slice],
}

/// From, to, ns.
struct Slice {
    name: String,
    /// Of the palette of chrome://tracing; Perfetto's UI gives each name a colour of its own.
    color: &'static str,
    begin: u64,
    end: u64,
    args: Value,
}

impl<W: Write> Perfetto<W> {
    pub(super) fn new(mut out: W) -> io::Result<Self> {
        out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[")?;
        Ok(Self {
            out,
            parents: HashMap::new(),
            lanes: 0,
            next_lane: FIRST_LANE,
            separator: "\n",
        })
    }

    /// A process that was reaped at `end`, ns from the begin of the run.
    pub(super) fn zombie(&mut self, zombie: &Zombie, end: u64) -> io::Result<()> {
        let begin = end.saturating_sub(zombie.zombie_ns);
        let exit = begin.saturating_sub(zombie.teardown_ns.unwrap_or(0));
        let start = exit.saturating_sub(zombie.run_ns.unwrap_or(0));
        let slices = [
            Slice {
                name: format!("{} {}", zombie.comm.to_str(), zombie.pid),
                color: "good",
                begin: start,
                end: exit,
                args: json!({
                    "pid": zombie.pid,
                    "comm": zombie.comm,
                    "uid": zombie.uid,
                    "exit_code": zombie.exit_code,
                    "signal": zombie.signal,
                    "run_ns": zombie.run_ns,
                    "cgroup": zombie.cgroup,
                }),
            },
            Slice {
                name: "teardown".to_owned(),
                color: "grey",
                begin: exit,
                end: begin,
                args: json!({ "pid": zombie.pid, "teardown_ns": zombie.teardown_ns }),
            },
            Slice {
                name: "zombie".to_owned(),
                color: "terrible",
                begin,
                end,
                args: json!({
                    "pid": zombie.pid,
                    "comm": zombie.comm,
                    "zombie_ns": zombie.zombie_ns,
                    "error_ns": zombie.error_ns,
                    "how": zombie.how,
                    "reaper_pid": zombie.reaper_pid,
                    "reaper_comm": zombie.reaper_comm,
                    "flags": zombie.flags,
                    "phases": zombie.phases,
                }),
            },
        ];
        self.life(&Life {
            ppid: zombie.ppid,
            parent_comm: zombie.parent_comm,
            slices: &slices,
        })
    }

    /// A zombie that exists still at `end`.
    pub(super) fn alive(&mut self, alive: &Alive, end: u64) -> io::Result<()> {
        let slices = [Slice {
            name: "zombie".to_owned(),
            color: "terrible",
            begin: end.saturating_sub(alive.age_ns),
            end,
            args: json!({
                "pid": alive.pid,
                "comm": alive.comm,
                "age_ns": alive.age_ns,
                "cause": alive.cause,
                "cause_text": alive.cause_text,
            }),
        }];
        self.life(&Life {
            ppid: alive.ppid,
            parent_comm: alive.parent_comm,
            slices: &slices,
        })
    }

    fn life(&mut self, life: &Life<'_>) -> io::Result<()> {
        let (Some(first), Some(last)) = (life.slices.first(), life.slices.last()) else {
            return Ok(());
        };
        let pid = life.ppid.unwrap_or(UNKNOWN_PARENT);
        let lane = self.lane(pid, life.parent_comm, first.begin, last.end)?;
        for slice in life.slices.iter().filter(|slice| slice.begin < slice.end) {
            let Slice {
                name, color, args, ..
            } = slice;
            let (begin, length) = (micros(slice.begin), micros(slice.end - slice.begin));
            let name = Value::from(name.as_str());
            self.event(format_args!(
                r#"{{"ph":"X","pid":{pid},"tid":{lane},"ts":{begin},"dur":{length},"name":{name},"cname":"{color}","args":{args}}}"#
            ))?;
        }
        Ok(())
    }

    /// A track of this parent that is free from `begin` on, and is taken until `end`.
    fn lane(&mut self, pid: u32, comm: Option<Comm>, begin: u64, end: u64) -> io::Result<u64> {
        if self.lanes > MOST_LANES {
            self.parents.clear();
            self.lanes = 0;
        }
        let is_new = !self.parents.contains_key(&pid);
        let parent = self.parents.entry(pid).or_default();
        // The one that was in use last leaves the others to those that began earlier.
        let free = parent.free.range(..=(begin, u64::MAX)).next_back().copied();
        if let Some((since, lane)) = free {
            parent.free.remove(&(since, lane));
            parent.free.insert((end, lane));
            return Ok(lane);
        }
        let lane = self.next_lane;
        self.next_lane += 1;
        self.lanes += 1;
        parent.free.insert((end, lane));
        let number = parent.free.len();
        if is_new {
            let name = comm.map_or_else(|| "?".to_owned(), |comm| comm.to_str().into_owned());
            self.metadata(pid, lane, "process_name", &json!({ "name": name }))?;
        }
        let name = json!({ "name": format!("children {number}") });
        self.metadata(pid, lane, "thread_name", &name)?;
        let index = json!({ "sort_index": number });
        self.metadata(pid, lane, "thread_sort_index", &index)?;
        Ok(lane)
    }

    fn metadata(&mut self, pid: u32, tid: u64, name: &str, args: &Value) -> io::Result<()> {
        self.event(format_args!(
            r#"{{"ph":"M","pid":{pid},"tid":{tid},"name":"{name}","args":{args}}}"#
        ))
    }

    fn event(&mut self, event: std::fmt::Arguments<'_>) -> io::Result<()> {
        let separator = std::mem::replace(&mut self.separator, ",\n");
        write!(self.out, "{separator}{event}")
    }

    /// Ends the file.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.write_all(b"\n]}\n")?;
        self.out.flush()
    }
}

/// ns as µs.
fn micros(ns: u64) -> String {
    format!("{}.{:03}", ns / 1000, ns % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures;

    fn trace(fill: impl FnOnce(&mut Perfetto<&mut Vec<u8>>)) -> Vec<Value> {
        let mut out = Vec::new();
        let mut perfetto = Perfetto::new(&mut out).unwrap();
        fill(&mut perfetto);
        perfetto.finish().unwrap();
        let mut trace: Value = serde_json::from_slice(&out).unwrap();
        match trace["traceEvents"].take() {
            Value::Array(events) => events,
            other => panic!("{other}"),
        }
    }

    /// In ns.
    fn time(event: &Value, key: &str) -> u64 {
        (event[key].as_f64().unwrap() * 1000.0).round() as u64
    }

    #[test]
    fn run_teardown_and_zombie_follow_one_another() {
        let zombie = Zombie {
            comm: "<\"evil\">".into(),
            ..fixtures::zombie()
        };
        let events = trace(|perfetto| perfetto.zombie(&zombie, 2_000_000_000).unwrap());
        let slices: Vec<_> = events.iter().filter(|event| event["ph"] == "X").collect();
        let names: Vec<_> = slices
            .iter()
            .map(|slice| slice["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ["<\"evil\"> 4243", "teardown", "zombie"]);
        assert_eq!(time(slices[2], "dur"), 18_234);
        assert_eq!(slices[2]["cname"], "terrible");
        for pair in slices.windows(2) {
            assert_eq!(
                time(pair[0], "ts") + time(pair[0], "dur"),
                time(pair[1], "ts")
            );
        }
        assert_eq!(
            time(slices[2], "ts") + time(slices[2], "dur"),
            2_000_000_000
        );
        let name = |kind: &str| {
            let event = events.iter().find(|event| event["name"] == kind).unwrap();
            (event["pid"].clone(), event["args"]["name"].clone())
        };
        assert_eq!(name("process_name"), (json!(4242), json!("bash")));
        assert_eq!(name("thread_name"), (json!(4242), json!("children 1")));
    }

    #[test]
    fn every_track_is_named_and_its_slices_do_not_overlap() {
        let events = trace(|perfetto| {
            for n in 0..5000_u64 {
                let zombie = Zombie {
                    ppid: (n % 7 > 0).then_some(100 + n as u32 % 7),
                    zombie_ns: n * 7919 % 100_000,
                    run_ns: Some(n * 104_729 % 3_000_000),
                    ..fixtures::zombie()
                };
                perfetto.zombie(&zombie, n * 10_000).unwrap();
            }
            perfetto.alive(&fixtures::alive(), 60_000_000).unwrap();
        });
        let mut ends: HashMap<(u64, u64), u64> = HashMap::new();
        let mut named = std::collections::HashSet::new();
        let mut zombies = 0;
        for event in &events {
            let (pid, tid) = (
                event["pid"].as_u64().unwrap(),
                event["tid"].as_u64().unwrap(),
            );
            if event["ph"] == "M" {
                named.insert((event["name"].as_str().unwrap(), pid));
                named.insert((event["name"].as_str().unwrap(), tid));
                continue;
            }
            assert_eq!(event["ph"], "X");
            assert!(
                named.contains(&("process_name", pid)) && named.contains(&("thread_name", tid))
            );
            let end = ends.entry((pid, tid)).or_default();
            assert!(time(event, "ts") >= *end, "{event}");
            *end = time(event, "ts") + time(event, "dur");
            zombies += u64::from(event["name"] == "zombie");
        }
        // Of two of them it is 0.
        assert!((4900..=5001).contains(&zombies), "{zombies}");
        // No more tracks than children at a time, some 300 of each.
        assert!(ends.len() < 7 * 400, "{}", ends.len());
    }

    #[test]
    fn what_began_before_the_run_is_cut_there() {
        let zombie = Zombie {
            zombie_ns: 5_000,
            ..fixtures::zombie()
        };
        let events = trace(|perfetto| {
            perfetto.zombie(&zombie, 2_000).unwrap();
            perfetto.zombie(&zombie, 3_000).unwrap();
        });
        let slices: Vec<_> = events.iter().filter(|event| event["ph"] == "X").collect();
        assert_eq!(slices.len(), 2);
        assert_ne!(slices[0]["tid"], slices[1]["tid"]);
        assert_eq!(time(slices[1], "ts"), 0);
    }

    #[test]
    fn an_empty_run_is_a_trace() {
        assert!(trace(|_| ()).is_empty());
    }
}

//! The recipes of docs/load-testing.md, run as they are written: every command must succeed, and
//! what the text says of the figures must hold.
//!
//! With `ZOMBIE_TRACE_COOKBOOK` the recipes are those of that file, and the outputs that it shows are
//! replaced by those of this run.

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use zombie_trace_e2e::Recipe;

use crate::{Outcome, Test, check, context, ensure, report::Report, shell::Shell};

/// What the document has on PATH.
const PROGRAMS: [(&str, &str); 4] = [
    ("prefork.py", include_str!("../cookbook/prefork.py")),
    ("cgi.py", include_str!("../cookbook/cgi.py")),
    ("supervisor.py", include_str!("../cookbook/supervisor.py")),
    ("sup.c", include_str!("../cookbook/sup.c")),
];

/// What the recipes take besides.
const NEEDED: [&str; 6] = [
    "/bin/bash",
    "/usr/bin/python3",
    "/usr/bin/wrk",
    "/usr/bin/ab",
    "/usr/bin/make",
    "/usr/bin/cc",
];

/// The recipe that takes stacks of parents.
const JOURNAL: &str = "A supervisor's journal";

/// No recipe takes longer.
const LIMIT: Duration = Duration::from_secs(300);

const MS: u64 = 1_000_000;

pub(crate) fn tests() -> Vec<Test> {
    let skip = NEEDED.into_iter().find_map(context::no_program);
    let skip = skip.or_else(|| {
        context::forced_backend().map(|_| "the recipes take the best backend there is".into())
    });
    let recipes = Recipe::all(document()).expect("the cookbook");
    recipes
        .into_iter()
        .map(|recipe| {
            let name = recipe
                .heading
                .to_lowercase()
                .replace('\'', "")
                .replace(' ', "-");
            let old = recipe.heading == JOURNAL && !context::kernel_is_at_least(6, 1);
            let old = old.then(|| "stacks need Linux 6.1".to_owned());
            Test::new(format!("cookbook::{name}"), move || cook(&recipe))
                .long("takes real servers")
                .unless(skip.clone().or(old))
                .alone("compares times of two runs")
                .in_network_namespace()
        })
        .collect()
}

/// The file whose outputs are to be replaced.
fn file() -> Option<PathBuf> {
    env::var_os("ZOMBIE_TRACE_COOKBOOK").map(PathBuf::from)
}

fn document() -> &'static str {
    static FILE: OnceLock<String> = OnceLock::new();
    match file() {
        Some(file) => FILE.get_or_init(|| fs::read_to_string(file).expect("the cookbook")),
        None => include_str!("../../docs/load-testing.md"),
    }
}

/// What the text says of a recipe's figures.
fn claims(heading: &str) -> Option<fn(&Cooked) -> Outcome> {
    Some(match heading {
        "A pre-forking server" => prefork,
        "A CGI server" => cgi,
        "A shell pipeline" => pipeline,
        "make -j" => make,
        "A supervisor" => supervisor,
        JOURNAL => journal,
        _ => return None,
    })
}

fn prefork(cooked: &Cooked) -> Outcome {
    let [late, prompt] = cooked.recordings(["late", "prompt"])?;
    late.at_least("p50", 150 * MS)?;
    prompt.below("p50", late.statistic("p50") / 4)?;
    late.mostly("parent_not_waiting_ns", "prefork.py")?;
    cooked.says(2, "better")
}

fn cgi(cooked: &Cooked) -> Outcome {
    let [lazy, prompt] = cooked.recordings(["lazy", "prompt"])?;
    lazy.at_least("p50", 100 * MS)?;
    prompt.below("p50", lazy.statistic("p50") / 4)?;
    lazy.mostly("parent_not_waiting_ns", "cgi.py")?;
    cooked.says(1, "better")
}

fn pipeline(cooked: &Cooked) -> Outcome {
    let [xargs, by_loop] = cooked.recordings(["xargs", "loop"])?;
    xargs.at_least("p90", 15 * MS)?;
    by_loop.below("p90", xargs.statistic("p90") / 2)?;
    xargs.mostly("parent_not_waiting_ns", "xargs")?;
    cooked.says(0, "better")
}

fn make(cooked: &Cooked) -> Outcome {
    let [j2, j64] = cooked.recordings(["j2", "j64"])?;
    let [p50, p50_j64] = [&j2, &j64].map(|run| run.statistic("p50"));
    ensure!(p50_j64 > 3 * p50, "p50 {p50_j64} for {p50}");
    cooked.says(0, "worse")?;
    cooked.says(0, "status 3")
}

fn supervisor(cooked: &Cooked) -> Outcome {
    cooked.says(0, "FAIL alive = ")?;
    cooked.says(0, "status 3")?;
    let [one, fixed] = cooked.recordings(["one", "fixed"])?;
    ensure!(one.0.count("alive") > 10, "alive: {}", one.0.summary());
    fixed.below("p90", one.statistic("p90") / 4)?;
    ensure!(fixed.0.count("alive") < 5, "alive: {}", fixed.0.summary());
    cooked.says(1, "were not reaped")?;
    cooked.says(2, "reaps one child every ")
}

fn journal(cooked: &Cooked) -> Outcome {
    let place = "blocked in read at write_journal (sup.c:";
    cooked.says(0, place)?;
    cooked.says(0, "what parents did instead of reaping")?;
    cooked.says(1, ";main;run_round;job_ended;write_journal;")?;
    cooked.says(2, "better")?;
    let [before, after] = cooked.recordings(["before", "after"])?;
    before.at_least("p50", 40 * MS)?;
    after.below("p50", before.statistic("p50") / 4)?;
    before.mostly("parent_not_waiting_ns", "sup")?;
    let parents = before.0.summary()["by_parent"].as_array();
    let found = parents.and_then(|parents| parents.first()?["place"].as_str());
    ensure!(
        found.is_some_and(|found| found.contains(place)),
        "{found:?}"
    );
    let picture = fs::read_to_string(cooked.directory.join("before.svg"));
    let picture = picture.map_err(|error| format!("before.svg: {error}"))?;
    ensure!(picture.contains("write_journal"), "{picture}");
    Ok(())
}

/// What a recipe has left behind.
struct Cooked {
    directory: PathBuf,
    /// What each step has printed.
    outputs: Vec<String>,
}

impl Cooked {
    /// A step has printed this.
    fn says(&self, step: usize, what: &str) -> Outcome {
        ensure!(
            self.outputs[step].contains(what),
            "step {step} does not say {what:?}"
        );
        Ok(())
    }

    /// What was recorded under these names.
    fn recordings<const N: usize>(&self, names: [&str; N]) -> Result<[Recording; N], String> {
        let read = |name: &str| {
            let path = self.directory.join(format!("{name}.jsonl"));
            let bytes = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let report = Report::parse(&bytes)?;
            let problems = check::accounting(&report);
            ensure!(problems.is_empty(), "{name}: {}", problems.join("\n"));
            Ok(Recording(report))
        };
        let read = names.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(read.try_into().ok().expect("N of them"))
    }
}

struct Recording(Report);

impl Recording {
    fn statistic(&self, name: &str) -> u64 {
        self.0.summary()["zombie_ns"][name].as_u64().unwrap_or(0)
    }

    fn at_least(&self, name: &str, limit: u64) -> Outcome {
        let value = self.statistic(name);
        ensure!(value >= limit, "{name} is {value} for ≥ {limit}");
        Ok(())
    }

    fn below(&self, name: &str, limit: u64) -> Outcome {
        let value = self.statistic(name);
        ensure!(
            (1..limit).contains(&value),
            "{name} is {value} for < {limit}"
        );
        Ok(())
    }

    /// The times of the children of parents of this name, shortest first.
    fn of_parent(&self, comm: &str) -> Vec<u64> {
        let children = self.0.zombies().filter(|line| line["parent_comm"] == comm);
        let mut times: Vec<_> = children.filter_map(|l| l["zombie_ns"].as_u64()).collect();
        times.sort_unstable();
        times
    }

    /// Most of the time that this parent's children were zombies went there.
    fn mostly(&self, phase: &str, parent: &str) -> Outcome {
        let children = || self.0.zombies().filter(|l| l["parent_comm"] == parent);
        let in_phase: u64 = children().filter_map(|l| l["phases"][phase].as_u64()).sum();
        let in_all: u64 = self.of_parent(parent).iter().sum();
        ensure!(in_phase > in_all / 2, "{phase}: {in_phase} of {in_all}");
        Ok(())
    }
}

fn cook(recipe: &Recipe) -> Outcome {
    let claims = claims(recipe.heading)
        .ok_or_else(|| format!("nothing is known to hold of {:?}", recipe.heading))?;
    let directory = context::fresh_path("cookbook");
    let made = |error| format!("{}: {error}", directory.display());
    fs::create_dir(&directory).map_err(made)?;
    for (name, text) in PROGRAMS {
        let path = directory.join(name);
        fs::write(&path, text).map_err(made)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(made)?;
    }
    let programs = [context::zombie_trace().parent(), Some(&*directory)];
    let programs: Vec<_> = programs.into_iter().flatten().collect();
    let outputs = Shell {
        current: &directory,
        programs: &programs,
        limit: LIMIT,
    }
    .run(recipe)?;
    let cooked = Cooked { directory, outputs };
    claims(&cooked).map_err(|error| format!("{error}\n{}", cooked.outputs.join("----\n")))?;
    match file() {
        Some(file) => show(&file, recipe.heading, &cooked.outputs),
        None => still_shown(recipe, &cooked.outputs),
    }
}

/// What the document shows is made of the words that are printed now: figures differ from run to run,
/// and so do a few words, such as those for phases. Warnings come and go.
fn still_shown(recipe: &Recipe, outputs: &[String]) -> Outcome {
    for (step, output) in recipe.steps.iter().zip(outputs) {
        let Some(place) = step.output.clone() else {
            continue;
        };
        let (shown, printed) = (words(&document()[place]), words(output));
        let gone: Vec<_> = shown.difference(&printed).collect();
        ensure!(
            gone.len() <= shown.len() / 4,
            "not printed any more: {gone:?}: run `cargo xtask cookbook`\n{output}"
        );
    }
    Ok(())
}

fn words(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter(|line| !line.starts_with("zombie-trace: warning: "))
        .flat_map(|line| line.split(|c: char| !c.is_alphabetic()))
        .filter(|word| word.len() > 2)
        .collect()
}

/// Replaces the outputs of a recipe, which is elsewhere now if others' have been.
fn show(file: &Path, heading: &str, outputs: &[String]) -> Outcome {
    let failed = |error| format!("{}: {error}", file.display());
    let document = fs::read_to_string(file).map_err(failed)?;
    let recipes = Recipe::all(&document)?;
    let recipe = recipes.iter().find(|recipe| recipe.heading == heading);
    let recipe = recipe.ok_or_else(|| format!("{}: no {heading}", file.display()))?;
    fs::write(file, recipe.with_outputs(&document, outputs)).map_err(failed)
}

//! The way of docs/fleet.md from nothing to a graph, followed as it is written.

use std::{fs, path::Path, time::Duration};

use zombie_trace_tests::Recipe;

use crate::{Outcome, Test, context, devtools, ensure, shell::Shell};

const DOCUMENT: &str = include_str!("../../../../docs/fleet.md");

/// No more commands than these.
const COMMANDS: usize = 10;

/// Of which 16 s are the two parents', and up to two minutes a build that was never made before.
const LIMIT: Duration = Duration::from_secs(400);

/// What the commands leave behind.
const DATA: &str = "/tmp/zombies";
const PICTURE: &str = "/tmp/zombies.png";

pub(super) fn tests() -> Vec<Test> {
    let needed = ["/usr/bin/apt-get", "/usr/bin/perl"];
    let skip = needed.into_iter().find_map(context::no_program);
    let skip = skip.or_else(devtools::missing).or_else(context::no_cargo);
    vec![Test::new("serve::from-nothing-to-a-graph", walk).unless(skip)]
}

fn walk() -> Outcome {
    let recipes = Recipe::all(DOCUMENT)?;
    let [recipe] = &recipes[..] else {
        return Err(format!("{} sections with commands", recipes.len()));
    };
    let commands = recipe.steps.iter().flat_map(|step| step.commands.lines());
    let commands = commands.count();
    ensure!(commands <= COMMANDS, "{commands} commands");
    clear()?;
    let outputs = Shell {
        current: &Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
        programs: &[],
        limit: LIMIT,
    }
    .run(recipe)?;
    let judged = judge(&outputs);
    clear()?;
    judged.map_err(|error| format!("{error}\n{}", outputs.join("----\n")))
}

fn judge(outputs: &[String]) -> Outcome {
    let answers = || outputs.iter().flat_map(|output| output.lines());
    let p99 = |parent: &str| {
        let begin = format!("{{parent=\"{parent}\"}} => ");
        let answer = answers().find_map(|line| line.strip_prefix(&begin));
        let seconds = answer.and_then(|answer| answer.split(' ').next()?.parse::<f64>().ok());
        seconds.ok_or_else(|| format!("no p99 of {parent}"))
    };
    let (lazy, prompt) = (p99("lazy")?, p99("prompt")?);
    ensure!(
        (0.2..=1.0).contains(&lazy) && prompt < 0.2,
        "p99 {lazy} and {prompt} s"
    );
    let picture = fs::read(PICTURE).map_err(|error| format!("{PICTURE}: {error}"))?;
    ensure!(
        picture.starts_with(b"\x89PNG") && picture.len() > 20_000,
        "the picture has {} bytes",
        picture.len()
    );
    Ok(())
}

fn clear() -> Outcome {
    let _ = fs::remove_file(PICTURE);
    match fs::remove_dir_all(DATA) {
        Err(error) if fs::exists(DATA).unwrap_or(true) => Err(format!("{DATA}: {error}")),
        _ => Ok(()),
    }
}

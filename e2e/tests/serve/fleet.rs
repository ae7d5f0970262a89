//! The way of docs/fleet.md from nothing to a graph, followed as it is written.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use zombie_trace_e2e::Recipe;

use crate::{Outcome, Test, context, devtools, ensure, shell::Shell};

const DOCUMENT: &str = include_str!("../../../docs/fleet.md");

/// No more commands than these.
const COMMANDS: usize = 10;

/// 16 s are the two parents', and the rest a build of the release.
const LIMIT: Duration = Duration::from_secs(1200);

/// What the commands leave behind.
const DATA: &str = "/tmp/zombies";
const PICTURE: &str = "/tmp/zombies.png";

pub(super) fn tests() -> Vec<Test> {
    let needed = ["/usr/bin/apt-get", "/usr/bin/perl"];
    let skip = needed.into_iter().find_map(context::no_program);
    let skip = skip.or_else(devtools::missing).or_else(context::no_cargo);
    vec![
        Test::new("serve::from-nothing-to-a-graph", walk)
            .long("builds the release, and takes a browser")
            .unless(skip),
    ]
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
    let browser = Browser::new().map_err(|error| format!("a browser that tells: {error}"))?;
    let outputs = Shell {
        current: &Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
        programs: &[&browser.directory],
        limit: LIMIT,
    }
    .run(recipe)?;
    let judged = judge(&outputs).and_then(|()| browser.shows_both());
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
        lazy >= 0.2 && prompt < lazy / 2.0,
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

/// The browser of the commands, which tells the document of the page too that it makes a picture of.
struct Browser {
    directory: PathBuf,
    page: PathBuf,
}

impl Browser {
    fn new() -> io::Result<Self> {
        let directory = context::fresh_path("browser");
        let page = context::fresh_path("page.html");
        let script = format!(
            "#!/bin/sh\nexec {} --dump-dom \"$@\" >{}\n",
            devtools::PROGRAM,
            page.display()
        );
        let program = directory.join("chromium");
        fs::create_dir(&directory)?;
        fs::write(&program, script)?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        Ok(Self { directory, page })
    }

    /// The graph has a curve for each of the two parents, and that of the lazy one is above.
    fn shows_both(&self) -> Outcome {
        let page = fs::read_to_string(&self.page);
        let page = page.map_err(|error| format!("{}: {error}", self.page.display()))?;
        let top = |parent| {
            let heights = curve(&page, parent).ok_or_else(|| format!("no curve of {parent}"))?;
            ensure!(heights.len() >= 5, "{parent}: a curve of {heights:?}");
            Ok(heights.into_iter().fold(f64::INFINITY, f64::min))
        };
        let (lazy, prompt) = (top("lazy")?, top("prompt")?);
        ensure!(
            lazy.total_cmp(&prompt).is_lt(),
            "the curves reach to {lazy} and {prompt}"
        );
        Ok(())
    }
}

/// How far the points of a parent's curve are from the top of the graph. Debian's Prometheus draws
/// with SVG; legend and curve have a colour in common.
fn curve(page: &str, parent: &str) -> Option<Vec<f64>> {
    let label = format!("{{parent=\"{parent}\"}}</span>");
    let (legend, _) = page.split_once(&label)?;
    let color = legend.rsplit("background-color: rgb(").next()?;
    let (color, _) = color.split_once(')')?;
    let parts: Vec<u8> = color
        .split(", ")
        .filter_map(|part| part.parse().ok())
        .collect();
    let &[red, green, blue] = &parts[..] else {
        return None;
    };
    let stroke = format!("stroke=\"#{red:02x}{green:02x}{blue:02x}\"");
    let mut paths = page.split("<path class=\"path\" d=\"").skip(1);
    let path = paths.find(|path| {
        path.split('>')
            .next()
            .is_some_and(|it| it.contains(&stroke))
    })?;
    let (points, _) = path.split_once('"')?;
    let points = points.split(['M', 'L']).filter(|point| !point.is_empty());
    points
        .map(|point| point.split_once(',')?.1.parse().ok())
        .collect()
}

fn clear() -> Outcome {
    let _ = fs::remove_file(PICTURE);
    match fs::remove_dir_all(DATA) {
        Err(error) if fs::exists(DATA).unwrap_or(true) => Err(format!("{DATA}: {error}")),
        _ => Ok(()),
    }
}

//! `report` on recordings of a size that load tests have, and its page in a browser.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    mem,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use zombie_trace_e2e::recorded::{self, EVIL, Recorded};

use crate::{
    Outcome, Test, context,
    devtools::{self, Browser},
    ensure,
};

pub(crate) fn tests() -> Vec<Test> {
    let emulated = context::is_emulated().then(|| "an emulator is too slow for it".to_owned());
    vec![
        Test::new("recording::a-million-zombies", a_million_zombies)
            .unless(emulated.clone())
            .long("records a million zombies"),
        Test::new("recording::page-in-a-browser", page_in_a_browser)
            .unless(emulated)
            .long("takes a browser")
            .unless(devtools::missing()),
    ]
}

/// Time, memory and size have bounds that leave room for slow machines.
fn a_million_zombies() -> Outcome {
    const ZOMBIES: u64 = 1_000_000;
    const MIB: u64 = 1 << 20;
    let page = context::fresh_path("million.html");
    let object = context::fresh_path("million.json");
    let begin = Instant::now();
    let mut report = Command::new(context::zombie_trace())
        .args(["report", "-", "--json", "--html"])
        .arg(&page)
        .stdin(Stdio::piped())
        .stdout(File::create(&object).map_err(|error| error.to_string())?)
        .spawn()
        .map_err(|error| error.to_string())?;
    let mut input = BufWriter::new(report.stdin.take().expect("it is piped"));
    let truth =
        recorded::write(&mut input, ZOMBIES).and_then(|truth| input.flush().map(|()| truth));
    drop(input);
    let truth = truth.map_err(|error| format!("the report has ended early: {error}"))?;
    let resident = peak_resident(report.id());
    let usage = wait(report.id())?;
    let wall = begin.elapsed();
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    };
    let cpu = time(usage.ru_utime) + time(usage.ru_stime);
    let size = fs::metadata(&page)
        .map_err(|error| error.to_string())?
        .len();
    println!(
        "{ZOMBIES} zombies: {cpu:.2?} of CPU time in {wall:.2?}, with their making; {:.1} MiB \
         resident, a page of {:.2} MB",
        resident as f64 / MIB as f64,
        size as f64 / 1e6
    );
    ensure!(cpu < Duration::from_secs(10), "it took {cpu:?} of CPU time");
    ensure!(
        (MIB..100 * MIB).contains(&resident),
        "it took {resident} bytes of memory"
    );
    ensure!(size < 2_000_000, "the page has {size} bytes");
    check_figures(&read_object(&object)?, &truth)
}

/// The most memory that a process has had by its end, which is waited for, in bytes. `ru_maxrss` has
/// in it what the process that it was forked from had, too (`exec_mmap`, fs/exec.c).
fn peak_resident(pid: u32) -> u64 {
    let mut peak = 0;
    // A zombie has no memory.
    while let Some(kib) = fs::read_to_string(format!("/proc/{pid}/status"))
        .ok()
        .and_then(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
        })
    {
        peak = kib * 1024;
        thread::sleep(Duration::from_millis(1));
    }
    peak
}

fn check_figures(report: &Value, truth: &Recorded) -> Outcome {
    let total = report["by_parent"].as_array().into_iter().flatten();
    let total: u64 = total.filter_map(|parent| parent["total_ns"].as_u64()).sum();
    let told = Recorded {
        reaped: report["zombie_ns"]["count"].as_u64().unwrap_or(0),
        total_ns: total,
        max_ns: report["zombie_ns"]["max"].as_u64().unwrap_or(0),
        alive: report["alive"].as_u64().unwrap_or(0),
    };
    ensure!(told == *truth, "{told:?} instead of {truth:?}");
    // The living are among the longest; each of these is 30 s old or younger.
    let worst = report["worst"].as_array().ok_or("no worst zombies")?;
    let living = worst.iter().filter(|zombie| zombie["type"] == "alive");
    ensure!(
        living.count() as u64 == truth.alive,
        "not all living zombies are among the longest"
    );
    let longest = worst.iter().find(|zombie| zombie["type"] == "zombie");
    ensure!(
        longest.is_some_and(|zombie| zombie["zombie_ns"] == truth.max_ns),
        "the longest is {longest:?}"
    );
    Ok(())
}

/// Waits for a child; gives what it has used.
fn wait(pid: u32) -> Result<libc::rusage, String> {
    let mut status = 0;
    // SAFETY: all zeros are a valid rusage.
    let mut usage: libc::rusage = unsafe { mem::zeroed() };
    // SAFETY: both are valid to write to, and nobody else waits for this child.
    let reaped = unsafe { libc::wait4(pid.cast_signed(), &raw mut status, 0, &raw mut usage) };
    ensure!(
        reaped == pid.cast_signed() && status == 0,
        "the report's status is {status:#x}"
    );
    Ok(usage)
}

fn read_object(path: &Path) -> Result<Value, String> {
    let text = fs::read(path).map_err(|error| error.to_string())?;
    serde_json::from_slice(&text).map_err(|error| format!("the report's JSON: {error}"))
}

/// What a person sees is what the report says.
fn page_in_a_browser() -> Outcome {
    let (page, report, text) = written()?;
    let mut browser = Browser::start()?;
    let url = format!("file://{}", page.display());
    browser.show(&url)?;
    main_figures(&mut browser, &report, &text)?;
    tables(&mut browser, &report)?;
    names_are_text(&mut browser)?;
    part_of_the_run(&mut browser)?;
    searched(&mut browser)?;
    values(&mut browser)?;
    copied(&mut browser)?;
    for (width, scheme) in [
        (1600, "dark"),
        (1000, "light"),
        (390, "dark"),
        (390, "light"),
    ] {
        looks(&mut browser, width, scheme)?;
    }
    on_paper(&mut browser)?;
    for request in browser.events(&["Network.requestWillBeSent"]) {
        let requested = &request["params"]["request"]["url"];
        ensure!(*requested == url, "{requested} is requested");
    }
    let complaints = [
        "Runtime.consoleAPICalled",
        "Runtime.exceptionThrown",
        "Log.entryAdded",
    ];
    let complaints = browser.events(&complaints);
    ensure!(
        complaints.is_empty(),
        "the browser complains: {complaints:?}"
    );
    Ok(())
}

/// A page, and what the report says as JSON and as text.
fn written() -> Result<(PathBuf, Value, String), String> {
    let path = context::fresh_path("recorded.jsonl");
    let file = File::create(&path).map_err(|error| error.to_string())?;
    let mut file = BufWriter::new(file);
    recorded::write(&mut file, 20_000).map_err(|error| error.to_string())?;
    drop(file);
    let page = context::fresh_path("page.html");
    let report = |args: &[&str]| {
        let mut command = Command::new(context::zombie_trace());
        let output = command.arg("report").arg(&path).args(args).output();
        let output = output.map_err(|error| error.to_string())?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).map_err(|error| error.to_string())
    };
    let text = report(&["--html", &page.display().to_string()])?;
    let object = report(&["--json"])?;
    let object = serde_json::from_str(&object).map_err(|error| format!("JSON: {error}"))?;
    Ok((page, object, text))
}

fn main_figures(browser: &mut Browser, report: &Value, text: &str) -> Outcome {
    let mut shown = |id: &str| {
        let value = browser.evaluate(&format!("document.getElementById({id:?}).innerText"))?;
        value
            .as_str()
            .map(str::to_owned)
            .ok_or(format!("{id} is not shown"))
    };
    for key in ["exits", "reaped", "alive"] {
        let number: Option<u64> = shown(key)?.replace(',', "").parse().ok();
        ensure!(
            number == report[key].as_u64(),
            "{key} is {number:?}, not {}",
            report[key]
        );
    }
    for (id, name) in [
        ("p50", "p50"),
        ("p90", "p90"),
        ("p99", "p99"),
        ("p999", "p99.9"),
        ("max", "max"),
    ] {
        let figure = format!("{name} {}", shown(id)?);
        let line = text
            .lines()
            .find(|line| line.starts_with("  p50 "))
            .unwrap_or_default();
        let mut figures = line.trim().split("  ");
        ensure!(
            figures.any(|other| other == figure),
            "{figure:?} is not in {line:?}"
        );
    }
    // The first line of the text is the page's headline, and more.
    let verdict = shown("verdict")?;
    let headline = "1 parent leaves zombies";
    ensure!(
        verdict.starts_with(headline) && text.starts_with(headline),
        "the verdict is {verdict}"
    );
    ensure!(
        verdict.contains("leaky (4300) 14 living"),
        "the verdict is {verdict}"
    );
    let counts = browser.evaluate(
        "[...document.querySelectorAll('#histogram td.n')]\
         .map(cell => Number(cell.innerText.replaceAll(',', ''))).reduce((a, b) => a + b)",
    )?;
    ensure!(
        counts == report["zombie_ns"]["count"],
        "the histogram is of {counts}"
    );
    let charts = browser.evaluate(
        "[...document.querySelectorAll('svg')].filter(svg => svg.getBoundingClientRect().height > 100 \
         && svg.ariaLabel && svg.querySelector('desc')).length",
    )?;
    ensure!(charts == 2, "{charts} charts are shown");
    Ok(())
}

fn tables(browser: &mut Browser, report: &Value) -> Outcome {
    let parents = report["by_parent"].as_array().ok_or("no parents")?;
    let mut column = |number: u32| {
        let values = browser.evaluate(&format!(
            "[...document.querySelectorAll('#parents tbody td:nth-child({number})')]\
             .map(cell => Number(cell.dataset.v))"
        ))?;
        serde_json::from_value::<Vec<u64>>(values).map_err(|error| error.to_string())
    };
    let shown = parents.len().min(200);
    let of_json = |key: &str| -> Vec<u64> {
        let shown = parents.iter().take(shown);
        shown.filter_map(|parent| parent[key].as_u64()).collect()
    };
    ensure!(
        column(8)? == of_json("reaped"),
        "not the parents of the JSON"
    );
    ensure!(
        column(5)? == of_json("zombie_time_ns"),
        "not the zombie times of the JSON"
    );

    const REAPED: &str = "#parents th:nth-child(8) button";
    let mut sorted = of_json("reaped");
    sorted.sort_unstable();
    browser.click(REAPED)?;
    let reaped = "[...document.querySelectorAll('#parents tbody td:nth-child(8)')]\
                  .map(cell => Number(cell.innerText.replaceAll(',', '')))";
    let largest_first: Vec<_> = sorted.iter().rev().collect();
    ensure!(
        browser.evaluate(reaped)? == json!(largest_first),
        "not sorted by a click"
    );
    browser.click(REAPED)?;
    ensure!(
        browser.evaluate(reaped)? == json!(sorted),
        "not the other way by another click"
    );
    let sort = browser.evaluate(
        "[...document.querySelectorAll('#parents th')].map(th => th.ariaSort).filter(Boolean)",
    )?;
    ensure!(sort == json!(["ascending"]), "aria-sort is {sort}");
    browser.click("#parents th:nth-child(1) button")?;
    let names = browser.evaluate(
        "[...document.querySelectorAll('#parents tbody td:nth-child(1)')].map(cell => cell.innerText)",
    )?;
    let names: Vec<String> = serde_json::from_value(names).map_err(|error| error.to_string())?;
    ensure!(names.is_sorted(), "names are not sorted");
    Ok(())
}

/// A part of the run that is selected, by the mouse or the keyboard, cuts every table to it.
fn part_of_the_run(browser: &mut Browser) -> Outcome {
    let reaped = "[...document.querySelectorAll('#parents tbody tr:not([hidden]) .f-reaped')]\
                  .map(cell => Number(cell.dataset.v)).reduce((a, b) => a + b, 0)";
    let all = browser.evaluate(reaped)?.as_u64().unwrap_or(0);
    browser.drag("#chart-zombies", [0.25, 0.5], [0.5, 0.5])?;
    let window = browser.evaluate("document.getElementById('window').innerText")?;
    let window = window.as_str().unwrap_or_default();
    ensure!(
        window.starts_with("15.") || window.starts_with("14."),
        "it selects {window:?}"
    );
    let some = browser.evaluate(reaped)?.as_u64().unwrap_or(0);
    // A quarter of an even load.
    ensure!(
        (all / 5..all / 3).contains(&some),
        "{some} of {all} zombies are in a quarter of the run"
    );
    let outside = browser.evaluate(
        "[...document.querySelectorAll('#longest tbody tr:not([hidden])')]\
         .filter(row => Number(row.dataset.b) > 31e9 || Number(row.dataset.e) < 14e9).length",
    )?;
    ensure!(
        outside == 0,
        "{outside} zombies outside of the part are shown"
    );
    browser.click("#clear")?;
    ensure!(browser.evaluate(reaped)? == all, "not all is shown again");
    browser.evaluate("document.getElementById('to').focus()")?;
    browser.press("Home")?;
    let some = browser.evaluate(reaped)?.as_u64().unwrap_or(u64::MAX);
    ensure!(
        some < all / 10,
        "{some} of {all} zombies in the first column"
    );
    browser.click("#clear")?;
    Ok(())
}

fn searched(browser: &mut Browser) -> Outcome {
    browser.evaluate("document.getElementById('search').focus()")?;
    browser.call("Input.insertText", json!({ "text": "LEAKY" }))?;
    let shown = browser.evaluate(
        "[...document.querySelectorAll('#parents tbody tr:not([hidden])')]\
         .map(row => row.cells[1].innerText)",
    )?;
    ensure!(shown == json!(["4300"]), "a search for leaky shows {shown}");
    let found = "document.querySelector('.dot.found').getAttribute('d').split('M').length - 1";
    // Some of the 14 share a dot.
    let dots = browser.evaluate(found)?.as_u64().unwrap_or(0);
    ensure!((1..=14).contains(&dots), "{dots} dots are found");
    browser.click("#clear")?;
    ensure!(
        browser.evaluate(found)? == 0,
        "dots are found without a search"
    );
    Ok(())
}

/// What the pointer is over, and what the arrow keys lead to, is told in figures.
fn values(browser: &mut Browser) -> Outcome {
    const TIP: &str =
        "document.getElementById('tip').hidden ? '' : document.getElementById('tip').innerText";
    browser.point("#chart-alive", [0.99, 0.5])?;
    let tip = browser.evaluate(TIP)?;
    let tip = tip.as_str().unwrap_or_default();
    ensure!(
        tip.contains("living") && tip.contains("of leaky (4300)"),
        "the tooltip is {tip:?}"
    );
    browser.evaluate("document.getElementById('chart-zombies').focus()")?;
    browser.press("End")?;
    let tip = browser.evaluate(TIP)?;
    let tip = tip.as_str().unwrap_or_default();
    for part in [
        "forgotten (",
        "living, a zombie for",
        "parent: leaky (4300)",
        "cause: ",
    ] {
        ensure!(tip.contains(part), "{part:?} is not in the tooltip {tip:?}");
    }
    browser.press("Home")?;
    let tip = browser.evaluate(TIP)?;
    let tip = tip.as_str().unwrap_or_default();
    ensure!(
        tip.contains("reaped by the parent, wait4"),
        "the tooltip is {tip:?}"
    );
    browser.press("Escape")?;
    ensure!(browser.evaluate(TIP)? == "", "the tooltip stays");
    Ok(())
}

fn copied(browser: &mut Browser) -> Outcome {
    // What reaches the clipboard; a browser without a window has none.
    browser.evaluate(
        "window.copied = []; Object.defineProperty(navigator, 'clipboard', \
         { value: { writeText: async text => { window.copied.push(text); } } }); 0",
    )?;
    browser.click("[data-copy=commands]")?;
    browser.click("[data-copy=all]")?;
    let copied = browser.evaluate("window.copied")?;
    let copied: Vec<String> = serde_json::from_value(copied).map_err(|error| error.to_string())?;
    let [table, all] = &copied[..] else {
        return Err(format!("{copied:?} is copied"));
    };
    let lines: Vec<_> = table.lines().collect();
    ensure!(
        lines[0].starts_with("| Command | Living |") && lines[1].starts_with("| --- | ---: |"),
        "{table}"
    );
    ensure!(
        !table.contains('<') && table.contains("&lt;b&gt;&amp;"),
        "{table}"
    );
    ensure!(
        all.contains("**1 parent leaves zombies**") && all.contains("| leaky | 4300 | 14 |"),
        "{all}"
    );
    Ok(())
}

/// What a command is called does nothing to the page.
fn names_are_text(browser: &mut Browser) -> Outcome {
    let title = browser.evaluate("document.title")?;
    ensure!(
        title
            .as_str()
            .is_some_and(|title| title.starts_with("Zombies of ")),
        "{title}"
    );
    let scripts = browser.evaluate("document.scripts.length")?;
    // The data and the script.
    ensure!(scripts == 2, "there are {scripts} scripts");
    let names = browser.evaluate(
        "[...document.querySelectorAll('#commands tbody td:first-child')].map(cell => cell.innerText)",
    )?;
    let is_there = names
        .as_array()
        .is_some_and(|names| names.iter().any(|name| name == EVIL));
    ensure!(is_there, "{EVIL} is not among {names}");
    Ok(())
}

/// At this width nothing is beside the screen, and text can be told from its ground.
fn looks(browser: &mut Browser, width: u32, scheme: &str) -> Outcome {
    let size =
        json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 800 });
    browser.call("Emulation.setDeviceMetricsOverride", size)?;
    let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
    browser.call("Emulation.setEmulatedMedia", media)?;
    let beside = browser
        .evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")?;
    // A phone would make its window as wide as the page.
    let window = browser.evaluate("innerWidth")?;
    ensure!(
        beside == 0 && window == width,
        "{width} px: {beside} px of the page are beside a window of {window}"
    );
    // Of the text and of what is soft or coloured, each with the nearest ground that is not transparent.
    let colours = browser.evaluate(
        "(() => { const numbers = colour => colour.match(/[\\d.]+/g).map(Number).slice(0, 3); \
         const ground = element => { \
           for (let at = element; at; at = at.parentElement) { \
             const colour = getComputedStyle(at).backgroundColor; \
             if (!/, 0\\)$/.test(colour)) return numbers(colour); } }; \
         return ['body', '.soft', '.headline', 'nav a', '.tiles dt', '#parents th', '.copy'].map(name => { \
           const element = document.querySelector(name); \
           return [numbers(getComputedStyle(element).color), ground(element)]; }); })()",
    )?;
    let colours: Vec<[[f64; 3]; 2]> =
        serde_json::from_value(colours).map_err(|error| error.to_string())?;
    for (number, [text, ground]) in colours.into_iter().enumerate() {
        let (text, ground) = (luminance(text), luminance(ground));
        ensure!(
            (ground < 0.5) == (scheme == "dark"),
            "{scheme}: the ground's luminance is {ground}"
        );
        // WCAG 2.2: 1.4.6 for the body, 1.4.3 for the rest.
        let contrast = (text.max(ground) + 0.05) / (text.min(ground) + 0.05);
        let least = if number == 0 { 7.0 } else { 4.5 };
        let is_enough = contrast >= least;
        ensure!(
            is_enough,
            "{scheme}: the contrast of {number} is {contrast}"
        );
    }
    Ok(())
}

/// On paper tables can't be moved: all columns are on the page.
fn on_paper(browser: &mut Browser) -> Outcome {
    // A4 less its margins.
    let size = json!({ "width": 718, "height": 1000, "deviceScaleFactor": 1, "mobile": false });
    browser.call("Emulation.setDeviceMetricsOverride", size)?;
    browser.call("Emulation.setEmulatedMedia", json!({ "media": "print" }))?;
    let wide = browser.evaluate(
        "[...document.querySelectorAll('table')]\
         .filter(table => table.getBoundingClientRect().right > innerWidth).map(table => table.id)",
    )?;
    ensure!(wide == json!([]), "wider than the paper: {wide}");
    Ok(())
}

/// Relative luminance (WCAG 2.2).
fn luminance(rgb: [f64; 3]) -> f64 {
    let [red, green, blue] = rgb.map(|value| {
        let value = value / 255.0;
        if value <= 0.04045 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    });
    0.2126 * red + 0.7152 * green + 0.0722 * blue
}

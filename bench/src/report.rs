//! The tables as a page of Markdown.

use std::fmt::Write as _;

use crate::{
    measure::{CostRow, Results},
    subject,
    terminal::{COLUMNS, ROWS},
    top::TopRow,
};

pub(crate) fn markdown(results: &Results) -> String {
    let mut page = String::new();
    write_page(&mut page, results).expect("a String takes anything");
    page
}

fn write_page(page: &mut String, results: &Results) -> std::fmt::Result {
    let machine = &results.machine;
    writeln!(page, "# What tracing costs\n")?;
    writeln!(
        page,
        "Measured on {} by `cargo xtask bench` in one run: Linux {}, {} CPUs ({}{}), {} GiB. Every \
         subject takes its turn in each of {} rounds; figures are medians.\n",
        machine.date,
        machine.kernel,
        machine.cpus,
        machine.cpu,
        if machine.virtual_machine {
            ", in a virtual machine"
        } else {
            ""
        },
        machine.memory_gib,
        results.rounds,
    )?;
    for reason in &results.skipped {
        writeln!(page, "Not measured: {reason}.\n")?;
    }
    cost(page, results)?;
    programs(page, results)?;
    syscalls(page, results)?;
    loads(page, results)?;
    scale(page, results)?;
    if let Some(sustained) = &results.sustained {
        writeln!(
            page,
            "## At 30,000 processes a second\n\n\
             For {} s, vfork by 2 workers, `--json` to a file: {:.0} a second, {} processes, {} \
             listed, {} lost; {:.0} ns of CPU time for each, resident memory {:.1} MiB at the end.\n",
            sustained.seconds,
            sustained.per_second,
            sustained.processes,
            sustained.seen,
            sustained.lost,
            sustained.user_ns,
            sustained.rss_mib,
        )?;
    }
    top(page, results)?;
    if let Some(attach) = &results.attach {
        writeln!(
            page,
            "## From exec to `attached`\n\n\
             {:.0} ms at the median, {:.0} ms at most.\n",
            attach.median_ms, attach.max_ms,
        )?;
    }
    Ok(())
}

fn cost(page: &mut String, results: &Results) -> std::fmt::Result {
    if results.cost.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "## A loop of fork, exit and wait\n\n\
         {} processes a turn, output to a file. *In kernel* is the run time of the BPF programs for \
         each process by the kernel's statistics, with the loop alone on one CPU at real-time \
         priority; *cycle* the time of the loop as a ratio to the untraced turn of the same round \
         (anywhere, and without the statistics); *tracer* the CPU time of the tracer itself for each \
         process.\n\n\
         | Tracer | in kernel, ns | cycle | tracer, ns | RSS, MiB | peak RSS, MiB | seen |\n\
         |---|---:|---:|---:|---:|---:|---:|",
        results.processes
    )?;
    for row in &results.cost {
        writeln!(
            page,
            "| {} | {} | {:.3} | {} | {} | {} | {} |",
            row.name,
            number(row.kernel_ns, 0),
            row.cycle_ratio,
            number(row.user_ns, 0),
            number(row.rss_mib, 1),
            number(row.peak_rss_mib, 1),
            seen(row.seen, row.expected),
        )?;
    }
    for line in budget(&results.cost) {
        writeln!(page, "\n{line}")?;
    }
    writeln!(page)
}

/// What every record costs, as ratios to what the budget is about. A ratio is of figures of the same run.
fn budget(rows: &[CostRow]) -> Vec<String> {
    /// The limit, as a multiple of the floor.
    const OF_FLOOR: f64 = 2.3;
    /// The limit, as a multiple of the histogram of two hooks.
    const OF_HISTOGRAM: f64 = 1.3;
    let row = |name: &str| rows.iter().find(|row| row.name == name);
    let kernel_ns = |name: &str| row(name)?.kernel_ns;
    let Some((row, ours)) = row(subject::JSON).and_then(|row| Some((row, row.kernel_ns?))) else {
        return Vec::new();
    };
    // What is lost for want of room costs less.
    if let Some(seen) = row.seen.filter(|seen| *seen < row.expected) {
        return vec![format!(
            "{} saw {seen} of {} processes, so its cost is not compared: run this again on a machine \
             that is otherwise idle.",
            row.name, row.expected
        )];
    }
    [
        (subject::FLOOR, OF_FLOOR),
        (subject::HISTOGRAM, OF_HISTOGRAM),
    ]
    .into_iter()
    .filter_map(|(name, limit)| {
        let ratio = ours / kernel_ns(name)?;
        Some(format!(
            "{} costs {ratio:.2} times what \"{name}\" does; the budget is {limit}.",
            subject::JSON
        ))
    })
    .collect()
}

fn programs(page: &mut String, results: &Results) -> std::fmt::Result {
    if results.programs.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "## Our programs\n\n\
         | Options | Program | runs | ns |\n\
         |---|---|---:|---:|"
    )?;
    for row in &results.programs {
        writeln!(
            page,
            "| {} | {} | {:.2} | {:.0} |",
            row.options, row.program, row.runs_per_process, row.ns_per_process
        )?;
    }
    writeln!(page, "\nBoth for each process.\n")
}

fn syscalls(page: &mut String, results: &Results) -> std::fmt::Result {
    if results.syscalls.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "## A system call that has nothing to do with processes\n\n\
         A loop of getppid(2).\n\n\
         | Tracer | ns a call |\n\
         |---|---:|"
    )?;
    for row in &results.syscalls {
        writeln!(page, "| {} | {:.0} |", row.name, row.ns)?;
    }
    writeln!(page)
}

fn loads(page: &mut String, results: &Results) -> std::fmt::Result {
    if results.loads.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "## Other loads\n\n\
         | Load | a second, untraced | Tracer | in kernel, ns | cycle | seen |\n\
         |---|---:|---|---:|---:|---:|"
    )?;
    for row in &results.loads {
        writeln!(
            page,
            "| {} | {:.0} | {} | {:.0} | {:.3} | {} |",
            row.load,
            row.untraced_per_second,
            row.name,
            row.kernel_ns,
            row.cycle_ratio,
            seen(row.seen, row.expected),
        )?;
    }
    writeln!(page)
}

fn scale(page: &mut String, results: &Results) -> std::fmt::Result {
    if results.scale.is_empty() {
        return Ok(());
    }
    writeln!(
        page,
        "## Beside many zombies\n\n\
         The same loop while so many zombies live on; then Ctrl-C, which lists them. *Looks* are the \
         walks over them that tell how old they are, which are no process's cost: their run time by the \
         same statistics, as a share of one CPU.\n\n\
         | Zombies | in kernel, ns | looks, % of a CPU | listed | from Ctrl-C to the end, ms |\n\
         |---:|---:|---:|---:|---:|"
    )?;
    for row in &results.scale {
        writeln!(
            page,
            "| {} | {:.0} | {:.2} | {} | {:.0} |",
            row.zombies, row.kernel_ns, row.looks_percent, row.listed, row.stopping_ms
        )?;
    }
    writeln!(page)
}

fn top(page: &mut String, results: &Results) -> std::fmt::Result {
    let Some(TopRow { parents, .. }) = results.top.first() else {
        return Ok(());
    };
    writeln!(
        page,
        "## The live view\n\n\
         For a minute, {parents} parents have a child about once a second each, and the scope is their tree. `top` draws on a terminal \
         of {COLUMNS}×{ROWS}; `-s` only counts, so the difference is the screen. *CPU* is the CPU time of \
         the program itself, user space and system calls, as a share of one CPU.\n\n\
         | | exits per second | CPU | bytes drawn per second | RSS, MiB |\n\
         |---|---:|---:|---:|---:|"
    )?;
    for row in &results.top {
        writeln!(
            page,
            "| {} | {:.0} | {:.2} % | {} | {:.1} |",
            row.name,
            row.per_second,
            row.cpu_percent,
            number(row.drawn_per_second, 0),
            row.rss_mib,
        )?;
    }
    writeln!(page)
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".into(), |value| format!("{value:.digits$}"))
}

fn seen(seen: Option<u64>, expected: u64) -> String {
    seen.map_or_else(|| "–".into(), |seen| format!("{seen} of {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, kernel_ns: f64) -> CostRow {
        CostRow {
            name: name.to_owned(),
            kernel_ns: Some(kernel_ns),
            cycle_ratio: 1.0,
            user_ns: None,
            rss_mib: None,
            peak_rss_mib: None,
            seen: None,
            expected: 0,
        }
    }

    #[test]
    fn the_budget_is_about_ratios_within_a_run() {
        let rows = [
            row(subject::JSON, 1_365.0),
            row(subject::FLOOR, 601.0),
            row(subject::HISTOGRAM, 1_045.0),
        ];
        let lines = budget(&rows);
        assert!(lines[0].contains("costs 2.27 times"), "{lines:?}");
        assert!(lines[1].contains("costs 1.31 times"), "{lines:?}");
        // What was not measured has no ratio.
        assert_eq!(budget(&rows[..2]).len(), 1);
        assert!(budget(&rows[1..]).is_empty());
    }

    #[test]
    fn a_run_that_lost_records_is_not_compared() {
        let mut rows = [row(subject::JSON, 811.0), row(subject::FLOOR, 601.0)];
        (rows[0].seen, rows[0].expected) = (Some(6_485), 20_000);
        let lines = budget(&rows);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].contains("saw 6485 of 20000"), "{lines:?}");
    }
}

//! What parents did instead of reaping: for each, the places where most zombie time went.

use super::{Look, flow::hanging, parent};
use crate::{
    aggregate::{
        Summary, WhatParentsDid,
        doing::{CodePlace, ParentDid, places, share},
    },
    model::StackTotals,
    text::{
        escape::{cut, escape, width},
        human, lifetime, style,
        style::paint,
    },
};

/// This many parents have places, and this many places each.
const PARENTS: usize = 5;
const PLACES: usize = 5;
/// A place has this many callers.
const CALLERS: usize = 4;
/// Names are cut to this many columns: those of templates have no limit.
const LONGEST_NAME: usize = 60;
const LONGEST_SOURCE: usize = 30;

/// The section, without lines wider than `look.width`; nothing if no samples were asked for.
pub(super) fn section(
    summary: &Summary,
    did: Option<&WhatParentsDid>,
    most_parents: usize,
    look: Look,
) -> String {
    let parents = did.map_or_else(Vec::new, WhatParentsDid::parents);
    if parents.is_empty() && summary.stacks.is_none() {
        return String::new();
    }
    let columns = look.width.unwrap_or(usize::MAX);
    let title = "what parents did instead of reaping";
    let mut text = paint(&cut(title, columns), style::HEADING, look.color) + "\n";
    let shown = &parents[..parents.len().min(most_parents).min(PARENTS)];
    for did in shown {
        text += &one(summary, did, columns);
    }
    match parents.len() - shown.len() {
        0 => {}
        1 => text += "  and 1 more parent\n",
        more => text += &format!("  and {more} more parents\n"),
    }
    if let Some(totals) = &summary.stacks {
        let words = coverage(totals);
        let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
        text += &hanging(&words, " ", 2, 4, columns);
    }
    text
}

fn one(summary: &Summary, did: &ParentDid<'_>, columns: usize) -> String {
    let (ppid, comm) = &did.parent;
    let mut rows = summary.by_parent.iter();
    let row = rows.find(|row| (row.ppid, row.comm) == did.parent);
    let cmdline = row.and_then(|row| row.cmdline.as_deref());
    let name = parent::name(cmdline, comm.as_ref());
    let pid = ppid.map_or_else(String::new, |pid| format!(" ({pid})"));
    let rest = format!("{pid}: {}", human(did.weight.zombie_ns));
    let room = columns.saturating_sub(2 + width(&rest)).min(LONGEST_NAME);
    let mut text = format!("  {}{rest}\n", cut(&name, room));
    let all = places(did);
    for place in all.iter().take(PLACES) {
        let share = share(place.weight.zombie_ns, did.weight.zombie_ns);
        let items = items(&format!("{share:>4} %"), place);
        text += &hanging(&items, " ", 2, 10, columns);
    }
    if let Some(rest) = all.get(PLACES..).filter(|rest| !rest.is_empty()) {
        let time = rest.iter().map(|place| place.weight.zombie_ns);
        let share = share(time.fold(0, u64::saturating_add), did.weight.zombie_ns);
        let places = match rest.len() {
            1 => "1 other place".to_owned(),
            count => format!("{count} other places"),
        };
        text += &format!("  {share:>4} %  {places}\n");
    }
    text
}

/// `49 %  write_journal (sup.c:14), blocked in fsync ← flush_state ← run_job`, in pieces between which a
/// line can end.
fn items(share: &str, place: &CodePlace<'_>) -> Vec<String> {
    let name = |text: &str| cut(&escape(text), LONGEST_NAME).into_owned();
    let source = place.source().map_or_else(String::new, |source| {
        format!(" ({})", cut(&escape(&source), LONGEST_SOURCE))
    });
    let function = name(place.function());
    let mut items = vec![format!("{share}  {function}{source},")];
    items.extend(name(&place.action()).split(' ').map(str::to_owned));
    let (callers, more) = place.callers(CALLERS);
    items.extend(callers.iter().map(|caller| format!("← {}", name(caller))));
    if more {
        items.push("← …".to_owned());
    }
    items
}

/// How far the samples can be relied on.
pub(crate) fn coverage(totals: &StackTotals) -> String {
    let after = lifetime::round(totals.after_ns);
    let tried = [totals.samples, totals.moved, totals.failed];
    if tried == [0; 3] {
        return match totals.due_ns {
            0 => format!("no samples: no zombie was older than {after}"),
            _ => "no samples: no parent could be sampled".to_owned(),
        };
    }
    let counted = |count: u64, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        count => format!("{count} {many}"),
    };
    let mut text = counted(totals.samples, "sample stands", "samples stand");
    text += &format!(
        " for {} % of the zombie time beyond the age of {after}",
        share(totals.covered_ns, totals.due_ns)
    );
    if totals.moved > 0 {
        text += "; ";
        text += &counted(totals.moved, "more was discarded", "more were discarded");
        text += ", because the thread moved";
    }
    if totals.failed > 0 {
        text += &format!("; {} more had no stack", totals.failed);
    }
    if totals.truncated > 0 {
        text += "; ";
        text += &counted(
            totals.truncated,
            "stack is truncated",
            "stacks are truncated",
        );
        text += ": the outermost callers are missing";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: StackTotals = StackTotals {
        hz: 19,
        after_ns: 10_000_000,
        samples: 104,
        moved: 0,
        failed: 0,
        truncated: 0,
        covered_ns: 970,
        due_ns: 1000,
    };

    #[test]
    fn coverage_says_what_is_missing() {
        assert_eq!(
            coverage(&WELL),
            "104 samples stand for 97 % of the zombie time beyond the age of 10 ms"
        );
        let ill = StackTotals {
            samples: 1,
            moved: 1,
            failed: 2,
            truncated: 1,
            ..WELL
        };
        assert_eq!(
            coverage(&ill),
            "1 sample stands for 97 % of the zombie time beyond the age of 10 ms; 1 more was \
             discarded, because the thread moved; 2 more had no stack; 1 stack is truncated: the \
             outermost callers are missing"
        );
    }

    #[test]
    fn no_samples_have_a_reason() {
        let none = StackTotals {
            samples: 0,
            covered_ns: 0,
            ..WELL
        };
        assert_eq!(coverage(&none), "no samples: no parent could be sampled");
        let young = StackTotals { due_ns: 0, ..none };
        assert_eq!(
            coverage(&young),
            "no samples: no zombie was older than 10 ms"
        );
    }

    #[test]
    fn a_run_without_samples_has_no_section() {
        let summary = crate::aggregate::Aggregate::default().summary(
            crate::model::Counts::default(),
            jiff::Timestamp::UNIX_EPOCH,
            std::time::Duration::from_secs(1),
        );
        let look = Look::default();
        assert_eq!(section(&summary, None, 5, look), "");
        let asked = Summary {
            stacks: Some(StackTotals { due_ns: 0, ..WELL }),
            ..summary
        };
        assert!(section(&asked, None, 5, look).starts_with("what parents did instead"));
    }
}

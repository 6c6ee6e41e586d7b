//! Provisioning activity over time: what was accepted and what was refused, each as a chart of its own.

use askama::Template;
use scim_engine::env::Timestamp;
use scim_engine::store::{Fault, Need};
use serde_json::Value;

use crate::api::{SCIM2, escape};
use crate::page::Visit;
use crate::shown::{Shown, list, text};

/// Connections whose log is read, those that synced last.
const CHARTED: usize = 50;
/// Entries read of each connection's log: the most that one page of it has.
const ENTRIES: usize = 1000;
const HOUR: u64 = 3_600_000;
/// Height of the tallest bar and distance of bars, in units of the picture.
const HEIGHT: u64 = 100;
const STEP: u64 = 10;

/// A period one can choose.
struct Period {
    key: &'static str,
    name: &'static str,
    title: &'static str,
    start: &'static str,
    half: &'static str,
    bars: u64,
    length: u64,
}

static PERIODS: [Period; 1] = [Period {
    key: "24h",
    name: "24 hours",
    title: "last 24 hours",
    start: "24 hours ago",
    half: "12 hours ago",
    bars: 24,
    length: HOUR,
}];

struct Bar {
    x: u64,
    height: u64,
    count: u64,
    time: String,
}

struct Chart {
    key: &'static str,
    name: &'static str,
    sum: u64,
    top: u64,
    middle: u64,
    width: u64,
    bars: Vec<Bar>,
}

#[derive(Template)]
#[template(path = "activity.html")]
struct Activity {
    ranges: &'static [Period],
    shown: &'static Period,
    charts: [Chart; 2],
    note: String,
}

/// The charts of these connections, as HTML.
///
/// # Errors
/// What has to be loaded first.
pub fn of(visit: &Visit<'_>, connections: &[Shown]) -> Result<String, Fault> {
    let [first, ..] = &PERIODS;
    let wanted = visit.query("range");
    let shown = PERIODS.iter().find(|period| period.key == wanted).unwrap_or(first);
    let mut accepted = vec![0; usize::try_from(shown.bars).unwrap_or_default()];
    let mut refused = accepted.clone();
    let mut busy = false;
    let mut need = Need::default();
    let now = visit.env.now.0 / shown.length;
    for connection in connections.iter().take(CHARTED) {
        let target = format!("{SCIM2}/{}/logs?limit={ENTRIES}", escape(&connection.id));
        let Some(found) = need.gather(visit.api.get(&target))? else { continue };
        let ago = |entry: &Value| {
            let time = Timestamp::parse(&text(entry, "time"))?;
            usize::try_from(now.saturating_sub(time.0 / shown.length)).ok()
        };
        let entries = list(&found, "items");
        let more = !text(&found, "nextCursor").is_empty();
        busy |= more && entries.last().and_then(ago).is_some_and(|ago| ago < accepted.len());
        for entry in entries {
            let Some(ago) = ago(entry) else { continue };
            let failed = entry.get("status").and_then(Value::as_u64).is_some_and(|status| status >= 400);
            if let Some(count) = (if failed { &mut refused } else { &mut accepted }).get_mut(ago) {
                *count += 1;
            }
        }
    }
    need.settle()?;
    let charts = [draw("good", "Accepted", &accepted, shown, now), draw("bad", "Refused", &refused, shown, now)];
    Activity { ranges: &PERIODS, shown, charts, note: note(connections.len(), busy) }
        .render()
        .map_err(|_| Fault::Damaged("a chart".into()))
}

/// What the charts leave out.
fn note(connections: usize, busy: bool) -> String {
    let mut note = String::new();
    if connections > CHARTED {
        note.push_str(&format!("Counted are the {CHARTED} connections that synced last. "));
    }
    if busy {
        note.push_str(&format!("A connection counts with its latest {ENTRIES} requests."));
    }
    note
}

/// A chart of counts, the latest first.
fn draw(key: &'static str, name: &'static str, counts: &[u64], shown: &Period, now: u64) -> Chart {
    let top = round(counts.iter().copied().max().unwrap_or_default());
    let bar = |(ago, count): (u64, &u64)| Bar {
        x: shown.bars.saturating_sub(ago + 1) * STEP,
        // What is there shows, however little it is beside the rest.
        height: if *count == 0 { 0 } else { (count * HEIGHT / top).max(2) },
        count: *count,
        time: Timestamp(now.saturating_sub(ago) * shown.length).rfc3339(),
    };
    let mut bars: Vec<_> = (0..).zip(counts).map(bar).collect();
    bars.reverse();
    Chart { key, name, sum: counts.iter().sum(), top, middle: top / 2, width: shown.bars * STEP, bars }
}

/// The end of an axis: a round number with a whole half.
fn round(most: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        if let Some(top) = [2, 4, 10].into_iter().map(|step: u64| step.saturating_mul(power)).find(|top| *top >= most) {
            return top;
        }
        power = power.saturating_mul(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number_with_a_whole_half() {
        for (most, top) in [(0, 2), (2, 2), (3, 4), (5, 10), (11, 20), (21, 40), (41, 100), (101, 200)] {
            assert_eq!(round(most), top, "{most}");
        }
    }

    #[test]
    fn the_latest_bar_stands_at_the_right_and_the_smallest_still_shows() {
        let [period] = &PERIODS;
        let mut counts = vec![0; 24];
        (counts[0], counts[23]) = (1000, 1);
        let chart = draw("good", "Accepted", &counts, period, 1000);
        assert_eq!((chart.bars.len(), chart.sum, chart.width), (24, 1001, 240));
        assert_eq!((chart.bars[0].x, chart.bars[0].height, chart.bars[0].count), (0, 2, 1));
        assert_eq!((chart.bars[23].x, chart.bars[23].height, chart.bars[23].count), (230, 100, 1000));
    }
}

//! Provisioning activity over time: what was accepted and what was refused, each as a chart of its own.

use askama::Template;
use scim_engine::env::Timestamp;
use scim_engine::log::tally::HOUR;
use scim_engine::store::{Fault, Need};

use crate::filters;
use crate::page::Visit;
use crate::shown::Shown;

/// Connections that are counted together, those that synced last.
const CHARTED: usize = 100;
/// Height of the tallest bar and distance of bars, in units of the picture.
const HEIGHT: u64 = 100;
const STEP: u64 = 10;

/// A period one can choose. What is counted is counted by the hour.
struct Period {
    key: &'static str,
    name: &'static str,
    start: &'static str,
    half: &'static str,
    bars: u64,
    /// Hours of a bar.
    hours: u64,
}

static PERIODS: [Period; 3] = [
    Period { key: "24h", name: "24 hours", start: "24 hours ago", half: "12 hours ago", bars: 24, hours: 1 },
    Period { key: "7d", name: "7 days", start: "7 days ago", half: "3½ days ago", bars: 28, hours: 6 },
    Period { key: "30d", name: "30 days", start: "30 days ago", half: "15 days ago", bars: 30, hours: 24 },
];

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
    /// How many connections are counted, when that is not all.
    charted: Option<usize>,
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
    let mut need = Need::default();
    let now = visit.env.now.0 / HOUR / shown.hours;
    for connection in connections.iter().take(CHARTED) {
        let hours = need.gather(visit.api.activity(&connection.id, shown.bars * shown.hours))?;
        for hour in hours.unwrap_or_default() {
            let ago = usize::try_from(now.saturating_sub(hour.hour / shown.hours)).unwrap_or(usize::MAX);
            if let (Some(good), Some(bad)) = (accepted.get_mut(ago), refused.get_mut(ago)) {
                *good += hour.accepted;
                *bad += hour.refused;
            }
        }
    }
    need.settle()?;
    let charts = [draw("good", "Accepted", &accepted, shown, now), draw("bad", "Refused", &refused, shown, now)];
    let charted = Some(CHARTED).filter(|charted| *charted < connections.len());
    Activity { ranges: &PERIODS, shown, charts, charted }.render().map_err(|_| Fault::Damaged("a chart".into()))
}

/// A chart of counts, the latest first.
fn draw(key: &'static str, name: &'static str, counts: &[u64], shown: &Period, now: u64) -> Chart {
    let top = round(counts.iter().copied().max().unwrap_or_default());
    let bar = |(ago, count): (u64, &u64)| Bar {
        x: shown.bars.saturating_sub(ago + 1) * STEP,
        // What is there shows, however little it is beside the rest.
        height: if *count == 0 { 0 } else { (count * HEIGHT / top).max(2) },
        count: *count,
        time: Timestamp(now.saturating_sub(ago) * shown.hours * HOUR).rfc3339(),
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
    fn a_period_is_what_its_name_says() {
        let hours: Vec<_> = PERIODS.iter().map(|period| period.bars * period.hours).collect();
        assert_eq!(hours, [24, 7 * 24, 30 * 24]);
    }

    #[test]
    fn the_latest_bar_stands_at_the_right_and_the_smallest_still_shows() {
        let [period, ..] = &PERIODS;
        let mut counts = vec![0; 24];
        (counts[0], counts[23]) = (1000, 1);
        let chart = draw("good", "Accepted", &counts, period, 1000);
        assert_eq!((chart.bars.len(), chart.sum, chart.width), (24, 1001, 240));
        assert_eq!((chart.bars[0].x, chart.bars[0].height, chart.bars[0].count), (0, 2, 1));
        assert_eq!((chart.bars[23].x, chart.bars[23].height, chart.bars[23].count), (230, 100, 1000));
    }
}

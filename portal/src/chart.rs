//! Provisioning activity of the last day, hour by hour.

use scim_engine::env::Timestamp;
use scim_engine::store::{Fault, Need};
use serde_json::Value;

use crate::api::{SCIM2, escape};
use crate::page::Visit;
use crate::shown::{list, text};

/// Hours shown.
const HOURS: usize = 24;
/// Entries read of each connection's log.
const ENTRIES: usize = 500;
const HOUR: u64 = 3_600_000;
/// Height of the tallest bar, and the distance of bars, in units of the picture.
const HEIGHT: u64 = 120;
const STEP: u64 = 30;

/// One hour.
#[derive(Clone, Debug, Default)]
pub struct Bar {
    pub x: u64,
    pub good: u64,
    pub bad: u64,
    pub good_y: u64,
    pub good_height: u64,
    pub bad_y: u64,
    pub bad_height: u64,
    pub time: String,
}

/// The picture and its sums.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    pub bars: Vec<Bar>,
    pub good: u64,
    pub bad: u64,
}

/// Counts what the logs of these connections say.
pub fn of<'i>(visit: &Visit<'_>, ids: impl Iterator<Item = &'i str>) -> Result<Chart, Fault> {
    let mut hours = [(0, 0); HOURS];
    let mut need = Need::default();
    let this_hour = visit.env.now.0 / HOUR;
    for id in ids {
        let target = format!("{SCIM2}/{}/logs?limit={ENTRIES}", escape(id));
        let Some(found) = need.gather(visit.api.get(&target))? else { continue };
        for entry in list(&found, "items") {
            let Some(time) = Timestamp::parse(&text(entry, "time")) else { continue };
            let ago = usize::try_from(this_hour.saturating_sub(time.0 / HOUR)).unwrap_or(HOURS);
            let Some((good, bad)) = hours.get_mut(ago) else { continue };
            let failed = entry.get("status").and_then(Value::as_u64).is_some_and(|status| status >= 400);
            *(if failed { bad } else { good }) += 1;
        }
    }
    need.settle()?;
    Ok(draw(&hours, this_hour))
}

fn draw(hours: &[(u64, u64)], this_hour: u64) -> Chart {
    let most = hours.iter().map(|(good, bad)| good + bad).max().unwrap_or_default().max(1);
    let bar = |(place, (ago, (good, bad))): (usize, (usize, &(u64, u64)))| {
        let (good_height, bad_height) = (good * HEIGHT / most, bad * HEIGHT / most);
        let (place, ago) = (u64::try_from(place).unwrap_or_default(), u64::try_from(ago).unwrap_or_default());
        Bar {
            x: place * STEP,
            good: *good,
            bad: *bad,
            good_height,
            bad_height,
            good_y: HEIGHT - good_height,
            bad_y: HEIGHT.saturating_sub(good_height + bad_height),
            time: Timestamp(this_hour.saturating_sub(ago) * HOUR).rfc3339(),
        }
    };
    let bars = hours.iter().enumerate().rev().enumerate().map(bar).collect();
    let (good, bad) = hours.iter().fold((0, 0), |(g, b), (good, bad)| (g + good, b + bad));
    Chart { bars, good, bad }
}

//! The table: minimum and median of each case, and its ratios to the baselines of the same run.

use crate::load::{Case, Sample};

/// Prints every case; the first is the baseline of CPU time.
pub fn print(cases: &[Case], samples: &[Vec<Sample>]) {
    let rows: Vec<Row> = cases.iter().zip(samples).map(|(case, samples)| Row::of(case, samples)).collect();
    let Some(direct) = rows.first() else { return };
    println!(
        "{:39} {:>15} {:>8} {:>15} {:>17} {:>9} {:>9}",
        "case", "Envoy us/req", "x direct", "origin us/req", "req/s", "x proxy", "CPU x"
    );
    for row in &rows {
        let proxied = rows.iter().find(|other| Some(other.name) == row.proxied);
        let against = |ratio: fn(&Row, &Row) -> f64| {
            proxied.map_or_else(|| "-".to_owned(), |proxied| format!("{:.1}x", ratio(row, proxied)))
        };
        println!(
            "{:39} {:>15} {:>7.2}x {:>15} {:>17} {:>9} {:>9}",
            row.name,
            row.envoy.show(),
            row.envoy.least / direct.envoy.least,
            row.origin.show(),
            format!("{:.0} / {:.0}", row.rate.most, row.rate.median),
            against(|row, proxied| row.rate.median / proxied.rate.median),
            against(|row, proxied| proxied.whole.least / row.whole.least),
        );
    }
    println!(
        "\nCPU: minimum / median of the rounds; x direct: ratio of minima. req/s: maximum / median; x proxy: how many\n\
         times the rate (of medians), and CPU x: how many times less CPU of Envoy and origin together (of minima)."
    );
}

struct Row {
    name: &'static str,
    proxied: Option<&'static str>,
    envoy: Spread,
    origin: Spread,
    whole: Spread,
    rate: Spread,
}

struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Row {
    fn of(case: &Case, samples: &[Sample]) -> Self {
        let spread = |figure: fn(&Sample) -> f64| Spread::of(samples.iter().map(figure).collect());
        Self {
            name: case.name,
            proxied: case.proxied,
            envoy: spread(|sample| sample.envoy),
            origin: spread(|sample| sample.origin),
            whole: spread(|sample| sample.envoy + sample.origin),
            rate: spread(|sample| sample.rate),
        }
    }
}

impl Spread {
    fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
        Self { least: at(0), median: at(figures.len() / 2), most: at(figures.len().saturating_sub(1)) }
    }

    fn show(&self) -> String {
        format!("{:.1} / {:.1}", self.least, self.median)
    }
}

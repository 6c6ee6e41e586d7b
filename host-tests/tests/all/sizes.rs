//! What ships stays small.

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use scim_host_tests::place;

use crate::shared::trial;

const KB: u64 = 1000;

/// One trial for each guest.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("sizes::the_filter_is_under_700_kb", || check(place::plugin(), 700 * KB)),
        // It carries the engine's writes, and runs where nobody minds.
        trial("sizes::the_filter_for_local_mode_is_under_1000_kb", || check(place::local_plugin(), 1000 * KB)),
        trial("sizes::the_directory_component_is_under_1500_kb", || {
            check(place::component("scim_spin_directory"), 1500 * KB)
        }),
        trial("sizes::the_connections_component_is_under_1500_kb", || {
            check(place::component("scim_spin_connections"), 1500 * KB)
        }),
        trial("sizes::the_pages_component_is_under_1500_kb", || check(place::component("scim_spin_pages"), 1500 * KB)),
    ]
}

fn check(file: std::path::PathBuf, limit: u64) -> Result<()> {
    let size = std::fs::metadata(&file).with_context(|| format!("{} is missing", file.display()))?.len();
    ensure!(size < limit, "{} has {size} bytes, the limit is {limit}", file.display());
    Ok(())
}

//! clients suite.
use libtest_mimic::Trial;
/// None yet.
pub fn trials() -> Vec<Trial> {
    Vec::new()
}

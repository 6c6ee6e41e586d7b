//! Many reads at once: what each of them still needs is asked for together, in one round trip.

use crate::store::{Fault, Need};

/// Runs `read` on every item; when some of them need pages, the fault names the pages of all.
pub fn gather<T, R>(
    items: impl IntoIterator<Item = T>,
    mut read: impl FnMut(T) -> Result<R, Fault>,
) -> Result<Vec<R>, Fault> {
    let mut found = Vec::new();
    let mut need = Need::default();
    for item in items {
        match read(item) {
            Ok(value) => found.push(value),
            Err(Fault::Need(more)) => {
                need.heads.extend(more.heads);
                need.pages.extend(more.pages);
            }
            Err(fault) => return Err(fault),
        }
    }
    if need == Need::default() {
        return Ok(found);
    }
    need.pages.sort_unstable();
    need.pages.dedup();
    Err(Fault::Need(need))
}

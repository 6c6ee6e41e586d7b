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
        found.extend(need.gather(read(item))?);
    }
    need.settle()?;
    Ok(found)
}

/// A read. If it needs pages, those for what is sure to be read next are asked for together with them.
pub fn ahead<T, U>(read: Result<T, Fault>, next: impl FnOnce() -> Result<U, Fault>) -> Result<T, Fault> {
    if let Err(Fault::Need(need)) = &read {
        let mut need = need.clone();
        need.gather(next())?;
        need.settle()?;
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{DirectoryId, PageId};

    #[test]
    fn what_is_read_next_is_asked_for_along_and_only_when_something_is_missing() {
        let needed = |pages: &[u8]| {
            let pages = pages.iter().map(|n| (DirectoryId::environment(), PageId([*n; 18]))).collect();
            Fault::Need(Need { heads: Vec::new(), pages })
        };
        let missing = || Err::<u8, _>(needed(&[1, 2]));
        assert_eq!(ahead(missing(), || Err::<(), _>(needed(&[2, 3]))), Err(needed(&[1, 2, 3])));
        assert_eq!(ahead(missing(), || Ok(())), missing());
        assert_eq!(ahead(missing(), || Err::<(), _>(Fault::Damaged("it".into()))), Err(Fault::Damaged("it".into())));
        assert_eq!(ahead(Ok(7), || Err::<(), _>(needed(&[1]))), Ok(7));
    }
}

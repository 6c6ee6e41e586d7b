//! Pages in the table: each in parts of one size, so that the number of slots bounds the bytes.

use std::rc::Rc;

use scim_engine::store::PageId;
use scim_filter::shared::Shared;

use crate::table::{Full, NAME, Name, Room, Table};

/// Pages in shared data. The value of a part is a byte that is 1 when another part follows, and the bytes.
pub struct Pages<S> {
    table: Table<S>,
    part_bytes: usize,
}

impl<S: Shared> Pages<S> {
    /// Pages in so many slots, each for that many bytes.
    pub fn new(shared: Rc<S>, slots: u32, part_bytes: usize) -> Self {
        Self { table: Table::new(shared, slots), part_bytes: part_bytes.max(1) }
    }

    /// A page's bytes.
    pub fn get(&self, id: &PageId) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        for part in 0..=u8::MAX {
            let value = self.table.get(&name(id, part))?;
            let (more, part) = value.split_first()?;
            bytes.extend_from_slice(part);
            if *more == 0 {
                return Some(bytes);
            }
        }
        None
    }

    /// Keeps a page under an id that was never used.
    ///
    /// # Errors
    /// There is no room; parts may be left, which [`Self::remove`] removes.
    pub fn insert(&self, id: &PageId, bytes: &[u8], room: Room) -> Result<(), Full> {
        let mut parts = bytes.chunks(self.part_bytes).zip(0..).peekable();
        while let Some((part, index)) = parts.next() {
            let index = u8::try_from(index).map_err(|_| Full)?;
            let more = u8::from(parts.peek().is_some());
            self.table.insert(&name(id, index), &[&[more], part].concat(), room)?;
        }
        Ok(())
    }

    /// Removes a page.
    pub fn remove(&self, id: &PageId) {
        for part in 0..=u8::MAX {
            let removed = self.table.remove(&name(id, part));
            if removed.is_none_or(|value| value.first() == Some(&0)) {
                return;
            }
        }
    }

    /// Every part of a page that is there.
    pub fn parts(&self) -> Vec<Part> {
        self.table.names().into_iter().map(Part).collect()
    }

    /// Removes a part of a page.
    pub fn remove_part(&self, part: &Part) {
        self.table.remove(&part.0);
    }
}

/// A part of a page.
#[derive(Clone, Copy, Debug)]
pub struct Part(Name);

impl Part {
    /// The page.
    pub fn page(&self) -> Option<PageId> {
        self.0.first_chunk().copied().map(PageId)
    }
}

fn name(id: &PageId, part: u8) -> Name {
    let mut name = [part; NAME];
    name.iter_mut().zip(id.0).for_each(|(to, from)| *to = from);
    name
}

//! The key-value store of a session, in shared data. It never fails but for want of room, and always tells the truth.

use std::rc::Rc;

use scim_engine::store::{Call, DirectoryId, Reply};
use scim_filter::shared::Shared;

use crate::config::{Config, Slots};
use crate::heads::Heads;
use crate::pages::Pages;
use crate::table::Room;

/// Key of the sizes.
const SIZES: &str = "ls";

/// Heads and pages of every directory.
pub struct Store<S> {
    shared: Rc<S>,
    slots: Slots,
    /// Heads.
    pub heads: Heads<S>,
    /// Pages.
    pub pages: Pages<S>,
    /// Where pages may be put.
    room: Room,
    /// Whether a page found no room.
    is_full: bool,
}

impl<S: Shared> Store<S> {
    /// The store of an Envoy, as this configuration sees it.
    pub fn new(shared: Rc<S>, config: Rc<Config>) -> Self {
        let slots = config.slots;
        let pages = Pages::new(Rc::clone(&shared), slots.pages, config.engine.limits.page_bytes);
        let heads = Heads::new(Rc::clone(&shared), config);
        Self { shared, slots, heads, pages, room: Room::Common, is_full: false }
    }

    /// Makes sure that the sizes are those everything was put in its place by, which are those of the first configuration.
    ///
    /// # Errors
    /// One sentence that names the field that differs.
    pub fn agree_on_sizes(&self) -> Result<(), String> {
        let Slots { connections, pages, .. } = self.slots;
        let own = [connections.to_le_bytes(), pages.to_le_bytes()].concat();
        self.shared.set(SIZES, &own, None);
        match self.shared.get(SIZES) {
            Some((first, _)) if first == own => Ok(()),
            Some((first, _)) if !first.starts_with(&connections.to_le_bytes()) => {
                Err("`slots.connections`: can be changed by restarting Envoy only".to_owned())
            }
            _ => Err("`slots.pages`: can be changed by restarting Envoy only".to_owned()),
        }
    }

    /// Begins a request: where its pages may be put.
    pub fn begin(&mut self, room: Room) {
        (self.room, self.is_full) = (room, false);
    }

    /// Whether a page of the request found no room.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Answers one call.
    pub fn call(&mut self, call: Call) -> Reply {
        match call {
            Call::LoadHead(directory) => Reply::Head(self.head(&directory)),
            Call::LoadHeads(directories) => Reply::Heads(directories.iter().map(|one| self.head(one)).collect()),
            Call::LoadPages(pages) => Reply::Pages(pages.iter().map(|(_, id)| self.pages.get(id)).collect()),
            Call::StorePages(_, pages) => {
                let stored = pages.iter().try_for_each(|(id, bytes)| self.pages.insert(id, bytes, self.room));
                if stored.is_ok() {
                    return Reply::Done;
                }
                pages.iter().for_each(|(id, _)| self.pages.remove(id));
                self.is_full = true;
                Reply::Failed("there is no room for a page".to_owned())
            }
            Call::SwapHead { directory, expected, head } => {
                Reply::Swapped(self.heads.swap(&directory, &expected, &head))
            }
            Call::DeletePages(_, pages) => {
                pages.iter().for_each(|id| self.pages.remove(id));
                Reply::Done
            }
            // Directories are made by configuration alone.
            Call::Elect(_) | Call::CreateHead { .. } => Reply::Failed("no request makes a directory".to_owned()),
        }
    }

    fn head(&mut self, directory: &DirectoryId) -> Option<Vec<u8>> {
        self.heads.load(directory).map(<[u8]>::to_vec)
    }
}

//! What is asked of a key-value store, and what it says.

use std::sync::Arc;

use super::{DirectoryId, PageId};

/// A call to the key-value store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Read the head; answered by [`Reply::Head`]. It must be the latest value.
    LoadHead(DirectoryId),
    /// Read the heads of several directories; answered by [`Reply::Heads`], in the order asked. Each must be the latest
    /// value.
    LoadHeads(Vec<DirectoryId>),
    /// Read pages; answered by [`Reply::Pages`], in the order asked.
    LoadPages(Vec<(DirectoryId, PageId)>),
    /// Write pages, durably; answered by [`Reply::Done`].
    StorePages(DirectoryId, Vec<(PageId, Vec<u8>)>),
    /// Increment the directory's election counter atomically; answered by [`Reply::Elected`].
    Elect(DirectoryId),
    /// Write a head that has no rival, durably; answered by [`Reply::Done`].
    CreateHead {
        /// The directory.
        directory: DirectoryId,
        /// The head.
        head: Vec<u8>,
    },
    /// Write the head if it is still `expected`, which is what this session's last [`Call::LoadHead`] of that directory
    /// gave; answered by [`Reply::Swapped`], or by [`Reply::Head`] if the host has found another one there.
    SwapHead {
        /// The directory.
        directory: DirectoryId,
        /// The head it has to replace.
        expected: Arc<[u8]>,
        /// The new head.
        head: Vec<u8>,
    },
    /// Delete pages nobody refers to; answered by [`Reply::Done`]. Failing does no harm.
    DeletePages(DirectoryId, Vec<PageId>),
}

/// What came of a [`Call`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The head, if there is one.
    Head(Option<Vec<u8>>),
    /// The heads, `None` for directories that do not exist.
    Heads(Vec<Option<Vec<u8>>>),
    /// The pages, `None` for those that are gone.
    Pages(Vec<Option<Vec<u8>>>),
    /// It is done.
    Done,
    /// Whether the store says the swap happened; it need not be true.
    Swapped(bool),
    /// The counter after the increment.
    Elected(u64),
    /// The call failed, or its reply was lost: it may have happened or not. The text is for the log.
    Failed(String),
}

impl Reply {
    /// What is wrong with a reply nobody expected, for the log.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Failed(reason) => reason,
            Self::Head(_) | Self::Heads(_) | Self::Pages(_) | Self::Done | Self::Swapped(_) | Self::Elected(_) => {
                "unexpected reply"
            }
        }
    }
}

/// Key of a directory's head.
pub fn head_key(directory: &DirectoryId) -> String {
    format!("head:{}", directory.as_str())
}

/// Key of a page; at most 96 bytes.
pub fn page_key(directory: &DirectoryId, page: &PageId) -> String {
    format!("page:{}:{}", directory.as_str(), page.text())
}

/// Key of a directory's election counter.
pub fn elect_key(directory: &DirectoryId) -> String {
    format!("elect:{}", directory.as_str())
}

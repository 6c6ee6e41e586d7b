//! How one request of an instance waits for another.
//!
//! The SDK's runtime can not wake a task of the component model out of another one. A stream between the two can: its
//! reader waits as for any event of the host, and is told when its writer is dropped. Nothing is ever written.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use spin_sdk::wasip3::wit_bindgen::StreamWriter;
use spin_sdk::wasip3::wit_stream;

thread_local! {
    static HUNG: RefCell<BTreeMap<u64, StreamWriter<u8>>> = const { RefCell::new(BTreeMap::new()) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Rings when it is told to, and when nobody is left to do so.
struct Bell(u64);

/// Waits until `ready` is; whoever it gives its waker to may wake it from any request.
pub async fn until(mut ready: impl FnMut(&mut Context<'_>) -> Poll<()>) {
    loop {
        let (writer, mut reader) = wit_stream::new();
        let waker = hang(writer);
        if ready(&mut Context::from_waker(&waker)).is_ready() {
            return;
        }
        drop(waker);
        let _rung = reader.read(Vec::with_capacity(1)).await;
    }
}

fn hang(writer: StreamWriter<u8>) -> Waker {
    let number = COUNT.get();
    COUNT.set(number.wrapping_add(1));
    HUNG.with_borrow_mut(|hung| hung.insert(number, writer));
    Arc::new(Bell(number)).into()
}

impl Bell {
    fn ring(&self) {
        let writer = HUNG.with_borrow_mut(|hung| hung.remove(&self.0));
        drop(writer);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.ring();
    }
}

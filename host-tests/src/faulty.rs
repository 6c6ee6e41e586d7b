//! Something that goes wrong between a proxy and its origin, when a test says so.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use anyhow::Result;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Connections are closed as soon as they are used.
    Down,
    /// Requests reach the origin, and answers wait until this is over.
    Slow,
    /// Requests reach the origin, and nothing comes back but the end of the connection.
    Lost,
    /// Answers break off in the middle.
    Cut,
    /// What comes back is not HTTP.
    Noise,
    /// A page of some other server comes back, with status 200, and the origin hears nothing.
    Page,
    /// The same with status 404.
    Missing,
}

/// A relay in front of an origin; closed at the end of its scope.
#[derive(Debug)]
pub struct Faulty {
    /// Where it listens.
    pub address: String,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    origin: String,
    fault: Mutex<Fault>,
    changed: Condvar,
    held: AtomicUsize,
    most_held: AtomicUsize,
    ended: AtomicBool,
}

impl Faulty {
    /// A relay to the origin at that address, with nothing wrong.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(origin: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared {
            origin: origin.to_owned(),
            fault: Mutex::new(Fault::None),
            changed: Condvar::new(),
            held: AtomicUsize::new(0),
            most_held: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
        });
        let served = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if served.ended.load(Ordering::Relaxed) {
                    return;
                }
                served.serve(client);
            }
        });
        Ok(Self { address, shared })
    }

    /// From now on this goes wrong.
    pub fn set(&self, fault: Fault) {
        *lock(&self.shared.fault) = fault;
        self.shared.changed.notify_all();
    }

    /// The most answers that were ever held back at once.
    pub fn most_held(&self) -> usize {
        self.shared.most_held.load(Ordering::Relaxed)
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.set(Fault::Down);
        self.shared.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts, so that it sees the end.
        let _ = TcpStream::connect(&self.address);
    }
}

impl Shared {
    fn fault(&self) -> Fault {
        *lock(&self.fault)
    }

    /// Two threads for a connection, one for each direction; each closes both when it ends.
    fn serve(self: &Arc<Self>, client: TcpStream) {
        let Ok(origin) = TcpStream::connect(&self.origin) else { return };
        let clones = (client.try_clone(), origin.try_clone(), client.set_nodelay(true), origin.set_nodelay(true));
        let (Ok(client_back), Ok(origin_back), ..) = clones else { return };
        let (there, back) = (Arc::clone(self), Arc::clone(self));
        std::thread::spawn(move || pump(client, origin, |bytes, client, origin| there.request(bytes, client, origin)));
        std::thread::spawn(move || pump(origin_back, client_back, |bytes, _, client| back.response(bytes, client)));
    }

    /// Passes on part of a request; false when the connection is over.
    fn request(&self, bytes: &[u8], client: &mut TcpStream, origin: &mut TcpStream) -> bool {
        let page = |status: &str| {
            format!(
                "HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: 15\r\nconnection: close\r\n\r\n<html>no</html>"
            )
        };
        let instead = match self.fault() {
            Fault::None | Fault::Slow | Fault::Lost | Fault::Cut => return origin.write_all(bytes).is_ok(),
            Fault::Down => return false,
            Fault::Noise => "\x16\x03\x01 noise \r\n\r\n".to_owned(),
            Fault::Page => page("200 OK"),
            Fault::Missing => page("404 Not Found"),
        };
        // Whoever asked closes the connection: closing it here could overtake the answer.
        client.write_all(instead.as_bytes()).is_ok()
    }

    /// Passes on part of an answer; false when the connection is over.
    fn response(&self, bytes: &[u8], client: &mut TcpStream) -> bool {
        if self.fault() == Fault::Slow {
            let held = self.held.fetch_add(1, Ordering::Relaxed) + 1;
            self.most_held.fetch_max(held, Ordering::Relaxed);
            let wait =
                self.changed.wait_timeout_while(lock(&self.fault), Duration::from_secs(60), |f| *f == Fault::Slow);
            drop(wait);
            self.held.fetch_sub(1, Ordering::Relaxed);
        }
        match self.fault() {
            Fault::Down | Fault::Lost => false,
            // The head is whole, as far as this origin sends it in one piece with the body.
            Fault::Cut => {
                let half = bytes.get(..bytes.len().saturating_sub(7)).unwrap_or_default();
                let _ = client.write_all(half);
                false
            }
            _ => client.write_all(bytes).is_ok(),
        }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, pass: impl Fn(&[u8], &mut TcpStream, &mut TcpStream) -> bool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(size @ 1..) = from.read(&mut buffer) {
        if !pass(buffer.get(..size).unwrap_or_default(), &mut from, &mut to) {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

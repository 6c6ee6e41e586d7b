//! The end of a connection (RFC 9112 section 9.6). A socket that is closed with bytes unread is reset, and a reset destroys
//! what the client has not read yet. So after the last answer only our side ends, and what the client still sends is taken
//! in for a while.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, Join, ReadBuf, copy, join, sink};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// How long a client may take to end its side.
const LINGER: Duration = Duration::from_secs(5);

/// What a server serves; dropped, it ends our side.
pub type Socket = Join<Reader, OwnedWriteHalf>;

/// The side that is read.
#[derive(Clone, Debug)]
pub struct Reader(Arc<Mutex<OwnedReadHalf>>);

/// The socket for a server, and what stays behind to outlast it.
pub fn socket(stream: TcpStream) -> (Socket, Reader) {
    let (read, write) = stream.into_split();
    let reader = Reader(Arc::new(Mutex::new(read)));
    (join(reader.clone(), write), reader)
}

impl Reader {
    /// Takes in what still comes, once the server is done, until the client ends too or has had its time.
    pub async fn linger(mut self) {
        // Either way nobody is left to tell.
        let _ended = tokio::time::timeout(LINGER, copy(&mut self, &mut sink())).await;
    }
}

impl AsyncRead for Reader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Pin::new(&mut *read).poll_read(cx, buffer)
    }
}

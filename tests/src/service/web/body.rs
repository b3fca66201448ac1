//! Bodies of answers: whole, or line by line, or cut off in the middle.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use tokio::sync::mpsc;

use super::Entry;

/// The connection ends here, in mid-answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut off on purpose")
    }
}

impl std::error::Error for Cut {}

pub type Sender = mpsc::Sender<Result<Bytes, Cut>>;

/// The body of an answer; counts what is sent.
#[derive(Debug)]
pub struct Body {
    kind: Kind,
    entry: Arc<Entry>,
    /// It is cut off at the next look.
    cut: bool,
    /// From this length on it is sent in chunks, its length untold.
    chunked_from: usize,
}

#[derive(Debug)]
enum Kind {
    Whole(Option<Bytes>),
    Stream(mpsc::Receiver<Result<Bytes, Cut>>),
}

impl Body {
    #[must_use]
    pub fn whole(bytes: impl Into<Bytes>, entry: Arc<Entry>) -> Self {
        Self {
            kind: Kind::Whole(Some(bytes.into())),
            entry,
            cut: false,
            chunked_from: usize::MAX,
        }
    }

    /// As Go's net/http does it: the length of what fits into its buffer is told, what is longer is chunked.
    #[must_use]
    pub fn chunked_when_long(mut self) -> Self {
        self.chunked_from = 2_048;
        self
    }

    /// A body that is sent as its chunks come.
    #[must_use]
    pub fn stream(entry: Arc<Entry>) -> (Sender, Self) {
        let (sender, receiver) = mpsc::channel(16);
        let body = Self {
            kind: Kind::Stream(receiver),
            entry,
            cut: false,
            chunked_from: usize::MAX,
        };
        (sender, body)
    }

    /// The first half of `bytes`, and the connection ends.
    #[must_use]
    pub fn half(bytes: &Bytes, entry: Arc<Entry>) -> Self {
        let (sender, body) = Self::stream(entry);
        // There is room for both.
        let _ = sender.try_send(Ok(bytes.slice(..bytes.len() / 2)));
        let _ = sender.try_send(Err(Cut));
        body
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.cut {
            return Poll::Ready(Some(Err(Cut)));
        }
        let chunk = match &mut self.kind {
            Kind::Whole(bytes) => bytes.take().map(Ok),
            Kind::Stream(receiver) => match receiver.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                // Hyper sends what it has when there is nothing more for now, and drops it at an error.
                Poll::Ready(Some(Err(Cut))) => {
                    self.cut = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(chunk) => chunk,
            },
        };
        if let Some(Ok(bytes)) = &chunk {
            self.entry.count(bytes.len());
        }
        Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.kind, Kind::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Whole(bytes) => match bytes.as_ref().map_or(0, Bytes::len) {
                length if length < self.chunked_from => SizeHint::with_exact(length as u64),
                _ => SizeHint::default(),
            },
            Kind::Stream(_) => SizeHint::default(),
        }
    }
}

/// A request's body; what follows an error or 4 MiB is left out.
pub async fn read(mut incoming: Incoming) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut incoming).poll_frame(context)).await
    {
        all.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        if all.len() > 4 << 20 {
            break;
        }
    }
    all
}

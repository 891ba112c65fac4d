//! An answer's body that says what has happened when it breaks off, and keeps what it needs.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::HeaderMap;
use http_body::Frame;
use tonic::Status;
use tonic::body::Body;

/// `inner`, which comes from `origin`; `kept` goes with it.
pub fn guarded<K: Send + Unpin + 'static>(inner: Body, origin: String, kept: K) -> Body {
    Body::new(Guarded { inner, origin, done: false, _kept: kept })
}

struct Guarded<K> {
    inner: Body,
    origin: String,
    done: bool,
    _kept: K,
}

impl<K: Unpin> http_body::Body for Guarded<K> {
    type Data = <Body as http_body::Body>::Data;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if self.done {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        let Some(Err(error)) = frame else { return Poll::Ready(frame) };
        self.done = true;
        // A stream that ends without a status says nothing to its reader.
        let lost = format!("the connection to {} broke off: {}", self.origin, error.message());
        let (status, mut trailers) = (Status::aborted(lost), HeaderMap::new());
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.done || self.inner.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, StreamBody};

    use super::*;

    #[tokio::test]
    async fn what_breaks_off_says_so() {
        let frames = [Ok(Frame::data("x".into())), Err(Status::internal("cut"))];
        let inner = Body::new(StreamBody::new(futures::stream::iter(frames)));
        let body = guarded(inner, "node host2".into(), ()).collect().await.unwrap();
        let status = Status::from_header_map(body.trailers().unwrap()).unwrap();
        assert!(status.message().contains("node host2 broke off: cut"), "{status:?}");
        assert_eq!(body.to_bytes(), "x");
    }
}

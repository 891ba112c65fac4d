//! Answers that every server of images gives alike.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame};
use serde_json::json;
use tokio::sync::mpsc;

use super::super::client::DIGEST;
use super::super::http::{Body, empty, full};
use super::route::{self, Part, Unrouted};
use crate::digest::Digest;

/// What a server says.
pub type Answer = Response<Body>;

/// Bytes that are read at once, and how many such pieces wait for a slow reader.
const PIECE: u64 = 256 << 10;
const AHEAD: usize = 4;

/// An answer without a body.
pub fn bare(status: StatusCode) -> Answer {
    let mut answer = Response::new(empty());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    answer
}

/// An answer with another header, whose value has no control characters.
pub fn with(mut answer: Answer, name: HeaderName, value: &str) -> Answer {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
    answer
}

/// A refusal as the distribution specification has it.
pub fn refusal(status: StatusCode, code: &str, message: &str) -> Answer {
    document(status, &json!({ "errors": [{ "code": code, "message": message }] }))
}

/// An answer in JSON.
pub fn document(status: StatusCode, value: &serde_json::Value) -> Answer {
    let text = value.to_string();
    let length = text.len().to_string();
    let mut answer = Response::new(full(text));
    *answer.status_mut() = status;
    with(with(answer, CONTENT_TYPE, "application/json"), CONTENT_LENGTH, &length)
}

/// What a path that names nothing is answered.
pub fn unrouted(why: Unrouted) -> Answer {
    match why {
        Unrouted::Unknown => refusal(StatusCode::NOT_FOUND, "UNSUPPORTED", "there is nothing at this path"),
        Unrouted::Name => refusal(StatusCode::BAD_REQUEST, "NAME_INVALID", "invalid repository name"),
        Unrouted::Digest => {
            let message = "the digest is not sha256:<64 lower-case hex digits>, the only kind supported";
            refusal(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message)
        }
        Unrouted::Tag => refusal(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "that is no tag"),
    }
}

/// There is no such manifest.
pub fn no_manifest() -> Answer {
    refusal(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown")
}

/// There is no such blob.
pub fn no_blob() -> Answer {
    refusal(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry")
}

/// A manifest.
pub fn manifest(method: &Method, bytes: Vec<u8>, digest: &Digest) -> Answer {
    let media_type = media_type(&bytes);
    let length = bytes.len().to_string();
    let answer = Response::new(if method == Method::HEAD { empty() } else { full(bytes) });
    let answer = with(answer, CONTENT_TYPE, &media_type);
    with(with(answer, CONTENT_LENGTH, &length), DIGEST, &digest.to_string())
}

/// What a document says that it is.
pub fn media_type(bytes: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Typed {
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
    }
    let typed = serde_json::from_slice::<Typed>(bytes).ok();
    let is_index = typed.as_ref().is_some_and(|typed| typed.manifests.is_some());
    let own = typed.and_then(|typed| typed.media_type).filter(|own| !own.is_empty() && own.len() < 256);
    let usual = if is_index { crate::manifest::MEDIA_INDEX } else { crate::manifest::MEDIA_MANIFEST };
    own.unwrap_or_else(|| usual.to_owned())
}

/// A blob, or the part of it that is asked for.
pub fn blob(method: &Method, headers: &HeaderMap, file: File, size: u64, digest: &Digest) -> Answer {
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let answer = match route::part(range, size) {
        Part::Unsatisfiable => {
            let answer = refusal(StatusCode::RANGE_NOT_SATISFIABLE, "SIZE_INVALID", "the blob has no such bytes");
            return with(answer, CONTENT_RANGE, &format!("bytes */{size}"));
        }
        Part::Whole => with(body(method, file, 0, size), CONTENT_LENGTH, &size.to_string()),
        Part::From(first, length) => {
            let mut answer = body(method, file, first, length);
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            let answer = with(answer, CONTENT_LENGTH, &length.to_string());
            with(answer, CONTENT_RANGE, &format!("bytes {first}-{}/{size}", first + length - 1))
        }
    };
    let answer = with(answer, CONTENT_TYPE, "application/octet-stream");
    with(with(answer, ACCEPT_RANGES, "bytes"), DIGEST, &digest.to_string())
}

fn body(method: &Method, file: File, first: u64, length: u64) -> Answer {
    if method == Method::HEAD {
        return Response::new(empty());
    }
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(AHEAD);
    tokio::task::spawn_blocking(move || {
        let mut at = first;
        while at < first + length {
            let piece = read(&file, at, (first + length - at).min(PIECE));
            let failed = piece.is_err();
            at += piece.as_ref().map_or(0, |piece| piece.len() as u64);
            // Nobody reads any more.
            if sender.blocking_send(piece).is_err() || failed {
                return;
            }
        }
    });
    let pieces = futures::stream::unfold(receiver, |mut receiver| async move {
        let piece = receiver.recv().await?;
        Some((piece.map(Frame::data), receiver))
    });
    Response::new(StreamBody::new(pieces).boxed_unsync())
}

fn read(file: &File, at: u64, length: u64) -> io::Result<Bytes> {
    let mut piece = vec![0; usize::try_from(length).unwrap_or_default()];
    file.read_exact_at(&mut piece, at)?;
    Ok(piece.into())
}

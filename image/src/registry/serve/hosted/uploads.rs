//! Uploads of blobs: whole, in chunks, gone on with after a break, or taken over from another repository.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::mpsc;

use super::Registry;
use super::repository::Kind;
use crate::content::BlobWriter;
use crate::digest::Digest;
use crate::error::Result;
use crate::registry::client::DIGEST;
use crate::registry::serve::answer::{self, Answer, with};
use crate::registry::serve::route;

const ID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// How many uploads there may be at once.
const UPLOADS_MAX: usize = 256;
/// How long an upload may rest, and how long a client may say nothing.
const REST: Duration = Duration::from_secs(3600);
const PATIENCE: Duration = Duration::from_secs(60);
/// Pieces that wait for the disk.
const AHEAD: usize = 16;

/// Uploads that have begun.
#[derive(Default)]
pub struct Uploads {
    open: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Upload>>>>,
}

/// One upload. The writer is away while a chunk comes, and gone when that went wrong on disk.
struct Upload {
    name: String,
    writer: Option<BlobWriter>,
    touched: Instant,
}

impl Uploads {
    fn begin(&self, name: &str, writer: BlobWriter) -> Option<String> {
        let mut bytes = [0; 16];
        SystemRandom::new().fill(&mut bytes).ok()?;
        let id: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= UPLOADS_MAX {
            return None;
        }
        let upload = Upload { name: name.to_owned(), writer: Some(writer), touched: Instant::now() };
        open.insert(id.clone(), Arc::new(tokio::sync::Mutex::new(upload)));
        Some(id)
    }

    fn find(&self, id: &str) -> Option<Arc<tokio::sync::Mutex<Upload>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn end(&self, id: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// Forgets those that nobody goes on with.
    pub fn forget_old(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, upload| upload.try_lock().map_or(true, |upload| upload.touched.elapsed() < REST));
    }
}

impl Registry {
    /// `POST`: begins an upload, takes a whole one, or a blob of another repository.
    pub(super) async fn begin_upload(
        &self,
        name: &str,
        query: Option<&str>,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Answer {
        let parameter =
            |key: &str| route::parameter(query, key).map(|value| value.replace("%3A", ":").replace("%2F", "/"));
        if let (Some(mount), Some(from)) = (parameter("mount"), parameter("from")) {
            let digest = mount.parse::<Digest>();
            match digest.map(|digest| (self.mount(name, &from, &digest), digest)) {
                Ok((Ok(true), digest)) => return created(name, &digest),
                Ok((Err(error), _)) => return failed(&error),
                // What is not there is uploaded.
                Ok((Ok(false), _)) | Err(_) => {}
            }
        }
        let writer = match self.content.writer() {
            Ok(writer) => writer,
            Err(error) => return failed(&error),
        };
        let Some(id) = self.uploads.begin(name, writer) else {
            let message = "there are too many uploads: try again later";
            return answer::refusal(StatusCode::TOO_MANY_REQUESTS, "TOOMANYREQUESTS", message);
        };
        match parameter("digest") {
            Some(digest) => self.finish_upload(name, &id, &digest, headers, body).await,
            None => at(answer::bare(StatusCode::ACCEPTED), name, &id, 0),
        }
    }

    fn mount(&self, name: &str, from: &str, digest: &Digest) -> Result<bool> {
        let _shared = self.sweeping.read().unwrap_or_else(PoisonError::into_inner);
        if !crate::reference::is_repository(from)
            || !self.repository(from).has(Kind::Blobs, digest)
            || !self.content.contains(digest)
        {
            return Ok(false);
        }
        self.repository(name).link(Kind::Blobs, digest).map(|()| true)
    }

    /// `PATCH`, `PUT`, `GET` and `DELETE` of an upload.
    pub(super) async fn upload(
        &self,
        method: &Method,
        name: &str,
        id: &str,
        query: Option<&str>,
        headers: &HeaderMap,
        body: Incoming,
    ) -> Answer {
        if *method == Method::PUT {
            let Some(digest) = route::parameter(query, "digest") else {
                return answer::refusal(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "an upload ends with its digest");
            };
            return self.finish_upload(name, id, &digest.replace("%3A", ":").replace("%3a", ":"), headers, body).await;
        }
        let Some(upload) = self.uploads.find(id) else { return unknown() };
        let mut upload = upload.lock().await;
        if upload.name != name {
            return unknown();
        }
        match *method {
            Method::GET => at(answer::bare(StatusCode::NO_CONTENT), name, id, size(&upload)),
            Method::DELETE => {
                self.uploads.end(id);
                answer::bare(StatusCode::NO_CONTENT)
            }
            _ => match take(&mut upload, name, id, headers, body).await {
                Ok(()) => at(answer::bare(StatusCode::ACCEPTED), name, id, size(&upload)),
                Err(refused) => refused,
            },
        }
    }

    /// `PUT`: the rest, and what all of it must be.
    async fn finish_upload(&self, name: &str, id: &str, digest: &str, headers: &HeaderMap, body: Incoming) -> Answer {
        let Some(upload) = self.uploads.find(id) else { return unknown() };
        let mut upload = upload.lock().await;
        if upload.name != name {
            return unknown();
        }
        let Ok(expected) = digest.parse::<Digest>() else { return answer::unrouted(route::Unrouted::Digest) };
        if let Err(refused) = take(&mut upload, name, id, headers, body).await {
            return refused;
        }
        self.uploads.end(id);
        let Some(writer) = upload.writer.take() else { return unknown() };
        let (content, sweeping, repository) =
            (Arc::clone(&self.content), Arc::clone(&self.sweeping), self.repository(name));
        let kept = tokio::task::spawn_blocking(move || {
            let blob = writer.finish()?;
            if blob.digest != expected {
                return Ok(Some(blob.digest));
            }
            let _shared = sweeping.read().unwrap_or_else(PoisonError::into_inner);
            content.publish(blob)?;
            repository.link(Kind::Blobs, &expected).map(|()| None)
        });
        match kept.await {
            Ok(Ok(None)) => created(name, &expected),
            Ok(Ok(Some(actual))) => {
                let message = format!("what came is {actual}, not {expected}");
                answer::refusal(StatusCode::BAD_REQUEST, "DIGEST_INVALID", &message)
            }
            Ok(Err(error)) => failed(&error),
            Err(_) => answer::bare(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

fn size(upload: &Upload) -> u64 {
    upload.writer.as_ref().map_or(0, BlobWriter::size)
}

/// Takes a chunk, which must begin where the one before has ended.
async fn take(upload: &mut Upload, name: &str, id: &str, headers: &HeaderMap, body: Incoming) -> Result<(), Answer> {
    let begins = headers.get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let begins = begins.map(|range| range.trim_start_matches("bytes ").split('-').next().unwrap_or_default().parse());
    if begins.is_some_and(|begins| begins != Ok(size(upload))) {
        let message = "the chunk does not begin where the one before has ended";
        let refused = answer::refusal(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", message);
        return Err(at(refused, name, id, size(upload)));
    }
    let Some(mut writer) = upload.writer.take() else { return Err(unknown()) };
    let (sender, mut pieces) = mpsc::channel::<Bytes>(AHEAD);
    let writing = tokio::task::spawn_blocking(move || {
        while let Some(piece) = pieces.blocking_recv() {
            if let Err(error) = writer.write_all(&piece) {
                return Err(crate::Error::io("store", "an upload", error));
            }
        }
        Ok(writer)
    });
    let came = pass_on(body, sender).await;
    upload.touched = Instant::now();
    match writing.await {
        Ok(Ok(writer)) => upload.writer = Some(writer),
        Ok(Err(error)) => return Err(failed(&error)),
        Err(_) => return Err(answer::bare(StatusCode::INTERNAL_SERVER_ERROR)),
    }
    came.map_err(|reason| answer::refusal(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", &reason))
}

async fn pass_on(mut body: Incoming, pieces: mpsc::Sender<Bytes>) -> Result<(), String> {
    loop {
        match tokio::time::timeout(PATIENCE, body.frame()).await {
            Err(_) => return Err(format!("nothing came for {} s", PATIENCE.as_secs())),
            Ok(None) => return Ok(()),
            Ok(Some(Err(error))) => return Err(format!("the upload broke off: {error}")),
            Ok(Some(Ok(frame))) => {
                let Ok(piece) = frame.into_data() else { continue };
                // The disk does not take it: its own error says why.
                if pieces.send(piece).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

fn at(answer: Answer, name: &str, id: &str, size: u64) -> Answer {
    let answer = with(answer, header::LOCATION, &format!("/v2/{name}/blobs/uploads/{id}"));
    with(with(answer, header::RANGE, &format!("0-{}", size.saturating_sub(1))), ID, id)
}

fn created(name: &str, digest: &Digest) -> Answer {
    let answer = with(answer::bare(StatusCode::CREATED), DIGEST, &digest.to_string());
    with(answer, header::LOCATION, &format!("/v2/{name}/blobs/{digest}"))
}

fn unknown() -> Answer {
    answer::refusal(StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN", "there is no such upload: begin it anew")
}

/// What could not be done for a reason of this machine's.
pub fn failed(error: &crate::Error) -> Answer {
    tracing::error!(%error, "a request failed");
    answer::refusal(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "the registry could not do that: see its log")
}

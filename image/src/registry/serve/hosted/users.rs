//! Who may use a registry: a file of htpasswd, whose passwords are hashed with bcrypt.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode, header};
use tokio::sync::Semaphore;

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::registry::serve::answer::{self, Answer, with};

/// The largest file of users.
const FILE_MAX: u64 = 1 << 20;
/// How many passwords are hashed at once, each of which takes a while by design.
const AT_ONCE: usize = 2;
/// How many credentials are remembered as right.
const KNOWN_MAX: usize = 4096;

/// Users and what their passwords hash to.
pub struct Users {
    hashes: Arc<BTreeMap<String, String>>,
    turns: Semaphore,
    /// Digests of credentials that were right.
    known: Mutex<HashSet<Digest>>,
}

impl Users {
    /// Reads a file of `USER:HASH` lines.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::InvalidDocument`] for a line that is none, or a hash that is not bcrypt's.
    pub fn read(path: &Path) -> Result<Users> {
        let what = path.display().to_string();
        let failed = |error| Error::io("read", &what, error);
        if fs::metadata(path).map_err(failed)?.len() > FILE_MAX {
            return Err(Error::document(&what, "it is larger than 1 MiB"));
        }
        let text = fs::read_to_string(path).map_err(failed)?;
        let mut hashes = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |reason| Error::document(&what, format!("line {number}: {reason}"));
            let (user, hash) = line.split_once(':').ok_or_else(|| wrong("expected USER:HASH"))?;
            if !["$2a$", "$2b$", "$2y$"].iter().any(|kind| hash.starts_with(kind)) || hash.len() != 60 {
                return Err(wrong("the hash is not bcrypt's: make it with `htpasswd -B`"));
            }
            hashes.insert(user.to_owned(), hash.to_owned());
        }
        if hashes.is_empty() {
            return Err(Error::document(&what, "it names no user"));
        }
        Ok(Users { hashes: Arc::new(hashes), turns: Semaphore::new(AT_ONCE), known: Mutex::default() })
    }

    /// Lets in who has a name and its password; the error is the answer to anybody else.
    ///
    /// # Errors
    /// 401, with what is asked for.
    pub async fn admit(&self, headers: &HeaderMap) -> std::result::Result<(), Answer> {
        let Some((user, password)) = credentials(headers) else { return Err(refused()) };
        let digest = Digest::of(format!("{user}:{password}").as_bytes());
        if self.known().contains(&digest) {
            return Ok(());
        }
        // It is never closed.
        let _turn = self.turns.acquire().await;
        let hashes = Arc::clone(&self.hashes);
        let verified = tokio::task::spawn_blocking(move || {
            // An unknown name takes as long as a known one.
            let (hash, is_known) = match hashes.get(&user) {
                Some(hash) => (hash, true),
                None => (hashes.values().next()?, false),
            };
            Some(bcrypt::verify(&password, hash).unwrap_or(false) && is_known)
        });
        if !matches!(verified.await, Ok(Some(true))) {
            return Err(refused());
        }
        let mut known = self.known();
        if known.len() < KNOWN_MAX {
            known.insert(digest);
        }
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<Digest>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused() -> Answer {
    let answer = answer::refusal(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", "authentication required");
    with(answer, header::WWW_AUTHENTICATE, "Basic realm=\"orca registry\", charset=\"UTF-8\"")
}

/// Name and password of `Authorization: Basic`.
fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, value) = value.split_once(' ')?;
    let text = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':').filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_opens() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        let hash = bcrypt::hash_with_salt("secret", 4, [7; 16]).unwrap().to_string();
        fs::write(&path, format!("# people\nana:{hash}\n\n")).unwrap();
        let users = Users::read(&path).unwrap();
        let headers = |text: &str| HeaderMap::from_iter([(header::AUTHORIZATION, text.parse().unwrap())]);
        let basic = |text: &str| headers(&format!("Basic {}", STANDARD.encode(text)));
        assert!(users.admit(&basic("ana:secret")).await.is_ok());
        assert!(users.admit(&basic("ana:secret")).await.is_ok(), "by memory");
        for wrong in [basic("ana:Secret"), basic("bob:secret"), basic("ana"), headers("Bearer x"), HeaderMap::new()] {
            let answer = users.admit(&wrong).await.unwrap_err();
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
            assert!(answer.headers().contains_key(header::WWW_AUTHENTICATE));
        }
        for bad in ["", "ana", "ana:{SHA}x", "ana:$apr1$x$y"] {
            fs::write(&path, bad).unwrap();
            assert!(Users::read(&path).is_err(), "{bad}");
        }
    }
}

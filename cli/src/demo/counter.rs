//! Counts visits and keeps the number in a file, so that a volume shows its worth.

use std::io::{Error, Result, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::http::{self, Request, Response};

/// The number and where it is kept.
struct Counter {
    file: PathBuf,
    count: Mutex<u64>,
}

impl Counter {
    fn open(file: &Path) -> Result<Self> {
        let count = match std::fs::read_to_string(file) {
            Ok(text) => text.trim().parse().map_err(|_| Error::other(format!("{} holds no number", file.display())))?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Self { file: file.into(), count: Mutex::new(count) })
    }

    /// One more; the file is replaced whole, so that a kill in between leaves the old number or the new.
    fn next(&self) -> Result<u64> {
        let mut count = self.count.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let next = *count + 1;
        let draft = self.file.with_extension("new");
        let mut file = std::fs::File::create(&draft)?;
        writeln!(file, "{next}")?;
        file.sync_all()?;
        std::fs::rename(&draft, &self.file)?;
        *count = next;
        Ok(next)
    }
}

/// Serves the counter.
pub fn serve(address: SocketAddr, file: &Path) -> Result<()> {
    let counter = Counter::open(file)?;
    http::serve(address, move |request: Request| match request.path.as_str() {
        "/health" => Response::text("ok\n".into()),
        "/" => match counter.next() {
            Ok(count) => Response::text(format!("{count}\n")),
            Err(error) => Response { status: 503, ..Response::text(format!("cannot keep the count: {error}\n")) },
        },
        _ => Response::not_found(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_outlives_the_program() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("count");
        assert_eq!(Counter::open(&file).unwrap().next().unwrap(), 1);
        assert_eq!(Counter::open(&file).unwrap().next().unwrap(), 2);
        std::fs::write(&file, "x").unwrap();
        assert!(Counter::open(&file).is_err());
    }
}

//! A health probe.

use std::io::{Error, Result};

use super::http;

/// Succeeds when the address answers with a status below 400.
pub fn probe(url: &str) -> Result<()> {
    match http::get(url)? {
        (200..400, body) => {
            print!("{body}");
            Ok(())
        }
        (status, body) => Err(Error::other(format!("{url} answers {status}: {body}"))),
    }
}

//! As much of HTTP/1.1 (RFC 9112) as the demo needs: one request a connection, bounded in size and time.

use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::resolve;

/// Bytes of a request's head, or of a response.
const SIZE_MAX: u64 = 64 * 1024;
/// Connections served at once.
const CONNECTIONS_MAX: usize = 128;
/// Time for one read or write.
const PATIENCE: Duration = Duration::from_secs(5);

/// A request: what the programs look at.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// The path, without what follows `?`.
    pub path: String,
    /// Whether the other side is a browser that wants HTML.
    pub wants_html: bool,
    /// Who asks.
    pub peer: SocketAddr,
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// 200, 404, 503.
    pub status: u16,
    /// Media type.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Response {
    /// Success, as plain text.
    pub fn text(body: String) -> Self {
        Self { status: 200, content_type: "text/plain; charset=utf-8", body }
    }

    /// Nothing there.
    pub fn not_found() -> Self {
        Self { status: 404, ..Self::text("not found\n".into()) }
    }
}

/// Serves until the process ends; a thread a connection.
pub fn serve(address: SocketAddr, handler: impl Fn(Request) -> Response + Send + Sync + 'static) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening on {address}");
    let (handler, open) = (Arc::new(handler), Arc::new(AtomicUsize::new(0)));
    for connection in listener.incoming() {
        let Ok(connection) = connection else { continue };
        if open.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::Relaxed);
            continue;
        }
        let (handler, open) = (Arc::clone(&handler), Arc::clone(&open));
        std::thread::spawn(move || {
            // Who hangs up early only harms itself.
            let _ = answer(connection, &*handler);
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
    Ok(())
}

fn answer(mut connection: TcpStream, handler: &dyn Fn(Request) -> Response) -> Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let peer = connection.peer_addr()?;
    let request = read_request(BufReader::new((&connection).take(SIZE_MAX)), peer)?;
    let Response { status, content_type, body } = handler(request);
    let reason = if status == 200 { "OK" } else { "Error" };
    let head = format!(
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes())?;
    connection.write_all(body.as_bytes())
}

fn read_request(mut reader: impl BufRead, peer: SocketAddr) -> Result<Request> {
    let malformed = || Error::new(ErrorKind::InvalidData, "malformed request");
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let target = line.split(' ').nth(1).ok_or_else(malformed)?;
    let path = target.split('?').next().unwrap_or_default().trim_end().to_owned();
    let mut wants_html = false;
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(malformed());
        }
        let lower = line.trim_end().to_ascii_lowercase();
        if lower.is_empty() {
            return Ok(Request { path, wants_html, peer });
        }
        wants_html |= lower.starts_with("accept:") && lower.contains("text/html");
    }
}

/// Asks `http://HOST[:PORT]/PATH` and returns the status and the body.
pub fn get(url: &str) -> Result<(u16, String)> {
    let invalid = |what: &str| Error::new(ErrorKind::InvalidInput, format!("{url}: {what}"));
    let rest = url.strip_prefix("http://").ok_or_else(|| invalid("expected http://HOST[:PORT]/PATH"))?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| invalid("the port is not a number"))?),
        None => (authority, 80),
    };
    let address = SocketAddr::new(resolve::resolve(host)?, port);
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    write!(connection, "GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    connection.take(SIZE_MAX).read_to_end(&mut answer)?;
    parse_response(&String::from_utf8_lossy(&answer)).ok_or_else(|| invalid("malformed answer"))
}

fn parse_response(text: &str) -> Option<(u16, String)> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Request> {
        read_request(text.as_bytes(), SocketAddr::from(([10, 0, 0, 1], 7))).ok()
    }

    #[test]
    fn requests() {
        let request = read("GET /a?b=c HTTP/1.1\r\nAccept: text/html,*/*\r\n\r\n").unwrap();
        assert_eq!((request.path.as_str(), request.wants_html), ("/a", true));
        assert!(read("GET").is_none());
        assert!(read("GET / HTTP/1.1\r\nA: b\r\n").is_none());
    }

    #[test]
    fn responses() {
        assert_eq!(parse_response("HTTP/1.1 200 OK\r\nA: b\r\n\r\nhi"), Some((200, "hi".into())));
        assert_eq!(parse_response("nonsense"), None);
    }
}

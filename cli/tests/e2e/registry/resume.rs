//! An upload whose connection breaks goes on where the registry has got to, if that can say. (Debian's docker-registry can't:
//! to it an upload of which bytes have arrived that it has not confirmed is invalid; there it begins again.)

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::support::Node;

/// Bytes of the layer, and how many of them arrive before the connection breaks.
const LAYER: usize = 4 << 20;
const BREAK: usize = 3 << 20;
const UPLOADS: &str = "/v2/noise/blobs/uploads/";

/// What has happened at the registry.
#[derive(Default)]
struct State {
    /// The layer so far.
    layer: Vec<u8>,
    /// Requests that concern uploads: method and range.
    asked: Vec<String>,
    problem: Option<String>,
}

struct Head {
    method: String,
    target: String,
    length: usize,
    range: String,
}

fn head(reader: &mut BufReader<TcpStream>) -> Option<Head> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut head = Head { method: words.next()?, target: words.next()?, length: 0, range: String::new() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Some(head) };
        match name.to_lowercase().as_str() {
            "content-length" => head.length = value.trim().parse().ok()?,
            "content-range" => head.range = value.trim().to_owned(),
            _ => {}
        }
    }
}

/// A registry by the distribution specification that takes anything, and breaks the first upload of the layer.
fn registry(node: &Node) -> (SocketAddr, Arc<Mutex<State>>) {
    let listener = net::netlink::netns::within(&node.host(), || Ok(TcpListener::bind("127.0.0.1:0").unwrap())).unwrap();
    let address = listener.local_addr().unwrap();
    let state = Arc::new(Mutex::new(State::default()));
    let kept = Arc::clone(&state);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = Arc::clone(&kept);
            std::thread::spawn(move || while serve(&stream, &state).is_some() {});
        }
    });
    (address, state)
}

/// One request; `None` ends the connection. One at a time has a body, so that nothing is left in the reader.
fn serve(stream: &TcpStream, state: &Mutex<State>) -> Option<()> {
    let mut first = [0];
    // A TLS handshake, which it doesn't know.
    if stream.peek(&mut first).ok()? == 0 || first == [0x16] {
        let _ = stream.shutdown(std::net::Shutdown::Both);
        return None;
    }
    let mut reader = BufReader::with_capacity(1 << 16, stream.try_clone().ok()?);
    let mut stream = stream.try_clone().ok()?;
    let head = head(&mut reader)?;
    let mut body = vec![0; head.length];
    let is_layer =
        head.method == "PUT" && head.target.starts_with(UPLOADS) && (head.length > BREAK || !head.range.is_empty());
    let mut state = state.lock().unwrap();
    if head.target.starts_with(UPLOADS) && head.target.len() > UPLOADS.len() {
        state.asked.push(format!("{} {}", head.method, head.range).trim().to_owned());
    }
    if is_layer && state.layer.is_empty() {
        reader.read_exact(&mut body[..BREAK]).ok()?;
        state.layer.extend_from_slice(&body[..BREAK]);
        let _ = stream.shutdown(std::net::Shutdown::Both);
        return None;
    }
    reader.read_exact(&mut body).ok()?;
    let mut say = |status: &str, more: &str| {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n{more}\r\n");
        stream.write_all(answer.as_bytes()).ok()
    };
    match head.method.as_str() {
        "HEAD" => say("404 Not Found", ""),
        "POST" => say("202 Accepted", &format!("Location: {UPLOADS}one?state=a\r\n")),
        "GET" if head.target.starts_with(UPLOADS) => {
            let last = state.layer.len() - 1;
            say("204 No Content", &format!("Location: {UPLOADS}one?state=b\r\nRange: 0-{last}\r\n"))
        }
        "GET" => say("200 OK", ""),
        _ if is_layer => {
            state.layer.extend_from_slice(&body);
            let digest = ring::digest::digest(&ring::digest::SHA256, &state.layer);
            let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            if !head.target.contains(&digest) || !head.target.contains("state=b") {
                state.problem = Some(format!("{} is not for {digest}", head.target));
            }
            say("201 Created", "")
        }
        _ => say("201 Created", ""),
    }
}

#[test]
fn an_upload_goes_on_where_it_broke() {
    let node = Node::start().with_busybox();
    let (address, state) = registry(&node);
    // Nothing that compresses.
    let script = format!("mkdir -p r && head -c {LAYER} /dev/urandom > r/noise && tar -C r -cf noise.tar . && rm -r r");
    let status = std::process::Command::new("sh").args(["-c", &script]).current_dir(node.files()).status().unwrap();
    assert!(status.success());
    let name = format!("{address}/noise:1");
    node.ok(&["import", "noise.tar", &name]);
    node.ok(&["push", &name]);
    let state = state.lock().unwrap();
    assert_eq!(state.problem, None);
    let rest = format!("PUT {BREAK}-{}", state.layer.len() - 1);
    let of_layer: Vec<&str> = state.asked.iter().map(String::as_str).take(3).collect();
    assert_eq!(of_layer, ["PUT", "GET", &rest], "{:?}", state.asked);
}

//! One line of output as a message to the journal or to a syslog server. Pure.

use std::collections::BTreeMap;

use model::shim::SyslogConfig;
use model::{SyslogAddress, SyslogFormat};

use super::Stream;
use crate::time::{Civil, civil, write_rfc3339};

/// A line, or a piece of one that was too long.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Without its newline.
    pub text: &'a [u8],
    /// Where it came from.
    pub stream: Stream,
    /// Nanoseconds since the epoch.
    pub time: u64,
    /// Of which line it is a piece.
    pub piece: Option<Piece>,
}

/// A piece of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The same for all pieces of a line, different for each line.
    pub line: u64,
    /// From 1.
    pub ordinal: u32,
    /// Whether the line ends with it.
    pub is_last: bool,
}

/// sd-daemon(3): informational and error.
fn severity(stream: Stream) -> u8 {
    match stream {
        Stream::Stdout => 6,
        Stream::Stderr => 3,
    }
}

/// A journal entry in the native protocol (systemd, "Native Journal Protocol").
pub fn journal(message: &Message<'_>, fields: &BTreeMap<String, String>) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.text.len() + 512);
    field("MESSAGE", message.text, &mut out);
    field("PRIORITY", severity(message.stream).to_string().as_bytes(), &mut out);
    let mut time = Vec::new();
    write_rfc3339(message.time, &mut time);
    field("SYSLOG_TIMESTAMP", &time, &mut out);
    for (name, value) in fields {
        field(name, value.as_bytes(), &mut out);
    }
    if let Some(piece) = message.piece {
        field("CONTAINER_PARTIAL_ID", format!("{:032x}", piece.line).as_bytes(), &mut out);
        field("CONTAINER_PARTIAL_ORDINAL", piece.ordinal.to_string().as_bytes(), &mut out);
        field("CONTAINER_PARTIAL_LAST", piece.is_last.to_string().as_bytes(), &mut out);
        if !piece.is_last {
            field("CONTAINER_PARTIAL_MESSAGE", b"true", &mut out);
        }
    }
    out
}

fn field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    if value.contains(&b'\n') {
        out.push(b'\n');
        out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    } else {
        out.push(b'=');
    }
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// A syslog message; on a stream it ends with a newline.
pub fn syslog(message: &Message<'_>, config: &SyslogConfig) -> Vec<u8> {
    let SyslogConfig { address, facility, format, tag, hostname, tls: _ } = config;
    let priority = u32::from(*facility) * 8 + u32::from(severity(message.stream));
    let process = std::process::id();
    let time = civil(message.time);
    let mut out = match format {
        SyslogFormat::Local => format!("<{priority}>{} {tag}[{process}]: ", stamp(&time)),
        SyslogFormat::Rfc3164 => format!("<{priority}>{} {hostname} {tag}[{process}]: ", stamp(&time)),
        SyslogFormat::Rfc5424 | SyslogFormat::Rfc5424Micro => {
            let Civil { year, month, day, hour, minute, second, nanos } = time;
            let fraction = match format {
                SyslogFormat::Rfc5424Micro => format!(".{:06}", nanos / 1000),
                _ => String::new(),
            };
            let stamp = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z");
            format!("<{priority}>1 {stamp} {hostname} {tag} {process} {tag} - ")
        }
    }
    .into_bytes();
    out.extend_from_slice(message.text);
    let is_new = matches!(format, SyslogFormat::Rfc5424 | SyslogFormat::Rfc5424Micro);
    match address {
        // RFC 5425 counts instead of ending lines, as Docker does in this case alone.
        SyslogAddress::Tls(_) if is_new => {
            let count = format!("{} ", out.len());
            out.splice(0..0, count.into_bytes());
        }
        SyslogAddress::Tcp(_) | SyslogAddress::Unix(_) | SyslogAddress::Tls(_) => out.push(b'\n'),
        SyslogAddress::Udp(_) | SyslogAddress::Unixgram(_) => {}
    }
    out
}

/// RFC 3164's time: `Jan  2 15:04:05`.
fn stamp(time: &Civil) -> String {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = usize::try_from(time.month).ok().and_then(|month| MONTHS.get(month.checked_sub(1)?));
    let Civil { day, hour, minute, second, .. } = time;
    format!("{} {day:2} {hour:02}:{minute:02}:{second:02}", month.unwrap_or(&"Jan"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-04T23:59:58.123456789Z
    const TIME: u64 = 1_793_836_798_123_456_789;

    fn message(text: &[u8]) -> Message<'_> {
        Message { text, stream: Stream::Stderr, time: TIME, piece: None }
    }

    #[test]
    fn journal_entries() {
        let fields = BTreeMap::from([("CONTAINER_NAME".to_owned(), "web".to_owned())]);
        let plain = journal(&message(b"hello"), &fields);
        let expected =
            "MESSAGE=hello\nPRIORITY=3\nSYSLOG_TIMESTAMP=2026-11-04T23:59:58.123456789Z\nCONTAINER_NAME=web\n";
        assert_eq!(String::from_utf8(plain).unwrap(), expected);
        let binary = journal(&message(b"a\nb"), &BTreeMap::new());
        assert!(binary.starts_with(b"MESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nPRIORITY=3\n"));
        let piece = Some(Piece { line: 0x1f, ordinal: 2, is_last: false });
        let text = String::from_utf8(journal(&Message { piece, ..message(b"x") }, &BTreeMap::new())).unwrap();
        assert!(text.contains("CONTAINER_PARTIAL_ID=0000000000000000000000000000001f\n"), "{text}");
        assert!(text.ends_with("_ORDINAL=2\nCONTAINER_PARTIAL_LAST=false\nCONTAINER_PARTIAL_MESSAGE=true\n"), "{text}");
    }

    #[test]
    fn syslog_formats() {
        let text = |format, address| {
            let (tag, hostname) = ("t".into(), "h".into());
            let config = SyslogConfig { address, facility: 3, format, tag, hostname, tls: None };
            String::from_utf8(syslog(&message(b"hello"), &config)).unwrap()
        };
        let (udp, tcp) = (|| SyslogAddress::Udp("127.0.0.1:1".parse().unwrap()), SyslogAddress::Unix("/s".into()));
        let process = std::process::id();
        assert_eq!(text(SyslogFormat::Local, udp()), format!("<27>Nov  4 23:59:58 t[{process}]: hello"));
        assert_eq!(text(SyslogFormat::Rfc3164, udp()), format!("<27>Nov  4 23:59:58 h t[{process}]: hello"));
        let expected = format!("<27>1 2026-11-04T23:59:58Z h t {process} t - hello\n");
        assert_eq!(text(SyslogFormat::Rfc5424, tcp), expected);
        let expected = format!("<27>1 2026-11-04T23:59:58.123456Z h t {process} t - hello");
        assert_eq!(text(SyslogFormat::Rfc5424Micro, udp()), expected);
        let tls = || SyslogAddress::Tls("127.0.0.1:1".parse().unwrap());
        assert_eq!(text(SyslogFormat::Rfc5424Micro, tls()), format!("{} {expected}", expected.len()));
        assert!(text(SyslogFormat::Local, tls()).ends_with(": hello\n"));
    }
}

//! Reading and writing netlink messages and attributes (netlink(7), RFC 3549).

/// Bytes of `struct nlmsghdr`.
pub(crate) const HEADER_LEN: usize = 16;
/// This message is a request.
pub(crate) const NLM_F_REQUEST: u16 = 1;
/// Answer when it is done.
pub(crate) const NLM_F_ACK: u16 = 4;
/// Fail when it exists.
pub(crate) const NLM_F_EXCL: u16 = 0x200;
/// Replace what exists.
pub(crate) const NLM_F_REPLACE: u16 = 0x100;
/// Create it.
pub(crate) const NLM_F_CREATE: u16 = 0x400;
/// Add it at the end.
pub(crate) const NLM_F_APPEND: u16 = 0x800;
/// Return all.
pub(crate) const NLM_F_DUMP: u16 = 0x300;

const NESTED: u16 = 0x8000;

/// Attributes being written.
#[derive(Debug, Default)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    /// One attribute.
    pub(crate) fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.0.extend(((value.len() + 4) as u16).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.pad();
    }

    /// A number in the host's byte order.
    pub(crate) fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_ne_bytes());
    }

    /// A number in network byte order, as netfilter has it.
    pub(crate) fn be32(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// A text, closed by a zero.
    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes);
    }

    /// Attributes within an attribute; at most 64 KiB of them.
    pub(crate) fn nest(&mut self, kind: u16, content: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.0.extend([0; 2]);
        self.0.extend((kind | NESTED).to_ne_bytes());
        content(self);
        let length = (self.0.len() - start) as u16;
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }

    /// Bytes that are no attribute, such as a header within an attribute.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        self.pad();
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

/// Messages that are sent together. Each has a label in words for the error it may meet.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    content: Attributes,
    labels: Vec<String>,
}

impl Batch {
    /// Adds a message: its type, flags, the family's own header and its attributes.
    pub(crate) fn message(
        &mut self,
        label: impl Into<String>,
        kind: u16,
        flags: u16,
        header: &[u8],
        content: impl FnOnce(&mut Attributes),
    ) {
        let start = self.content.0.len();
        self.labels.push(label.into());
        let buffer = &mut self.content.0;
        buffer.extend([0; 4]);
        buffer.extend(kind.to_ne_bytes());
        buffer.extend((flags | NLM_F_REQUEST).to_ne_bytes());
        buffer.extend((self.labels.len() as u32).to_ne_bytes());
        buffer.extend([0; 4]);
        self.content.raw(header);
        content(&mut self.content);
        let length = (self.content.0.len() - start) as u32;
        self.content.0[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// How many messages there are; their sequence numbers are 1 to that.
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// The label of a sequence number.
    pub(crate) fn label(&self, sequence: u32) -> String {
        let index = (sequence as usize).checked_sub(1);
        index.and_then(|index| self.labels.get(index)).cloned().unwrap_or_else(|| "carry out a batch".into())
    }

    /// What is sent.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.content.0
    }
}

/// A message that was received.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    /// Its type.
    pub(crate) kind: u16,
    /// Its flags.
    pub(crate) flags: u16,
    /// Which request it answers.
    pub(crate) sequence: u32,
    /// What follows the header.
    pub(crate) payload: &'a [u8],
}

/// Cuts a datagram into messages; ends at the first malformed one.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let length = read_u32(bytes, 0)? as usize;
        let payload = bytes.get(HEADER_LEN..length)?;
        let received =
            Received { kind: read_u16(bytes, 4)?, flags: read_u16(bytes, 6)?, sequence: read_u32(bytes, 8)?, payload };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(received)
    })
}

/// Cuts bytes into attributes (type without flags, value); ends at the first malformed one.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(read_u16(bytes, 0)?);
        let kind = read_u16(bytes, 2)? & 0x3fff;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The attribute of a type.
pub(crate) fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

pub(crate) fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

pub(crate) fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A text attribute without its closing zero.
pub(crate) fn read_text(value: &[u8]) -> String {
    let end = value.iter().position(|&b| b == 0).unwrap_or(value.len());
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let mut batch = Batch::default();
        batch.message("one", 16, NLM_F_ACK, &[9; 16], |a| {
            a.text(3, "eth0");
            a.nest(18, |a| a.number(1, 7));
        });
        batch.message("two", 17, 0, &[], |_| {});
        let read: Vec<_> = messages(batch.as_bytes()).collect();
        assert_eq!(read.iter().map(|m| (m.kind, m.flags, m.sequence)).collect::<Vec<_>>(), [(16, 5, 1), (17, 1, 2)]);
        let body = &read[0].payload[16..];
        assert_eq!(read_text(attribute(body, 3).unwrap()), "eth0");
        assert_eq!(attribute(attribute(body, 18).unwrap(), 1), Some(&7u32.to_ne_bytes()[..]));
        assert_eq!(batch.label(2), "two");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            for message in messages(&bytes) {
                let _ = attributes(message.payload).count();
            }
            let _ = attributes(&bytes).count();
        }
    }
}

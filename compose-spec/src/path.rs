//! Key paths such as `services.web.ports[0].target`, built on the stack while a stage walks the tree.

use std::fmt;

/// Deepest path that any rule of the Compose Specification names.
const DEPTH: usize = 8;

#[derive(Debug, Clone, Copy)]
enum Segment<'a> {
    Root,
    Key(&'a str),
    Index(usize),
}

/// The path of one node, linked to its parent's.
#[derive(Debug, Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    segment: Segment<'a>,
    depth: usize,
}

impl Path<'static> {
    /// The document's root.
    pub const ROOT: Path<'static> = Path { parent: None, segment: Segment::Root, depth: 0 };
}

impl<'a> Path<'a> {
    /// The path of the entry `key`.
    pub fn key(&'a self, key: &'a str) -> Path<'a> {
        Path { parent: Some(self), segment: Segment::Key(key), depth: self.depth + 1 }
    }

    /// The path of the item at `index`.
    pub fn index(&'a self, index: usize) -> Path<'a> {
        Path { parent: Some(self), segment: Segment::Index(index), depth: self.depth + 1 }
    }

    /// Calls `rule` with the path's segments, every index written `[]`, so that rules are slice patterns.
    /// A path deeper than any rule has no segments.
    pub fn matches<T>(&self, rule: impl FnOnce(&[&str]) -> T) -> T {
        let mut segments = [""; DEPTH];
        if self.depth > DEPTH {
            return rule(&[]);
        }
        let mut at = self;
        for slot in segments[..self.depth].iter_mut().rev() {
            *slot = match at.segment {
                Segment::Key(key) => key,
                Segment::Index(_) => "[]",
                Segment::Root => "",
            };
            match at.parent {
                Some(parent) => at = parent,
                None => break,
            }
        }
        rule(&segments[..self.depth])
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.segment {
            Segment::Root => Ok(()),
            Segment::Key(key) if self.depth == 1 => f.write_str(key),
            Segment::Key(key) => write!(f, ".{key}"),
            Segment::Index(index) => write!(f, "[{index}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_matches() {
        let services = Path::ROOT.key("services");
        let web = services.key("web");
        let ports = web.key("ports");
        let first = ports.index(0);
        assert_eq!(first.to_string(), "services.web.ports[0]");
        assert!(first.matches(|p| matches!(p, ["services", _, "ports", "[]"])));
        assert!(!first.matches(|p| matches!(p, ["services", _, "ports"])));
    }
}

//! The short syntax of `volumes`: `[SOURCE:]TARGET[:OPTIONS]`.

use model::Propagation;

use crate::canonical::object;
use crate::error::Error;
use crate::node::{Map, Node, Value};
use crate::path::Path;

/// What a short volume says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShortVolume {
    pub source: String,
    pub target: String,
    pub read_only: bool,
    pub no_copy: bool,
    pub propagation: Option<String>,
    pub selinux: Option<String>,
}

impl ShortVolume {
    /// Whether the source is a path of the host and no volume's name.
    pub fn is_bind(&self) -> bool {
        let mut chars = self.source.chars();
        match (chars.next(), chars.next()) {
            (Some('.' | '/' | '~'), _) => true,
            (Some('\\'), Some('\\')) => true,
            (Some(drive), Some(':')) => drive.is_alphabetic(),
            _ => false,
        }
    }
}

/// Reads the short syntax. One letter before a colon is a Windows drive and not a volume's name; options that aren't
/// known are ignored, as Docker Compose does.
pub fn parse(spec: &str) -> Result<ShortVolume, String> {
    let mut volume = ShortVolume::default();
    if spec.is_empty() {
        return Err("invalid empty volume spec".into());
    }
    if spec.len() <= 2 {
        volume.target = spec.to_owned();
        return Ok(volume);
    }
    let fields = split(spec);
    if fields.iter().any(String::is_empty) {
        return Err(format!("invalid spec: {spec}: empty section between colons"));
    }
    match fields.as_slice() {
        [target] => volume.target = target.clone(),
        [source, target] => (volume.source, volume.target) = (source.clone(), target.clone()),
        [source, target, options] => {
            (volume.source, volume.target) = (source.clone(), target.clone());
            for option in options.split(',') {
                match option {
                    "ro" => volume.read_only = true,
                    "rw" => volume.read_only = false,
                    "nocopy" => volume.no_copy = true,
                    word if Propagation::of_word(word).is_some() => volume.propagation = Some(option.to_owned()),
                    "z" | "Z" => volume.selinux = Some(option.to_owned()),
                    _ => {}
                }
            }
        }
        _ => return Err(format!("invalid spec: {spec}: too many colons")),
    }
    Ok(volume)
}

/// Splits at colons, but not after a drive letter and not inside `${…}`.
fn split(spec: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut nested = 0usize;
    let mut chars = spec.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '$' if chars.peek() == Some(&'{') => nested += 1,
            '}' if nested > 0 => nested -= 1,
            ':' if nested == 0 => {
                let drive = field.chars().count() == 1 && field.chars().all(char::is_alphabetic);
                if !drive {
                    fields.push(std::mem::take(&mut field));
                    continue;
                }
            }
            _ => {}
        }
        field.push(c);
    }
    fields.push(field);
    fields
}

/// Rewrites an item of `volumes`.
pub fn canonical(item: &mut Node, path: &Path) -> Result<(), Error> {
    let Some(text) = item.as_str() else { return Ok(()) };
    let volume = parse(text).map_err(|reason| Error::invalid(item.span, path, reason))?;
    let mut long = object(
        item.span,
        [
            ("type", Value::String(if volume.is_bind() { "bind" } else { "volume" }.into())),
            ("target", Value::String(clean(&volume.target))),
        ],
    );
    let span = item.span;
    if let Some(map) = long.as_map_mut() {
        let mut put = |key: &str, value: Value| map.insert(key.to_owned(), Node::new(value, span));
        if !volume.source.is_empty() {
            put("source", Value::String(volume.source.clone()));
        }
        if volume.read_only {
            put("read_only", Value::Bool(true));
        }
        if volume.is_bind() || volume.propagation.is_some() || volume.selinux.is_some() {
            let mut bind = Map::new();
            let strings = [("propagation", &volume.propagation), ("selinux", &volume.selinux)];
            for (key, value) in strings {
                if let Some(value) = value {
                    bind.insert(key.into(), Node::string(value.clone(), span));
                }
            }
            bind.insert("create_host_path".into(), Node::bool(volume.is_bind(), span));
            put("bind", Value::Map(bind));
        }
        if !volume.is_bind() || volume.no_copy {
            let mut options = Map::new();
            if volume.no_copy {
                options.insert("nocopy".into(), Node::bool(true, span));
            }
            put("volume", Value::Map(options));
        }
    }
    long.key = item.key;
    *item = long;
    Ok(())
}

/// A path in a container, cleaned as Go's `path.Clean` does.
pub fn clean(path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => match parts.last() {
                Some(&"..") | None if !rooted => parts.push(".."),
                _ => {
                    parts.pop();
                }
            },
            _ => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".into(),
        (false, false) => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_syntax() {
        let volume = parse("./a:/b:ro,rshared,unknown").unwrap();
        assert!(volume.is_bind() && volume.read_only && volume.propagation.as_deref() == Some("rshared"));
        assert_eq!(parse("v:/v").unwrap().target, "v:/v");
        assert_eq!(parse("data:/v").unwrap().source, "data");
        assert!(!parse("data:/v").unwrap().is_bind());
        assert!(parse("C:\\a:/b").unwrap().is_bind());
        assert_eq!(parse("/only").unwrap().target, "/only");
        assert!(parse(":/x").unwrap_err().contains("empty section"));
        assert!(parse("/tmp:/tmp/12:30:45/path").unwrap_err().contains("too many colons"));
    }

    #[test]
    fn cleans() {
        for (given, expected) in [("/a/../b/", "/b"), ("a/..", "."), ("../a", "../a"), ("/../a", "/a"), ("", "")] {
            assert_eq!(clean(given), expected);
        }
    }
}

//! What was probably meant, for the person who must mend the file.

use crate::node::{Node, Value};

/// The candidate that a word was probably meant to be.
pub fn closest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase().replace('-', "_");
    let allowed = 1 + word.chars().count() / 4;
    let is_part = |name: &str| {
        (lower.len() > 2 && name.to_lowercase().contains(&lower)) || (name.len() > 3 && lower.contains(name))
    };
    candidates
        .filter_map(|name| match distance(&lower, &name.to_lowercase()) {
            distance if distance <= allowed => Some((0, distance, name)),
            distance if is_part(name) => Some((1, distance, name)),
            _ => None,
        })
        .min()
        .map(|(_, _, name)| name)
}

/// `, did you mean "x"?`
pub fn did_you_mean(likely: Option<&str>) -> String {
    likely.map(|name| format!(", did you mean {name:?}?")).unwrap_or_default()
}

/// How a value of the wrong type is probably put right, by the words for what is expected.
pub fn right_type(expected: &str, node: &Node) -> String {
    let wants = |what: &str| expected.split([',', ' ']).any(|word| word == what);
    match &node.value {
        Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Time(_) if wants("string") => ": quote it".into(),
        Value::Map(map) if wants("string") && !wants("mapping") => match map.iter().next() {
            Some((key, value)) if map.len() == 1 && value.scalar_text().is_some() => {
                let value = value.scalar_text().unwrap_or_default();
                format!(": if it is text, quote it: \"{key}: {value}\"")
            }
            _ => String::new(),
        },
        Value::String(text) if expected == "a list" => format!(": write [{text:?}]"),
        Value::Int(number) if expected == "a list" => format!(": write [{number}]"),
        _ => String::new(),
    }
}

/// Levenshtein's distance, of the first 64 characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn what_was_meant() {
        let words = ["image", "memory", "pids", "service_healthy", "service_started", "ipv4_address"];
        for (word, expected) in [
            ("imgae", Some("image")),
            ("Image", Some("image")),
            ("mem", Some("memory")),
            ("healthy", Some("service_healthy")),
            ("ipv4", Some("ipv4_address")),
            ("command", None),
            ("", None),
        ] {
            assert_eq!(closest(word, words.into_iter()), expected, "{word}");
        }
    }
}

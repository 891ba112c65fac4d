//! The lines of a Dockerfile around an error, as BuildKit shows them.

use super::Span;

/// Lines shown before and after.
const AROUND: usize = 2;
/// The most lines of one excerpt.
const LINES: usize = 20;

/// `NAME:LINE` and the lines around `span`, those in it marked.
pub fn excerpt(name: &str, text: &str, span: Span) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let first = span.first.saturating_sub(AROUND).max(1);
    let last = (span.last + AROUND).min(lines.len()).min(first + LINES);
    let rule = "-".repeat(20);
    let mut out = format!("{name}:{}\n{rule}\n", span.first);
    for number in first..=last {
        let mark = if (span.first..=span.last).contains(&number) { ">>>" } else { "   " };
        let line = lines.get(number - 1).copied().unwrap_or_default();
        out.push_str(&format!("{number:4} | {mark} {line}\n"));
    }
    out + &rule
}

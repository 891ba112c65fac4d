//! Patterns for names, as Go's `filepath.Match` has them: `*`, `?`, `[a-z]`, `[^a-z]` and `\\` before what is meant as it is.

/// Whether the whole of `text` fits the pattern; one that is malformed fits nothing.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // Where the last star stands, and how much of the text it has taken so far.
    let (mut star, mut p, mut t) = (None, 0, 0);
    loop {
        if pattern.get(p) == Some(&'*') {
            star = Some((p + 1, t));
            p += 1;
            continue;
        }
        if p == pattern.len() && t == text.len() {
            return true;
        }
        if let Some(next) = text.get(t).and_then(|c| one(&pattern[p..], *c)) {
            (p, t) = (p + next, t + 1);
            continue;
        }
        match star {
            Some((after, taken)) if taken < text.len() => {
                star = Some((after, taken + 1));
                (p, t) = (after, taken + 1);
            }
            _ => return false,
        }
    }
}

/// How much of the pattern one character fits.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match pattern {
        ['?', ..] => Some(1),
        ['\\', meant, ..] => (*meant == c).then_some(2),
        ['[', rest @ ..] => {
            let negated = rest.first() == Some(&'^');
            let start = usize::from(negated);
            let end = start + 1 + rest.get(start + 1..)?.iter().position(|c| *c == ']')?;
            let (mut inside, mut at) = (false, start);
            while at < end {
                let (low, high) = match rest[at..end] {
                    [low, '-', high, ..] => (low, high),
                    [only, ..] => (only, only),
                    [] => break,
                };
                inside |= (low..=high).contains(&c);
                at += if rest[at..end].get(1) == Some(&'-') && at + 2 < end { 3 } else { 1 };
            }
            (inside != negated).then_some(end + 2)
        }
        [plain, ..] => (*plain == c).then_some(1),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, text) in [
            ("web*", "web1"),
            ("*", ""),
            ("w?b", "web"),
            ("*a*b", "xaab"),
            ("[a-c]x", "bx"),
            ("[^a]x", "bx"),
            ("\\*", "*"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("web*", "we"), ("w?b", "wb"), ("[a-c]x", "dx"), ("[", "["), ("", "a"), ("[^b]x", "bx")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}

//! What looks like a secret in texts that are about to be published. Pure.

use std::sync::LazyLock;

use regex::Regex;

/// What is looked for, with the name by which it is told.
static PATTERNS: LazyLock<Vec<(&str, Regex)>> = LazyLock::new(|| {
    let patterns = [
        ("private key", r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----"),
        ("AWS access key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
        ("GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})\b"),
        ("GitLab token", r"\bglpat-[A-Za-z0-9_-]{20,}"),
        ("Slack token", r"\bxox[abposr]-[A-Za-z0-9-]{10,}"),
        ("Google API key", r"\bAIza[0-9A-Za-z_-]{35}\b"),
        ("Docker access token", r"\bdckr_pat_[A-Za-z0-9_-]{20,}"),
        ("JSON web token", r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+"),
        ("URL with a password", r"\b[a-z][a-z0-9+.-]*://[^\s/:@$]+:[^\s/@${}]+@"),
        (
            "password or key",
            r#"(?i)(?:passw(?:or)?d|secret|token|api_?key|access_?key)[a-z0-9_]*["']?\s*[:=]\s*["']?[^\s"'$/{},\[\]*&]{6,}"#,
        ),
    ];
    patterns.into_iter().filter_map(|(name, pattern)| Some((name, Regex::new(pattern).ok()?))).collect()
});

/// Each line of `text` that looks like a secret: its number, and what it looks like.
pub fn suspicious(text: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if let Some((name, _)) = PATTERNS.iter().find(|(_, pattern)| pattern.is_match(line)) {
            found.push((index + 1, *name));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_seen_and_names_of_secrets_are_not() {
        for (line, expected) in [
            ("-----BEGIN RSA PRIVATE KEY-----", Some("private key")),
            ("-----BEGIN CERTIFICATE-----", None),
            ("KEY=AKIAIOSFODNN7EXAMPLE", Some("AWS access key")),
            ("ghp_0123456789abcdefghijklmnopqrstuvwxyz", Some("GitHub token")),
            ("url: postgres://user:hunter2@db/x", Some("URL with a password")),
            ("url: postgres://user:${PASS}@db/x", None),
            ("url: http://db:5432/x", None),
            ("      DB_PASSWORD: correct-horse", Some("password or key")),
            ("API_KEY=\"0123456789\"", Some("password or key")),
            ("      DB_PASSWORD: ${DB_PASSWORD}", None),
            ("      DB_PASSWORD_FILE: /run/secrets/db", None),
            ("secrets: [db]", None),
            ("  token:", None),
        ] {
            assert_eq!(suspicious(line).first().map(|(_, name)| *name), expected, "{line}");
        }
        assert_eq!(PATTERNS.len(), 10, "every pattern is one");
        assert_eq!(suspicious("a\nPASSWORD=hunter22\n")[0].0, 2);
    }
}

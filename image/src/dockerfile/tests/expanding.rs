use proptest::prelude::*;

use super::super::Expander;

fn expanded(text: &str) -> Result<String, String> {
    let lookup = |name: &str| match name {
        "foo" => Some("foobarbaz".to_owned()),
        "path" => Some("/usr/local/bin/tool.tar.gz".to_owned()),
        "empty" => Some(String::new()),
        "x" => Some("X y".to_owned()),
        _ => None,
    };
    Expander::new(&lookup, '\\').word(text)
}

#[test]
fn operators_are_a_shells() {
    for (text, value) in [
        ("$foo", "foobarbaz"),
        ("${foo}d$x", "foobarbazdX y"),
        ("a$1b$$c$", "ab$$"),
        ("\\$foo '$foo' \"\\$foo ${x}\"", "$foo $foo $foo X y"),
        ("${none:-d}${empty:-e}${empty-f}${none-g}", "deg"),
        ("${foo:+a}${empty:+b}${empty+c}${none+d}", "ac"),
        ("${none:-${x:-z}}", "X y"),
        ("${none:-${none:-\"a b\"}}", "a b"),
        ("${foo:?no}", "foobarbaz"),
        ("${foo#f*b}", "arbaz"),
        ("${foo##f*b}", "az"),
        ("${foo%b*}", "foobar"),
        ("${foo%%b*}", "foo"),
        ("${path##*/}", "tool.tar.gz"),
        ("${path%.*}", "/usr/local/bin/tool.tar"),
        ("${path%%.*}", "/usr/local/bin/tool"),
        ("${foo/ba/XX}", "fooXXrbaz"),
        ("${foo//ba/XX}", "fooXXrXXz"),
        ("${foo//ba?}", "foo"),
        ("${path//\\//-}", "-usr-local-bin-tool.tar.gz"),
        ("${foo/z*/}", "foobarba"),
        ("${foo#nothing}", "foobarbaz"),
        ("${foo#${foo%baz}}", "baz"),
    ] {
        assert_eq!(expanded(text).as_deref(), Ok(value), "{text}");
    }
}

#[test]
fn what_cannot_be_expanded_is_refused() {
    for (text, part) in [
        ("${foo", "not closed"),
        ("${}", "no variable name"),
        ("${none:?is missing}", "none: is missing"),
        ("${none?}", "none: is not allowed to be unset"),
        ("'a", "not closed"),
        ("\"a", "not closed"),
        ("${foo^^}", "unsupported modifier"),
    ] {
        let reason = expanded(text).unwrap_err();
        assert!(reason.contains(part), "{text} gave {reason}");
    }
    let deep = "${a:-".repeat(40) + &"}".repeat(40);
    assert!(expanded(&deep).unwrap_err().contains("nest deeper"));
}

#[test]
fn a_backtick_may_be_the_escape() {
    let lookup = |_: &str| Some("v".to_owned());
    assert_eq!(Expander::new(&lookup, '`').word("c:\\x`$a $a").as_deref(), Ok("c:\\x$a v"));
}

/// The rules again, tried one by one.
fn naive(pattern: &[char], text: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('*', rest)) => (0..=text.len()).any(|at| naive(rest, &text[at..])),
        Some(('?', rest)) => !text.is_empty() && naive(rest, &text[1..]),
        Some((c, rest)) => text.first() == Some(c) && naive(rest, &text[1..]),
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "[ -~é]{0,60}") {
        let _ = expanded(&text);
    }

    #[test]
    fn prefixes_are_the_shortest_and_the_longest_that_match(value in "[abc]{0,8}", pattern in "[abc*?]{1,5}") {
        let lookup = |_: &str| Some(value.clone());
        let of = |operator: &str| Expander::new(&lookup, '\\').word(&format!("${{v{operator}{pattern}}}")).unwrap();
        let (chars, pattern): (Vec<char>, Vec<char>) = (value.chars().collect(), pattern.chars().collect());
        let cuts: Vec<usize> = (0..=chars.len()).filter(|at| naive(&pattern, &chars[..*at])).collect();
        let rest = |at: Option<&usize>| chars[at.copied().unwrap_or(0)..].iter().collect::<String>();
        // A pattern that begins with the operator's own sign is the longer operator's.
        prop_assert_eq!(of("#"), rest(cuts.first()));
        prop_assert_eq!(of("##"), rest(cuts.last()));
        let cuts: Vec<usize> = (0..=chars.len()).filter(|at| naive(&pattern, &chars[*at..])).collect();
        let rest = |at: Option<&usize>| chars[..at.copied().unwrap_or(chars.len())].iter().collect::<String>();
        prop_assert_eq!(of("%"), rest(cuts.last()));
        prop_assert_eq!(of("%%"), rest(cuts.first()));
    }
}

use proptest::prelude::*;

use super::super::{Ignore, matches};

fn ignored(rules: &str, paths: &[&str]) -> Vec<bool> {
    let ignore = Ignore::parse(rules).unwrap();
    paths.iter().map(|path| ignore.ignores(path.as_bytes())).collect()
}

#[test]
fn the_last_rule_that_matches_decides() {
    let rules = "# comment\n*.md\n!README.md\nREADME-secret.md\n";
    assert_eq!(
        ignored(rules, &["a.md", "README.md", "README-secret.md", "b.txt", "d/a.md"]),
        [true, false, true, false, false]
    );
    assert_eq!(ignored("*.md\n!README*.md\nREADME-secret.md", &["README-secret.md"]), [true]);
    assert_eq!(ignored("*.md\nREADME-secret.md\n!README*.md", &["README-secret.md"]), [false]);
}

#[test]
fn patterns_are_dockers() {
    for (rules, path, expected) in [
        ("temp?", "tempa", true),
        ("temp?", "temp", false),
        ("*/temp*", "a/temp.txt", true),
        ("*/temp*", "temp.txt", false),
        ("*/*/temp*", "a/b/temporary", true),
        ("**/*.go", "x.go", true),
        ("**/*.go", "a/b/x.go", true),
        ("dir", "dir/file", true),
        ("/dir/", "dir/file", true),
        ("./dir/../other", "other", true),
        ("dir/**", "dir/a/b", true),
        ("dir/**", "dir", false),
        ("a/**/b", "a/b", true),
        ("a/**/b", "a/x/y/b/c", true),
        ("a/**/b", "ab", false),
        ("**", "anything/at/all", true),
        ("[a-c].txt", "b.txt", true),
        ("[^a-c].txt", "b.txt", false),
        ("a\\*b", "a*b", true),
        ("a\\*b", "axb", false),
        (".", "x", false),
        ("/", "x", false),
        ("  spaced  ", "spaced", true),
        ("*\n!keep/this", "keep/this/file", false),
        ("*\n!keep/this", "keep/other", true),
        ("*\n!keep/this\nkeep/this/not", "keep/this/not", true),
    ] {
        assert_eq!(ignored(rules, &[path]), [expected], "{rules:?} on {path}");
    }
    assert!(Ignore::parse("ok\n[a").unwrap_err().contains("line 2"));
    assert!(Ignore::parse("!").is_err());
    assert!(Ignore::parse("a\\").is_err());
}

#[test]
fn a_directory_without_exceptions_below_needs_no_look() {
    let ignore = Ignore::parse("node_modules\nbuild\n!build/keep").unwrap();
    assert!(ignore.prunes(b"node_modules"));
    assert!(!ignore.prunes(b"build"));
    assert!(ignore.prunes(b"build/other"));
    assert!(!Ignore::parse("*\n!**/*.rs").unwrap().prunes(b"src"));
}

proptest! {
    #[test]
    fn what_is_pruned_is_ignored(rules in "([a-c*!/\\n]{0,3}\\*{0,2}[a-c/]{1,3}\\n){1,4}", path in "[a-c](/[a-c]{1,2}){0,3}", below in "[a-c](/[a-c]){0,2}") {
        if let Ok(ignore) = Ignore::parse(&rules)
            && ignore.prunes(path.as_bytes())
        {
            let child = format!("{path}/{below}");
            prop_assert!(ignore.ignores(child.as_bytes()));
        }
    }

    #[test]
    fn no_pattern_panics(pattern in "[ -~]{0,12}", name in "[ -~]{0,12}") {
        let _ = matches(pattern.as_bytes(), name.as_bytes());
        let _ = Ignore::parse(&pattern).map(|ignore| ignore.ignores(name.as_bytes()));
    }

    #[test]
    fn a_name_matches_itself_escaped(name in "[a-z*?\\[\\]\\\\]{1,8}") {
        let escaped: String = name.chars().flat_map(|c| ['\\', c]).collect();
        prop_assert_eq!(matches(escaped.as_bytes(), name.as_bytes()), Ok(true));
    }
}

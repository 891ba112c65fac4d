use proptest::prelude::*;

use super::super::{Command, Copy, Dockerfile, Kind, Span, excerpt, parse_trigger};

fn parsed(text: &str) -> Dockerfile {
    Dockerfile::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn only(instruction: &str) -> Kind {
    let file = parsed(&format!("FROM a\n{instruction}\n"));
    assert_eq!(file.stages[0].instructions.len(), 1, "{instruction}");
    file.stages[0].instructions[0].kind.clone()
}

fn copy(instruction: &str) -> Copy {
    match only(instruction) {
        Kind::Copy(copy) => copy,
        other => panic!("{other:?}"),
    }
}

#[test]
fn lines_are_continued_through_comments_and_empty_lines() {
    let file = parsed(
        "\u{feff}# syntax=docker/dockerfile:1\n# escape=`\n\n# a comment\nFROM a \nRUN one `\n  # inside\n\n  two `  \n three\r\nRUN four ``\n",
    );
    assert_eq!((file.directives.escape, file.directives.syntax.as_deref()), ('`', Some("docker/dockerfile:1")));
    let texts: Vec<(&str, Span)> =
        file.stages[0].instructions.iter().map(|own| (own.text.as_str(), own.span)).collect();
    assert_eq!(texts, [("RUN one   two  three", Span { first: 6, last: 10 }), ("RUN four ``", Span::line(11))]);
}

#[test]
fn directives_end_where_a_comment_says_nothing() {
    let file = parsed("# hello\n# escape=`\nFROM a\nRUN a \\\n b\n");
    assert_eq!(file.directives.escape, '\\');
    assert_eq!(file.stages[0].instructions[0].text, "RUN a  b");
}

#[test]
fn heredocs() {
    let file = parsed(
        "FROM a\nRUN <<EOF\necho $x\n  EOF\nEOF\nCOPY <<-\"a.txt\" <<b.txt /dir/\n\tline\n\ta.txt\n$v\nb.txt\nRUN cat <<X > /f\nX\nRUN echo '<<no'\n",
    );
    let kinds: Vec<&Kind> = file.stages[0].instructions.iter().map(|own| &own.kind).collect();
    let Kind::Run(run) = kinds[0] else { panic!() };
    assert_eq!(
        (run.command.clone(), run.heredocs[0].content.as_str()),
        (Command::Shell("<<EOF".into()), "echo $x\n  EOF\n")
    );
    let Kind::Copy(copy) = kinds[1] else { panic!() };
    assert_eq!((copy.sources.len(), copy.destination.as_str()), (0, "/dir/"));
    let files: Vec<_> = copy.heredocs.iter().map(|own| (own.name.as_str(), own.expand, own.content.as_str())).collect();
    assert_eq!(files, [("a.txt", false, "line\n"), ("b.txt", true, "$v\n")]);
    let Kind::Run(run) = kinds[2] else { panic!() };
    assert_eq!((run.heredocs.len(), run.heredocs[0].content.as_str()), (1, ""));
    let Kind::Run(run) = kinds[3] else { panic!() };
    assert!(run.heredocs.is_empty());
    assert_eq!(file.stages[0].instructions[1].span, Span { first: 6, last: 10 });
}

#[test]
fn a_trigger_keeps_its_heredocs() {
    let Kind::Onbuild(text) = only("ONBUILD COPY <<f /x\nbody\nf") else { panic!() };
    assert_eq!(text, "COPY <<f /x\nbody\nf");
    let Kind::Copy(copy) = parse_trigger(&text, Span::line(1)).unwrap().kind else { panic!() };
    assert_eq!((copy.heredocs[0].content.as_str(), copy.destination.as_str()), ("body\n", "/x"));
}

#[test]
fn forms_and_flags() {
    let own = copy("COPY --from=0 --chown=1:2 --chmod=u+x --link --parents --exclude=*.o --exclude=x ./a b /c/");
    assert_eq!(
        (own.from.as_deref(), own.chown.as_deref(), own.link, own.parents),
        (Some("0"), Some("1:2"), true, true)
    );
    assert_eq!(
        (own.exclude, own.sources, own.destination),
        (vec!["*.o".into(), "x".into()], vec!["./a".into(), "b".into()], "/c/".into())
    );
    assert_eq!(copy(r#"COPY ["a b", "/c d"]"#).sources, ["a b"]);
    assert_eq!(copy("ADD --checksum=sha256:0 --unpack=false https://x/y /z").unpack, Some(false));
    let Kind::Run(run) = only("RUN --mount=type=cache,target=/c --network=none [\"a\", \"b\"]") else { panic!() };
    assert_eq!((run.mounts.len(), run.network.as_deref()), (1, Some("none")));
    assert_eq!(run.command, Command::Exec(vec!["a".into(), "b".into()]));
    let Kind::Run(run) = only("RUN --mount=type=secret,id=x,env=Y [ -f a ]") else { panic!() };
    assert_eq!(run.command, Command::Shell("[ -f a ]".into()));
}

#[test]
fn refusals_say_the_line_and_the_reason() {
    for (text, line, part) in [
        ("", 1, "no instructions"),
        ("ARG a\n", 1, "no FROM"),
        ("RUN a\n", 1, "no build stage"),
        ("FROM a\n\nRUM b\n", 3, "unknown instruction: RUM (did you mean RUN?)"),
        ("FROM a b c\n", 1, "either one or three arguments"),
        ("FROM a AS 1x\n", 1, "invalid name"),
        ("FROM a AS x\nFROM b AS X\n", 2, "duplicate name"),
        ("FROM a\nCOPY x\n", 2, "at least two arguments"),
        ("FROM a\nCOPY a b c\n", 2, "end with a /"),
        ("FROM a\nCOPY --form=x a b\n", 2, "unknown flag: --form of COPY (did you mean from?)"),
        ("FROM a\nCOPY --from a b\n", 2, "missing a value on flag: --from"),
        ("FROM a\nCOPY --link=yes a b\n", 2, "expecting boolean"),
        ("FROM a\nCOPY --chown=a --chown=b a b\n", 2, "duplicate flag"),
        ("FROM a\nRUN --mount=type=bnd,target=/a x\n", 2, "unsupported mount type \"bnd\" (did you mean bind?)"),
        ("FROM a\nRUN --mount=type=cache x\n", 2, "needs a target"),
        ("FROM a\nRUN --mount=tgt=/x x\n", 2, "unexpected key \"tgt\""),
        ("FROM a\nRUN --network=bridge x\n", 2, "invalid network mode"),
        ("FROM a\nRUN <<EOF\nx\n", 2, "unterminated heredoc"),
        ("FROM a\nSHELL sh -c\n", 2, "JSON form"),
        ("FROM a\nENV A\n", 2, "two arguments"),
        ("FROM a\nRUN\n", 2, "needs an argument"),
        ("# escape=x\nFROM a\n", 1, "invalid escape"),
        ("# escape=`\n# escape=`\nFROM a\n", 2, "only one escape"),
        ("FROM a\nONBUILD ONBUILD RUN x\n", 2, "chaining"),
        ("FROM a\nONBUILD RUNN x\n", 2, "did you mean RUN"),
    ] {
        let error = Dockerfile::parse(text).unwrap_err();
        assert_eq!(error.span.first, line, "{text:?}: {error}");
        assert!(error.message.contains(part), "{text:?} gave {error}");
    }
    let error = Dockerfile::parse("FROM a\nRUM b\n").unwrap_err();
    assert_eq!(error.to_string(), "dockerfile parse error on line 2: unknown instruction: RUM (did you mean RUN?)");
}

#[test]
fn excerpts_mark_the_lines() {
    let text = "FROM a\n\nRUN x \\\n y\nCMD z\n";
    let expected = "Dockerfile:3\n--------------------\n   1 |     FROM a\n   2 |     \n   3 | >>> RUN x \\\n   4 | >>>  y\n   5 |     CMD z\n--------------------";
    assert_eq!(excerpt("Dockerfile", text, Span { first: 3, last: 4 }), expected);
    assert!(excerpt("d", "", Span::line(9)).starts_with("d:9"));
}

proptest! {
    #[test]
    fn no_file_panics(text in "((FROM|RUN|COPY|ADD|ENV|ARG|HEALTHCHECK|ONBUILD|#|RUM)? ?[ -~]{0,30}(\\\\)?\\n){0,8}") {
        let _ = Dockerfile::parse(&text);
        let _ = Dockerfile::parse(&format!("FROM a\n{text}"));
    }

    #[test]
    fn lines_come_in_order(count in 1usize..6, gaps in proptest::collection::vec(0usize..3, 6)) {
        let mut text = "FROM a\n".to_owned();
        for (index, gap) in gaps.iter().enumerate().take(count) {
            text.push_str(&"\n".repeat(*gap));
            text.push_str(&format!("RUN step{index} \\\n more\n"));
        }
        let file = Dockerfile::parse(&text).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (index, own) in file.stages[0].instructions.iter().enumerate() {
            let wanted = format!("RUN step{index} \\");
            prop_assert_eq!(lines[own.span.first - 1], wanted.as_str());
            prop_assert_eq!(own.span.last, own.span.first + 1);
        }
    }
}

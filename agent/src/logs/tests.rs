//! On real files, rotated as the shim does it.

use std::fs::{self, OpenOptions};
use std::io::Write;

use proptest::prelude::*;

use super::*;

fn encode(at: i64, stderr: bool, text: &str) -> String {
    let stream = if stderr { "stderr" } else { "stdout" };
    let time = Timestamp(at).to_rfc3339();
    format!("{}\n", serde_json::json!({"log": text, "stream": stream, "time": time}))
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn rotate(path: &Path, files: u32) {
    let numbered = |number: u32| PathBuf::from(format!("{}.{number}", path.display()));
    for number in (1..files - 1).rev() {
        let _ = fs::rename(numbered(number), numbered(number + 1));
    }
    fs::rename(path, numbered(1)).unwrap();
}

fn all(path: &Path, query: Query) -> Vec<String> {
    let mut reader = Reader::open(path, query).unwrap();
    let mut records = Vec::new();
    while reader.read(&mut records).unwrap() == Progress::More {}
    records.into_iter().map(|record| String::from_utf8(record.line).unwrap()).collect()
}

#[test]
fn rotated_files_are_read_oldest_first_and_tailed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.log");
    for number in 0..9 {
        append(&path, &encode(number, number % 2 == 1, &format!("{number}\n")));
        if number % 3 == 2 && number < 8 {
            rotate(&path, 5);
        }
    }
    let expected: Vec<String> = (0..9).map(|number| format!("{number}\n")).collect();
    assert_eq!(all(&path, Query::default()), expected);
    let tail = |tail| Query { tail: Some(tail), ..Query::default() };
    assert_eq!(all(&path, tail(0)), [""; 0]);
    assert_eq!(all(&path, tail(4)), ["5\n", "6\n", "7\n", "8\n"]);
    assert_eq!(all(&path, tail(100)), expected);
    assert_eq!(all(&path, Query { stdout: false, ..tail(2) }), ["5\n", "7\n"]);
    let between = Query { since: Some(Timestamp(2)), until: Some(Timestamp(6)), ..Query::default() };
    assert_eq!(all(&path, between), ["2\n", "3\n", "4\n", "5\n", "6\n"]);
    assert_eq!(all(&path, Query { tail: Some(2), ..between }), ["5\n", "6\n"]);
}

#[test]
fn damage_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.log");
    assert_eq!(all(&path, Query::default()), [""; 0]);
    append(&path, &encode(1, false, "whole\n"));
    append(&path, "\u{0}\u{0}{\"log\":\n");
    append(&path, &"x".repeat(300_000));
    append(&path, "\n");
    append(&path, &encode(2, false, "after\n"));
    append(&path, "{\"log\":\"torn");
    for tail in [None, Some(5)] {
        assert_eq!(all(&path, Query { tail, ..Query::default() }), ["whole\n", "after\n"]);
    }
    assert_eq!(all(&path, Query { tail: Some(1), ..Query::default() }), ["after\n"]);
}

#[test]
fn pieces_of_a_line_count_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.log");
    for text in ["first\n", "long", "er", " line\n", "unfinished"] {
        append(&path, &encode(1, false, text));
    }
    let query = Query { tail: Some(2), ..Query::default() };
    assert_eq!(all(&path, query), ["long", "er", " line\n", "unfinished"]);
}

#[test]
fn an_emptied_file_is_read_from_its_start_and_a_cut_line_is_not_read_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.log");
    append(&path, &encode(1, false, "one\n"));
    let whole = fs::metadata(&path).unwrap().len();
    append(&path, "{\"log\":\"torn");
    let mut reader = Reader::open(&path, Query::default()).unwrap();
    let mut drain = || {
        let mut records = Vec::new();
        while reader.read(&mut records).unwrap() == Progress::More {}
        records.into_iter().map(|record| String::from_utf8(record.line).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(drain(), ["one\n"]);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(whole).unwrap();
    assert_eq!(drain(), [""; 0]);
    append(&path, &encode(2, false, "two\n"));
    assert_eq!(drain(), ["two\n"]);
    file.set_len(0).unwrap();
    append(&path, &encode(3, false, "three\n"));
    assert_eq!(drain(), ["three\n"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_sees_every_line_through_rotations_and_ends_with_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.log");
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let mut batches = follow(path.clone(), Query::default(), async move { drop(ended.await) });
    let writer = tokio::task::spawn_blocking(move || {
        for number in 0..300 {
            append(&path, &encode(number, false, &format!("{number}\n")));
            if number % 50 == 49 {
                std::thread::sleep(Duration::from_millis(30));
                rotate(&path, 10);
            }
        }
        append(&path, &encode(300, false, "300"));
        end.send(()).unwrap();
    });
    let mut lines = Vec::new();
    while let Some(batch) = batches.recv().await {
        lines.extend(batch.unwrap().into_iter().map(|record| String::from_utf8(record.line).unwrap()));
    }
    writer.await.unwrap();
    let mut expected: Vec<String> = (0..300).map(|number| format!("{number}\n")).collect();
    expected.push("300".into());
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn following_stops_when_nobody_reads_or_when_until_has_passed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.log");
    append(&path, &encode(1, false, "1\n"));
    let query = Query { until: Some(Timestamp(5)), ..Query::default() };
    let mut batches = follow(path.clone(), query, std::future::pending());
    assert_eq!(batches.recv().await.unwrap().unwrap().len(), 1);
    assert!(batches.recv().await.is_none());
    let (guard, gone) = tokio::sync::oneshot::channel::<()>();
    let ended = async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    };
    drop(follow(path, Query::default(), ended));
    assert!(gone.await.is_err());
}

proptest! {
    #[test]
    fn a_tail_is_the_end_of_the_whole(lengths in proptest::collection::vec(1usize..9000, 0..40), tail in 0u64..45,
        rotations in proptest::collection::vec(any::<bool>(), 40)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.log");
        for (number, length) in lengths.iter().enumerate() {
            append(&path, &encode(number as i64, false, &format!("{}\n", "y".repeat(*length))));
            if rotations[number] {
                rotate(&path, 50);
            }
        }
        let whole = all(&path, Query::default());
        prop_assert_eq!(whole.len(), lengths.len());
        let start = whole.len().saturating_sub(tail as usize);
        prop_assert_eq!(&all(&path, Query { tail: Some(tail), ..Query::default() })[..], &whole[start..]);
    }
}

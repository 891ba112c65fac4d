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
        let packed = |number: u32| PathBuf::from(format!("{}.{number}.gz", path.display()));
        let _ = fs::rename(packed(number), packed(number + 1));
    }
    fs::rename(path, numbered(1)).unwrap();
}

/// Compresses a rotated file as the shim does it.
fn pack(path: &Path, number: u32) {
    use std::os::unix::fs::MetadataExt;
    let plain = PathBuf::from(format!("{}.{number}", path.display()));
    let Ok(bytes) = fs::read(&plain) else { return };
    let inode = fs::metadata(&plain).unwrap().ino();
    let partial = PathBuf::from(format!("{}.tmp", path.display()));
    let file = fs::File::create(&partial).unwrap();
    let mut writer =
        flate2::GzBuilder::new().comment(format!("inode {inode}")).write(file, flate2::Compression::fast());
    writer.write_all(&bytes).unwrap();
    writer.finish().unwrap();
    fs::rename(&partial, format!("{}.{number}.gz", path.display())).unwrap();
    fs::remove_file(&plain).unwrap();
}

fn drain(reader: &mut Reader) -> Vec<String> {
    let mut records = Records::default();
    while reader.read(&mut records).unwrap() == Progress::More {}
    texts(records.take().unwrap_or_default())
}

fn texts(records: Vec<Record>) -> Vec<String> {
    records.into_iter().map(|record| String::from_utf8(record.line).unwrap()).collect()
}

fn all(path: &Path, query: Query) -> Vec<String> {
    drain(&mut Reader::open(path, query).unwrap())
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
    let mut drain = || drain(&mut reader);
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
    let mut batches = follow(path.clone(), Query::default(), Records::default(), async move { drop(ended.await) });
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
        lines.extend(texts(batch.unwrap()));
    }
    writer.await.unwrap();
    let mut expected: Vec<String> = (0..300).map(|number| format!("{number}\n")).collect();
    expected.push("300".into());
    assert_eq!(lines, expected);
}

#[test]
fn a_reader_goes_on_after_what_it_has_read_was_compressed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.log");
    append(&path, &encode(1, false, "one\n"));
    let mut reader = Reader::open(&path, Query::default()).unwrap();
    assert_eq!(drain(&mut reader), ["one\n"]);
    append(&path, &encode(2, false, "two\n"));
    rotate(&path, 5);
    pack(&path, 1);
    append(&path, &encode(3, false, "three\n"));
    rotate(&path, 5);
    pack(&path, 1);
    append(&path, &encode(4, false, "four\n"));
    assert_eq!(drain(&mut reader), ["two\n", "three\n", "four\n"]);
    // In the middle of a rotation one number is missing.
    fs::rename(dir.path().join("c.log.1.gz"), dir.path().join("c.log.3.gz")).unwrap();
    fs::rename(dir.path().join("c.log.2.gz"), dir.path().join("c.log.1.gz")).unwrap();
    assert_eq!(all(&path, Query::default()).len(), 4);
}

#[tokio::test]
async fn following_stops_when_nobody_reads_or_when_until_has_passed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.log");
    append(&path, &encode(1, false, "1\n"));
    let query = Query { until: Some(Timestamp(5)), ..Query::default() };
    let mut batches = follow(path.clone(), query, Records::default(), std::future::pending());
    assert_eq!(batches.recv().await.unwrap().unwrap().len(), 1);
    assert!(batches.recv().await.is_none());
    let (guard, gone) = tokio::sync::oneshot::channel::<()>();
    let ended = async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    };
    drop(follow(path, Query::default(), Records::default(), ended));
    assert!(gone.await.is_err());
}

proptest! {
    #[test]
    fn a_tail_is_the_end_of_the_whole(lengths in proptest::collection::vec(1usize..9000, 0..40), tail in 0u64..45,
        rotations in proptest::collection::vec(0u8..3, 40), since in 0i64..45) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.log");
        for (number, length) in lengths.iter().enumerate() {
            append(&path, &encode(number as i64, false, &format!("{}\n", "y".repeat(*length))));
            if rotations[number] > 0 {
                rotate(&path, 50);
            }
            if rotations[number] > 1 {
                pack(&path, 1);
            }
        }
        let whole = all(&path, Query::default());
        prop_assert_eq!(whole.len(), lengths.len());
        let start = whole.len().saturating_sub(tail as usize);
        let query = Query { tail: Some(tail), ..Query::default() };
        prop_assert_eq!(&all(&path, query)[..], &whole[start..]);
        let newer = whole.len().min(since as usize);
        let query = Query { since: Some(Timestamp(since)), ..query };
        prop_assert_eq!(&all(&path, query)[..], &whole[start.max(newer)..]);
    }
}

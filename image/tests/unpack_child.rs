//! Unpacking in a child process: this program is both the daemon's side and, as `… unpack ORDER`, the child.

use std::path::Path;
use std::process::{Command, ExitCode};

use image::store::ImportOptions;
use image::{Error, Limits, Store, Unpacker, unpack_main};

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next() {
        Some(verb) if verb == "unpack" => unpack_main(args),
        _ => {
            a_child_unpacks_a_layer();
            a_childs_refusal_comes_back_and_leaves_nothing();
            a_child_that_dies_is_an_error();
            orders_that_make_no_sense_are_refused();
            ExitCode::SUCCESS
        }
    }
}

fn tar(content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, "hello", content).expect("append");
    builder.into_inner().expect("finish")
}

fn own_program() -> Unpacker {
    Unpacker::Child(std::env::current_exe().expect("own path"))
}

fn imported(dir: &Path) -> Store {
    let store = Store::open(dir).expect("open");
    let options = ImportOptions { name: Some("app".parse().expect("name")), ..ImportOptions::default() };
    store.import(&tar(b"world")[..], &options).expect("import");
    store
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).expect("read").next().is_none()
}

fn a_child_unpacks_a_layer() {
    let dir = tempfile::tempdir().expect("directory");
    let store = imported(dir.path());
    let image = store.get("app").expect("image");
    let lower = store.prepare(&image, &own_program()).expect("prepare");
    assert_eq!(std::fs::read(lower[0].join("hello")).expect("read"), b"world");
}

fn a_childs_refusal_comes_back_and_leaves_nothing() {
    let dir = tempfile::tempdir().expect("directory");
    drop(imported(dir.path()));
    let store = Store::open_with(dir.path(), Limits { entries: 0, bytes: 1 << 20 }).expect("open");
    let image = store.get("app").expect("image");
    let error = store.prepare(&image, &own_program()).expect_err("the limit");
    assert!(error.to_string().contains("limit of 0 entries"), "{error}");
    assert!(is_empty(&dir.path().join("image/staging")) && is_empty(&dir.path().join("image/snapshots")));
}

fn a_child_that_dies_is_an_error() {
    let dir = tempfile::tempdir().expect("directory");
    let store = imported(dir.path());
    let image = store.get("app").expect("image");
    let error = store.prepare(&image, &Unpacker::Child("/bin/false".into())).expect_err("no report");
    assert!(matches!(error, Error::Unpack { .. }), "{error}");
    assert!(is_empty(&dir.path().join("image/staging")));
}

fn orders_that_make_no_sense_are_refused() {
    for args in [&[][..], &["{}"], &["not json"], &["{}", "{}"]] {
        let output =
            Command::new(std::env::current_exe().expect("own path")).arg("unpack").args(args).output().expect("run");
        assert_eq!(output.status.code(), Some(1));
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(report.starts_with("{\"failed\":") && report.lines().count() == 1, "{report}");
    }
}

//! Laws of the deciding parts, and the trees against a real file system.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use compose_spec::watch::{Action, Trigger};
use image::dockerfile::Ignore;
use proptest::prelude::*;

use super::batch::{Batch, LONGEST, QUIET};
use super::rules::{Context, Rule, initial, plan, topmost};
use super::tree::Tree;

fn rule(action: Action, ignore: &[&str], include: &[&str]) -> Rule {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let trigger = Trigger {
        service: "web".into(),
        action,
        path: "/p/src".into(),
        target: action.syncs().then(|| "/app/".into()),
        ignore: texts(ignore),
        include: texts(include),
        initial_sync: true,
        exec: None,
    };
    Rule::new(trigger, false, None).unwrap()
}

fn targets(rule: Rule, path: &str) -> Vec<String> {
    let plan = plan(&[rule], &[PathBuf::from(path)]);
    let copies = plan.sync.into_values().flatten();
    copies.map(|(target, _)| String::from_utf8(target).unwrap()).collect()
}

#[test]
fn files_have_their_place_in_the_container() {
    let sync = |ignore: &[&str], include: &[&str]| rule(Action::Sync, ignore, include);
    assert_eq!(targets(sync(&[], &[]), "/p/src/a/b.js"), ["/app/a/b.js"]);
    assert!(targets(sync(&[], &[]), "/p/src").is_empty(), "the directory itself is nobody's file");
    assert!(targets(sync(&[], &[]), "/p/srcs/a").is_empty());
    assert!(targets(sync(&["node_modules/"], &[]), "/p/src/node_modules/x").is_empty());
    assert_eq!(targets(sync(&["node_modules/", "!node_modules/mine"], &[]), "/p/src/node_modules/mine").len(), 1);
    assert!(targets(sync(&[], &["**/*.js"]), "/p/src/a/b.css").is_empty());
    assert_eq!(targets(sync(&[], &["**/*.js"]), "/p/src/a/b.js"), ["/app/a/b.js"]);
    for never in [".git/HEAD", "a/.git/index", "a/b.js~", ".b.js.swp", "4913", "a/.#b"] {
        assert!(targets(sync(&[], &[]), &format!("/p/src/{never}")).is_empty(), "{never}");
    }
    let mut file = sync(&[], &[]);
    file.is_file = true;
    file.trigger.target = Some("/etc/app.conf".into());
    assert_eq!(targets(file, "/p/src"), ["/etc/app.conf"]);
}

#[test]
fn dockerignore_is_of_the_context() {
    let context = Context { directory: "/p".into(), ignored: Ignore::parse("src/gen\n*.log").unwrap() };
    let with = |path: &str| {
        let mut trigger = rule(Action::Sync, &[], &[]).trigger;
        trigger.path = path.into();
        Rule::new(trigger, false, Some(Arc::new(context.clone()))).unwrap()
    };
    let rule = with("/p/src");
    assert!(!rule.matches(Path::new("/p/src/gen/x")) && rule.is_blind_to(Path::new("/p/src/gen")));
    assert!(rule.matches(Path::new("/p/src/a.log")), "the pattern is about the context's own files");
    assert!(!with("/p").matches(Path::new("/p/a.log")));
    assert!(with("/other").matches(Path::new("/other/a.log")));
}

#[test]
fn actions_are_put_together() {
    let changed = [PathBuf::from("/p/src/a"), PathBuf::from("/p/src/b")];
    let rules = [
        rule(Action::SyncRestart, &["b"], &[]),
        rule(Action::SyncExec, &[], &[]),
        rule(Action::Rebuild, &[], &["none"]),
        rule(Action::Restart, &[], &["none"]),
    ];
    let found = plan(&rules, &changed);
    assert_eq!(found.sync["web"].len(), 2);
    assert_eq!((found.restarts(), found.exec.len()), (vec!["web".to_owned()], 1));
    assert!(found.rebuild.is_empty());
    let built = plan(&[rule(Action::Rebuild, &[], &[]), rule(Action::Restart, &[], &[])], &changed);
    assert!(built.rebuild.contains("web") && built.restarts().is_empty(), "what is made again is fresh");
    let mut late = rule(Action::Sync, &[], &[]);
    late.trigger.initial_sync = false;
    assert!(initial(&[late], &changed).sync.is_empty());
    assert_eq!(initial(&rules, &changed), plan(&rules[1..2], &changed).without_exec());
}

#[test]
fn what_goes_with_a_directory_needs_no_removal_of_its_own() {
    let paths: [&[u8]; 6] = [b"/a/b", b"/a-b", b"/a/b/c", b"/d", b"/a/bc", b"/d"];
    let expected: [&[u8]; 4] = [b"/a/b", b"/a/bc", b"/a-b", b"/d"];
    assert_eq!(topmost(paths), expected);
}

impl super::Plan {
    fn without_exec(mut self) -> Self {
        self.exec.clear();
        self
    }
}

fn paths() -> impl Strategy<Value = BTreeSet<PathBuf>> {
    prop::collection::btree_set("/p/src(/[ab.~]{1,2}){0,3}".prop_map(PathBuf::from), 0..12)
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let action = prop::sample::select(vec![
        Action::Sync,
        Action::Rebuild,
        Action::Restart,
        Action::SyncRestart,
        Action::SyncExec,
    ]);
    let pattern = || prop::collection::vec("!?(\\*\\*/)?[ab*]{1,2}", 0..3);
    let one = (action, pattern(), pattern()).prop_map(|(action, ignore, include)| {
        let texts = |list: &[String]| list.iter().map(|text| text.clone().leak() as &str).collect::<Vec<_>>();
        rule(action, &texts(&ignore), &texts(&include))
    });
    prop::collection::vec(one, 0..4)
}

proptest! {
    #[test]
    fn batches_can_be_joined_and_split(rules in rules(), one in paths(), other in paths()) {
        let (a, b) = (plan(&rules, &one), plan(&rules, &other));
        let whole = plan(&rules, one.union(&other));
        prop_assert_eq!(&whole.rebuild, &a.rebuild.union(&b.rebuild).cloned().collect());
        prop_assert_eq!(&whole.restart, &a.restart.union(&b.restart).cloned().collect());
        prop_assert_eq!(&whole.exec, &a.exec.union(&b.exec).copied().collect());
        let mut copies = a.sync;
        for (service, more) in b.sync {
            copies.entry(service).or_default().extend(more);
        }
        prop_assert_eq!(whole.sync, copies);
    }

    #[test]
    fn copies_stay_below_the_target_and_nothing_ignored_is_among_them(rules in rules(), changed in paths()) {
        for (target, path) in plan(&rules, &changed).sync.into_values().flatten() {
            let target = String::from_utf8(target).unwrap();
            prop_assert!(target.starts_with("/app/") && target.len() > 5, "{target}");
            prop_assert!(changed.contains(&path) && rules.iter().any(|rule| rule.matches(&path)));
        }
    }

    #[test]
    fn nothing_is_meant_where_a_rule_is_blind(rules in rules(), dir in "/p/src(/[ab.~]{1,2}){0,2}", name in "[ab.~]{1,2}") {
        let below = Path::new(&dir).join(name);
        for rule in rules.iter().filter(|rule| rule.is_blind_to(Path::new(&dir))) {
            prop_assert!(!rule.matches(&below));
        }
    }

    #[test]
    fn no_change_is_lost_or_late(steps in prop::collection::vec((paths(), 0u64..900), 1..20)) {
        let (mut batch, mut now) = (Batch::default(), Duration::ZERO);
        let (mut added, mut taken, mut oldest) = (BTreeSet::new(), BTreeSet::new(), None);
        for (paths, pause) in steps {
            now += Duration::from_millis(pause);
            if batch.due().is_some_and(|due| due <= now) {
                taken.extend(batch.take());
                oldest = None;
            }
            if !paths.is_empty() {
                oldest.get_or_insert(now);
            }
            added.extend(paths.clone());
            batch.add(paths, now);
            prop_assert_eq!(batch.due().is_some(), oldest.is_some());
            if let (Some(due), Some(oldest)) = (batch.due(), oldest) {
                prop_assert!(due <= oldest + LONGEST && due <= now + QUIET && due >= oldest + QUIET.min(LONGEST));
            }
        }
        taken.extend(batch.take());
        prop_assert_eq!(taken, added);
        prop_assert_eq!(batch.due(), None);
    }
}

#[test]
fn what_is_owed_waits_for_the_next_change() {
    let mut batch = Batch::default();
    batch.owe(["/a".into()].into());
    assert_eq!(batch.due(), None);
    batch.add(["/b".into()], Duration::from_secs(1));
    assert_eq!(batch.take().len(), 2);
}

struct Watched {
    dir: tempfile::TempDir,
    tree: Tree,
}

fn watched(roots: &[&str], make: impl FnOnce(&Path)) -> Watched {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    let roots = roots.iter().map(|root| dir.path().join(root)).collect();
    let sees = |dir: &Path| !dir.ends_with("blind");
    Watched { tree: Tree::new(roots, Box::new(sees)).unwrap(), dir }
}

impl Watched {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str) {
        fs::write(self.path(name), name).unwrap();
    }

    /// What has changed, once `wanted` is among it. The kernel has told of all that was done before.
    fn changes(&mut self, wanted: &[&str]) -> Vec<String> {
        let mut found = BTreeSet::new();
        while !wanted.iter().all(|name| found.contains(&self.path(name))) {
            found.extend(self.tree.changes().unwrap());
        }
        let below = |path: PathBuf| path.strip_prefix(self.dir.path()).unwrap().to_str().unwrap().to_owned();
        found.into_iter().map(below).collect()
    }
}

#[test]
fn saves_new_directories_and_removals_are_told() {
    let mut watched = watched(&["src"], |dir| {
        fs::create_dir_all(dir.join("src/a")).unwrap();
        fs::create_dir_all(dir.join("src/blind")).unwrap();
        fs::write(dir.join("src/a/f"), "").unwrap();
    });
    watched.write("src/a/f");
    assert_eq!(watched.changes(&["src/a/f"]), ["src/a/f"]);
    // As editors save.
    watched.write("src/a/f.new");
    fs::rename(watched.path("src/a/f.new"), watched.path("src/a/f")).unwrap();
    watched.changes(&["src/a/f"]);
    // All at once, deeper than the kernel tells.
    fs::create_dir_all(watched.path("src/n/e/w")).unwrap();
    watched.write("src/n/e/w/f");
    watched.write("src/blind/f");
    watched.write("outside");
    watched.write("src/z");
    let found = watched.changes(&["src/n/e/w/f", "src/z"]);
    assert!(!found.iter().any(|name| name.contains("blind/") || name.contains("outside")), "{found:?}");
    watched.write("src/n/e/w/g");
    watched.changes(&["src/n/e/w/g"]);
    fs::rename(watched.path("src/n"), watched.path("src/m")).unwrap();
    watched.changes(&["src/n", "src/n/e/w/g", "src/m/e/w/g"]);
    watched.write("src/m/e/h");
    watched.changes(&["src/m/e/h"]);
    fs::rename(watched.path("src/m"), watched.path("away")).unwrap();
    watched.changes(&["src/m/e/h"]);
    watched.write("away/e/h");
    fs::remove_dir_all(watched.path("src/a")).unwrap();
    let found = watched.changes(&["src/a", "src/a/f"]);
    assert!(!found.iter().any(|name| name.contains("away")), "{found:?}");
}

#[test]
fn roots_come_go_and_are_replaced() {
    let mut watched = watched(&["conf/app.ini", "later/src"], |dir| {
        fs::create_dir(dir.join("conf")).unwrap();
        fs::write(dir.join("conf/app.ini"), "").unwrap();
    });
    watched.write("conf/other");
    watched.write("conf/new");
    fs::rename(watched.path("conf/new"), watched.path("conf/app.ini")).unwrap();
    assert_eq!(watched.changes(&["conf/app.ini"]), ["conf/app.ini"]);
    fs::create_dir(watched.path("later")).unwrap();
    fs::create_dir(watched.path("later/src")).unwrap();
    watched.write("later/src/f");
    watched.changes(&["later/src/f"]);
    fs::rename(watched.path("later"), watched.path("before")).unwrap();
    watched.changes(&["later/src/f"]);
    fs::create_dir_all(watched.path("later/src")).unwrap();
    watched.write("later/src/g");
    watched.changes(&["later/src/g"]);
    watched.write("later/src/g");
    assert_eq!(watched.changes(&["later/src/g"]), ["later/src/g"]);
}

#[test]
fn what_the_kernel_could_not_tell_is_found() {
    let queue: usize = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap().trim().parse().unwrap();
    let mut watched = watched(&["src"], |dir| {
        fs::create_dir_all(dir.join("src/a")).unwrap();
        fs::write(dir.join("src/a/gone"), "").unwrap();
        fs::write(dir.join("src/noise"), "").unwrap();
        fs::write(dir.join("src/din"), "").unwrap();
    });
    let (noise, din) = (fs::File::create(watched.path("src/noise")), fs::File::create(watched.path("src/din")));
    let (noise, din) = (noise.unwrap(), din.unwrap());
    for _ in 0..=queue / 2 {
        // Alternating, since the kernel joins equal events.
        for file in [&noise, &din] {
            rustix::fs::fchmod(file, rustix::fs::Mode::RWXU).unwrap();
        }
    }
    fs::remove_file(watched.path("src/a/gone")).unwrap();
    fs::create_dir(watched.path("src/new")).unwrap();
    watched.write("src/new/f");
    watched.changes(&["src/a/gone", "src/new/f"]);
    watched.write("src/new/g");
    watched.changes(&["src/new/g"]);
}

//! Memory that loading takes: linear in the text. Counted by the allocator, so it is the same on every machine.
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use compose_spec::{FileError, Files, LoadOptions, load};

/// Counts bytes that are held, and the most that ever were.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let held = HELD.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(held, Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct One(Vec<u8>);

impl Files for One {
    fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, FileError> {
        Ok((path == Path::new("/shop/compose.yaml")).then(|| self.0.clone()))
    }
}

/// Anchors, merge keys, `extends`, variables; every service as large as the others.
fn text(services: usize) -> Vec<u8> {
    let mut text = String::from(
        "x-common: &common\n  restart: always\n  logging: {driver: local, options: {max-size: 10m}}\n\
         services:\n  base: {image: 'base:${TAG:-latest}', environment: {LEVEL: '${LEVEL:-info}'}}\n",
    );
    for at in 0..services {
        text.push_str(&format!(
            "  s{at:05}:\n    <<: *common\n    extends: {{service: base}}\n    environment: [N={at:05}]\n    depends_on: [base]\n    \
             volumes: ['d{at:05}:/data']\n    ports: ['{}:80']\n",
            10_000 + at
        ));
    }
    text.push_str("volumes:\n");
    (0..services).for_each(|at| text.push_str(&format!("  d{at:05}: {{}}\n")));
    text.into_bytes()
}

/// The most that loading holds at once, above what was there.
fn peak(services: usize) -> usize {
    let files = One(text(services));
    let options = LoadOptions { working_dir: "/shop".into(), ..LoadOptions::default() };
    let before = HELD.load(Relaxed);
    PEAK.store(before, Relaxed);
    let loaded = load(&options, &files).unwrap();
    let text = loaded.project.config_yaml();
    assert!(text.len() > services);
    PEAK.load(Relaxed) - before
}

#[test]
fn memory_is_linear_in_the_text() {
    // The first one fills what is made once.
    peak(10);
    let (small, large) = (peak(200), peak(2000));
    println!("peak bytes: 200 services {small}, 2000 services {large}");
    let ratio = large as f64 / small as f64;
    assert!(
        (8.0..12.0).contains(&ratio),
        "ten times the services take {ratio:.1} times the memory ({small} and {large} bytes)"
    );
    let each = large / 2000;
    assert!(each < 60_000, "{each} bytes a service");
}

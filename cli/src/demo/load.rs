//! A load generator: bounded in number, and shows who answered.

use std::collections::BTreeMap;
use std::io::{Error, Result};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use super::http;

/// What came back.
#[derive(Debug, Default)]
struct Tally {
    /// The first line of each answer, which names the task.
    answers: BTreeMap<String, u32>,
    failures: BTreeMap<String, u32>,
}

/// Asks `requests` times, `concurrency` at once, and prints a count for each answer.
pub fn run(url: &str, requests: u32, concurrency: u32) -> Result<()> {
    let (next, tally, begin) = (AtomicU32::new(0), Mutex::new(Tally::default()), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..concurrency.clamp(1, 256) {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < requests {
                    let answer = http::get(url);
                    count(&mut tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner), answer);
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    for (answer, count) in tally.answers.iter().chain(&tally.failures) {
        println!("{count:6}  {answer}");
    }
    println!("{requests} requests in {:.2} s", begin.elapsed().as_secs_f64());
    let failed: u32 = tally.failures.values().sum();
    if failed == 0 { Ok(()) } else { Err(Error::other(format!("{failed} of {requests} requests failed"))) }
}

fn count(tally: &mut Tally, answer: Result<(u16, String)>) {
    let (map, key) = match answer {
        Ok((200..400, body)) => (&mut tally.answers, body.lines().next().unwrap_or_default().to_owned()),
        Ok((status, _)) => (&mut tally.failures, format!("status {status}")),
        Err(error) => (&mut tally.failures, error.to_string()),
    };
    *map.entry(key).or_default() += 1;
}

//! `sim [--seed N] [--seeds N]`: replays one run with its last events, or looks for a failure among many.

use std::process::ExitCode;

use chaos_tests::simulate;

const USAGE: &str = "usage: sim [--seed N] [--seeds N]";
/// Runs when no number is given.
const SEEDS: u64 = 1000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seeds = match parse(&arguments) {
        Ok(seeds) => seeds,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let (mut events, mut count) = (0, 0u64);
    for seed in seeds {
        match simulate(seed, None) {
            Ok(summary) => (events, count) = (events + summary.events, count + 1),
            Err(failure) => {
                eprintln!("{failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{count} runs, {events} events: all came to rest");
    ExitCode::SUCCESS
}

fn parse(arguments: &[String]) -> Result<std::ops::Range<u64>, String> {
    let mut first = None;
    let mut count = None;
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { return Err(format!("{} needs a number", pair[0])) };
        let number: u64 = value.parse().map_err(|_| format!("{value} is not a number"))?;
        match name.as_str() {
            "--seed" => first = Some(number),
            "--seeds" => count = Some(number),
            other => return Err(format!("{other} is not an option")),
        }
    }
    let begin = first.unwrap_or(0);
    let count = count.unwrap_or(if first.is_some() { 1 } else { SEEDS });
    Ok(begin..begin.saturating_add(count))
}

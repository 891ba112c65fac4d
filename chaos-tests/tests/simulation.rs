//! Many seeds come to rest, one seed gives one run, and broken cores are noticed.

use chaos_tests::mutant::Mutant;
use chaos_tests::simulate;

/// Runs of the ordinary test; `make sim SEEDS=n` does more.
const SEEDS: u64 = 128;
/// Runs that each mutant may survive but the last.
const SEEDS_OF_A_MUTANT: u64 = 60;

#[test]
fn seeds_converge() {
    let failures: Vec<_> = (0..SEEDS).filter_map(|seed| simulate(seed, None).err()).collect();
    let seeds: Vec<u64> = failures.iter().map(|failure| failure.seed).collect();
    if let Some(first) = failures.first() {
        panic!("\n{first}\nseeds that fail: {seeds:?}");
    }
}

#[test]
fn one_seed_is_one_run() {
    for seed in 1000..1005 {
        let (one, other) = (simulate(seed, None), simulate(seed, None));
        assert_eq!(one.as_ref().ok(), other.as_ref().ok());
        assert!(one.is_ok_and(|summary| summary.entries > 20), "nothing happens in seed {seed}");
    }
    assert_ne!(simulate(1000, None).ok(), simulate(1001, None).ok());
}

#[test]
fn every_mutant_is_caught() {
    let survives = |mutant: &Mutant| (0..SEEDS_OF_A_MUTANT).all(|seed| simulate(seed, Some(*mutant)).is_ok());
    let survivors: Vec<Mutant> = Mutant::ALL.into_iter().filter(survives).collect();
    assert!(survivors.is_empty(), "not noticed: {survivors:?}");
}

//! The histogram that openraft counts its batches in, in two kilobytes.
//!
//! openraft names the crate `base2histogram`, whose tables for sixteen resolutions take 24 MiB once the first of them is used. This one
//! has the part of its interface that openraft compiles against, at the one resolution that openraft uses: four buckets an octave.

use std::fmt;
use std::marker::PhantomData;

/// Buckets of one octave, as a power of two.
const SUB_BITS: u32 = 2;
/// Values below four have a bucket each; then come 62 octaves of four.
const BUCKETS: usize = 4 + 62 * 4;

/// How often values of each size came. `T` is what the original can attach to a period; openraft attaches nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram<T = ()> {
    counts: Vec<u64>,
    of: PhantomData<T>,
}

impl<T> Default for Histogram<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Histogram<T> {
    /// An empty histogram.
    #[must_use]
    pub fn new() -> Self {
        Self { counts: vec![0; BUCKETS], of: PhantomData }
    }

    /// Counts one value.
    pub fn record(&mut self, value: u64) {
        self.record_n(value, 1);
    }

    /// Counts one value so many times.
    pub fn record_n(&mut self, value: u64, times: u64) {
        if let Some(count) = self.counts.get_mut(bucket(value)) {
            *count = count.saturating_add(times);
        }
    }

    /// How many values were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Percentiles, each the least value of its bucket: at most a quarter below the true one.
    #[must_use]
    pub fn percentile_stats(&self) -> PercentileStats {
        let samples = self.total();
        let at = |per_mille: u64| self.at_rank(samples.saturating_mul(per_mille).div_ceil(1000));
        PercentileStats {
            samples,
            p0_1: at(1),
            p1: at(10),
            p5: at(50),
            p10: at(100),
            p50: at(500),
            p90: at(900),
            p99: at(990),
            p99_9: at(999),
        }
    }

    /// The value of the sample of this rank, from 1.
    fn at_rank(&self, rank: u64) -> u64 {
        let mut seen = 0u64;
        for (index, count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            seen = seen.saturating_add(*count);
            if seen >= rank {
                return least(index);
            }
        }
        0
    }
}

/// The bucket of a value.
fn bucket(value: u64) -> usize {
    let octave = value.checked_ilog2().unwrap_or(0);
    match octave.checked_sub(SUB_BITS) {
        None => value as usize,
        Some(shift) => ((shift as usize) << SUB_BITS) + (value >> shift) as usize,
    }
}

/// The least value of a bucket.
fn least(index: usize) -> u64 {
    match (index >> SUB_BITS).checked_sub(1) {
        None => index as u64,
        Some(shift) => (4 + (index as u64 & 3)) << shift,
    }
}

/// Percentiles of what a [`Histogram`] counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PercentileStats {
    pub samples: u64,
    pub p0_1: u64,
    pub p1: u64,
    pub p5: u64,
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
}

impl fmt::Display for PercentileStats {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, p50, p90, p99, p99_9, .. } = self;
        write!(out, "{samples} samples, p50 {p50}, p90 {p90}, p99 {p99}, p99.9 {p99_9}")
    }
}

/// Several histograms, printed one below the other.
#[derive(Debug, Clone, Default)]
pub struct AsciiChart {
    rows: Vec<(String, PercentileStats)>,
}

impl AsciiChart {
    /// A chart of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The chart with one more row.
    #[must_use]
    #[allow(clippy::should_implement_trait, reason = "the name is the original's")]
    pub fn add(mut self, name: impl Into<String>, histogram: Histogram) -> Self {
        self.rows.push((name.into(), histogram.percentile_stats()));
        self
    }
}

impl fmt::Display for AsciiChart {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows.iter().try_for_each(|(name, stats)| writeln!(out, "{name:>24}: {stats}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_begins_where_the_one_before_ends() {
        for index in 0..BUCKETS {
            assert_eq!(bucket(least(index)), index);
            if index > 0 {
                assert_eq!(bucket(least(index) - 1), index - 1);
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_within_a_quarter() {
        let mut histogram = Histogram::<()>::new();
        assert_eq!(histogram.percentile_stats().p99, 0);
        (1..=1000).for_each(|value| histogram.record(value));
        let stats = histogram.percentile_stats();
        assert_eq!(stats.samples, 1000);
        for (found, wanted) in [(stats.p1, 10), (stats.p50, 500), (stats.p99, 990)] {
            assert!(found <= wanted && found * 4 >= wanted * 3, "{found} for {wanted}");
        }
    }
}

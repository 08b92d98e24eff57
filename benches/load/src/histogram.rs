//! Latencies in buckets: 64 to a power of two, so a quantile is right to 1.6 %.

const SUB_BITS: u32 = 6;
const SUB: usize = 1 << SUB_BITS;

/// Counts of durations in nanoseconds. Fixed size (30 KiB), whatever is recorded.
#[derive(Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; SUB * (64 - SUB_BITS as usize + 1)], total: 0, max: 0 }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, nanos: u64) {
        self.counts[bucket(nanos)] += 1;
        self.total += 1;
        self.max = self.max.max(nanos);
    }

    /// Counts what `other` has counted.
    pub fn add(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// The smallest bucket bound that `share` (0 to 1) of the durations do not exceed; 0 when there are none.
    pub fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper_bound(index).min(self.max);
            }
        }
        self.max
    }

    /// The longest duration, exact.
    pub fn max(&self) -> u64 {
        self.max
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < SUB as u64 {
        return nanos as usize;
    }
    let shift = nanos.ilog2() - SUB_BITS;
    SUB * (shift as usize + 1) + ((nanos >> shift) as usize - SUB)
}

fn upper_bound(index: usize) -> u64 {
    if index < SUB {
        return index as u64;
    }
    let shift = index / SUB - 1;
    let low = ((index % SUB + SUB) as u128) << shift;
    u64::try_from(low + (1 << shift) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_it_says_and_its_bounds_are_within_two_percent() {
        for nanos in [0, 1, 63, 64, 65, 127, 128, 1_000, 999_999, 5_000_000_000, u64::MAX / 2, u64::MAX] {
            let upper = upper_bound(bucket(nanos));
            assert!(upper >= nanos && upper - nanos <= nanos / 50, "{nanos} in a bucket up to {upper}");
        }
    }

    #[test]
    fn quantiles_of_one_to_a_thousand() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|n| histogram.record(n * 1000));
        assert!((500_000..=508_000).contains(&histogram.quantile(0.5)));
        assert!((990_000..=1_000_000).contains(&histogram.quantile(0.99)));
        assert_eq!(histogram.max(), 1_000_000);
        assert_eq!(Histogram::default().quantile(0.99), 0);
    }
}

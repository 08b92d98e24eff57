//! How long an upstream takes, as seen by one worker (RFC 6298, without its back-off).

use std::time::Duration;

/// A smoothed round trip time and its variation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundTrip {
    smoothed: Option<Duration>,
    variation: Duration,
}

impl RoundTrip {
    /// Takes in the time one reply took.
    pub(super) fn observe(&mut self, sample: Duration) {
        match &mut self.smoothed {
            None => {
                self.smoothed = Some(sample);
                self.variation = sample / 2;
            }
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(sample)) / 4;
                *smoothed = (*smoothed * 7 + sample) / 8;
            }
        }
    }

    /// After which time a reply is no longer likely to come, and asking once more makes sense.
    pub(super) fn patience(&self) -> Duration {
        self.smoothed.map_or(PATIENCE_MAX, |smoothed| {
            (smoothed + self.variation * 4).clamp(PATIENCE_MIN, PATIENCE_MAX)
        })
    }
}

/// Below this a busy upstream would be asked twice for nothing.
const PATIENCE_MIN: Duration = Duration::from_millis(100);

/// Stub resolvers ask again after one to five seconds; their second question should have an effect.
const PATIENCE_MAX: Duration = Duration::from_millis(800);

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn patience_follows_what_is_seen() {
        let mut trip = RoundTrip::default();
        assert_eq!(trip.patience(), PATIENCE_MAX);
        (0..50).for_each(|_| trip.observe(ms(1)));
        assert_eq!(trip.patience(), PATIENCE_MIN);
        (0..50).for_each(|_| trip.observe(ms(200)));
        assert!((ms(190)..ms(260)).contains(&trip.patience()), "{:?}", trip.patience());
        trip.observe(ms(5_000));
        assert_eq!(trip.patience(), PATIENCE_MAX);
    }
}

//! Delivery times and their percentiles.

use std::time::Duration;

/// Every delivery time of a run, in microseconds.
#[derive(Default)]
pub struct Latencies(Vec<u32>);

impl Latencies {
    /// Notes one delivery.
    pub fn push(&mut self, took: Duration) {
        self.0
            .push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    /// Takes in another's.
    pub fn extend(&mut self, other: &Latencies) {
        self.0.extend_from_slice(&other.0);
    }

    /// The given quantiles in milliseconds; zeros if nothing was delivered.
    pub fn quantiles(&mut self, of: &[f64]) -> Vec<f64> {
        self.0.sort_unstable();
        of.iter()
            .map(|q| {
                let last = self.0.len().saturating_sub(1);
                let at = (self.0.len() as f64 * q).ceil() as usize;
                self.0
                    .get(at.saturating_sub(1).min(last))
                    .map_or(0.0, |us| f64::from(*us) / 1000.0)
            })
            .collect()
    }
}

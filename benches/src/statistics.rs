//! From samples to what is printed: minimum and median, for the noise of a shared machine is one-sided.

use std::time::Duration;

/// Times of the same thing done again and again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    pub(crate) fn add(&mut self, sample: Duration) {
        self.0.push(sample);
    }

    /// In milliseconds; nothing without samples.
    pub(crate) fn median(&self) -> Option<f64> {
        let mut sorted = self.0.clone();
        sorted.sort();
        let upper = sorted.get(sorted.len() / 2)?;
        let lower = sorted.get(sorted.len().checked_sub(1)? / 2)?;
        Some(f64::midpoint(milliseconds(*lower), milliseconds(*upper)))
    }

    /// In milliseconds; nothing without samples.
    pub(crate) fn minimum(&self) -> Option<f64> {
        self.0.iter().min().copied().map(milliseconds)
    }
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(milliseconds: &[u64]) -> Samples {
        Samples(milliseconds.iter().copied().map(Duration::from_millis).collect())
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(samples(&[9, 1, 2]).median(), Some(2.0));
        assert_eq!(samples(&[4, 1, 2, 9]).median(), Some(3.0));
        assert_eq!(samples(&[]).median(), None);
    }

    #[test]
    fn the_minimum_is_the_smallest() {
        assert_eq!(samples(&[9, 1, 2]).minimum(), Some(1.0));
        assert_eq!(samples(&[]).minimum(), None);
    }
}

//! What a number of measurements amount to. Pure.

/// Statistics of at least one measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// How many.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// The smallest.
    pub minimum: f64,
    /// The largest.
    pub maximum: f64,
}

impl Statistics {
    /// Those of one measurement.
    #[must_use]
    pub fn of(value: f64) -> Statistics {
        Statistics { count: 1.0, sum: value, minimum: value, maximum: value }
    }

    /// Those of both together.
    #[must_use]
    pub fn and(self, other: Statistics) -> Statistics {
        Statistics {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            minimum: self.minimum.min(other.minimum),
            maximum: self.maximum.max(other.maximum),
        }
    }

    /// The mean.
    #[must_use]
    pub fn average(self) -> f64 {
        self.sum / self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_of_several_are_those_of_all_their_measurements() {
        let all = [3.0, -1.0, 4.0].map(Statistics::of).into_iter().reduce(Statistics::and).unwrap();
        assert_eq!(all, Statistics { count: 3.0, sum: 6.0, minimum: -1.0, maximum: 4.0 });
        assert!((all.average() - 2.0).abs() < f64::EPSILON);
    }
}

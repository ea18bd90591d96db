//! How long a way takes.

use crate::place::Point;

/// What knows how long a way takes.
pub trait Travel: Send + Sync + 'static {
    /// Seconds from one place to another for somebody who leaves in this hour of the day, 0 to 23 (UTC).
    fn seconds(&self, from: Point, to: Point, hour: u8) -> u32;
}

/// Over the straight line, at one speed.
#[derive(Clone, Copy, Debug)]
pub struct StraightLine {
    /// Kilometres an hour over the straight line.
    pub kmh: u16,
}

impl Travel for StraightLine {
    fn seconds(&self, from: Point, to: Point, _hour: u8) -> u32 {
        let metres_a_second = f64::from(self.kmh.max(1)) / 3.6;
        (from.metres_to(to) / metres_a_second).round() as u32
    }
}

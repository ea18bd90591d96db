//! Which positions of a courier are of use. Pure: no I/O and no clock.

use std::time::Duration;

use time::OffsetDateTime;

use crate::place::Point;

/// Less accurate positions are of no use.
const MOST_METRES_OFF: f32 = 200.0;
/// Nothing on a road is faster.
const MOST_METRES_A_SECOND: f64 = 60.0;
/// How far ahead the clock of a courier's device may be.
const MOST_AHEAD: Duration = Duration::from_secs(60);
/// Older positions say nothing any more; their topic keeps no longer what it got.
const MOST_BEHIND: Duration = Duration::from_secs(60 * 60);
/// At most one position is taken in this time.
const PACE: Duration = Duration::from_secs(1);
/// A position is measured against the one before it for so long. Were it for ever, one wrong position far away would keep out all right ones.
const COMPARED: Duration = Duration::from_secs(120);

/// A position as a courier's device reports it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reported {
    /// Where.
    pub point: Point,
    /// When, by the clock of the device.
    pub time: OffsetDateTime,
    /// How far off it may be, in metres; 0 where the device does not say.
    pub accuracy_metres: f32,
}

/// Why a position was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// It may be too far off.
    Inaccurate,
    /// It is more than a minute in the future.
    Future,
    /// It is more than an hour old.
    Old,
    /// It is not newer than the one before.
    NotNewer,
    /// The one before is too recent.
    TooSoon,
    /// Nobody is that fast.
    TooFast,
    /// Kafka takes none at present.
    NotPublished,
}

impl Dropped {
    /// As metrics name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inaccurate => "inaccurate",
            Self::Future => "future",
            Self::Old => "old",
            Self::NotNewer => "not_newer",
            Self::TooSoon => "too_soon",
            Self::TooFast => "too_fast",
            Self::NotPublished => "not_published",
        }
    }
}

/// What is remembered of a courier: the last position that was taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter(Option<(Point, OffsetDateTime)>);

impl Filter {
    /// Takes a position that is of use.
    pub fn take(&mut self, reported: Reported, now: OffsetDateTime) -> Result<(), Dropped> {
        let Reported { point, time, accuracy_metres } = reported;
        if accuracy_metres > MOST_METRES_OFF {
            return Err(Dropped::Inaccurate);
        }
        if time > now + MOST_AHEAD {
            return Err(Dropped::Future);
        }
        if time < now - MOST_BEHIND {
            return Err(Dropped::Old);
        }
        if let Some((last_point, last_time)) = self.0 {
            compare(last_point.metres_to(point), time - last_time)?;
        }
        self.0 = Some((point, time));
        Ok(())
    }
}

/// Whether a courier can be this far from its last position, after this time.
fn compare(metres: f64, elapsed: time::Duration) -> Result<(), Dropped> {
    if elapsed <= time::Duration::ZERO {
        return Err(Dropped::NotNewer);
    }
    if elapsed < PACE {
        return Err(Dropped::TooSoon);
    }
    let is_too_fast = elapsed < COMPARED && metres > MOST_METRES_A_SECOND * elapsed.as_seconds_f64();
    if is_too_fast { Err(Dropped::TooFast) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: OffsetDateTime = time::macros::datetime!(2026-11-26 12:00 UTC);
    /// About this many metres.
    const DEGREE: f64 = 111_195.0;

    /// `north` metres from a place, `after` seconds from noon.
    fn at(north: f64, after: f64) -> Reported {
        let point = Point::new(40.0 + north / DEGREE, -3.7).expect("valid");
        Reported { point, time: NOON + time::Duration::seconds_f64(after), accuracy_metres: 5.0 }
    }

    fn taken(reports: &[Reported]) -> Vec<Result<(), Dropped>> {
        let mut filter = Filter::default();
        reports.iter().map(|reported| filter.take(*reported, NOON)).collect()
    }

    #[test]
    fn each_cause_drops_a_position_and_the_next_is_compared_with_the_last_one_taken() {
        let inaccurate = Reported { accuracy_metres: 200.5, ..at(0.0, 2.0) };
        let barely = Reported { accuracy_metres: 200.0, ..at(20.0, 3.0) };
        assert_eq!(
            taken(&[
                at(0.0, 0.0),
                at(0.0, 0.0),
                at(0.0, -5.0),
                at(10.0, 0.9),
                at(61.0, 1.0),
                at(59.0, 1.0),
                inaccurate,
                barely,
                at(0.0, 61.0)
            ]),
            [
                Ok(()),
                Err(Dropped::NotNewer),
                Err(Dropped::NotNewer),
                Err(Dropped::TooSoon),
                Err(Dropped::TooFast),
                Ok(()),
                Err(Dropped::Inaccurate),
                Ok(()),
                Err(Dropped::Future),
            ]
        );
        assert_eq!(taken(&[at(0.0, -3601.0), at(0.0, -3600.0), at(0.0, 60.0)]), [Err(Dropped::Old), Ok(()), Ok(())]);
    }

    #[test]
    fn one_wrong_position_far_away_does_not_keep_out_the_right_ones_for_ever() {
        let mut filter = Filter::default();
        filter.take(at(500_000.0, 0.0), NOON).expect("the first is taken");
        assert_eq!(filter.take(at(0.0, 60.0), NOON), Err(Dropped::TooFast));
        assert_eq!(filter.take(at(0.0, 120.0), NOON + 2 * MOST_AHEAD), Ok(()));
    }

    proptest::proptest! {
        #[test]
        fn what_is_taken_is_newer_by_a_second_and_reachable(
            reports in proptest::collection::vec((-5000.0..5000.0_f64, 0.0..200.0_f64, 0.0..400.0_f32), 1..60)
        ) {
            let mut filter = Filter::default();
            let mut last: Option<Reported> = None;
            for (north, after, accuracy_metres) in reports {
                let (reported, before) = (Reported { accuracy_metres, ..at(north, after) }, filter.0);
                if filter.take(reported, NOON).is_err() {
                    assert_eq!(filter.0, before, "what is dropped leaves no trace");
                    continue;
                }
                assert!(accuracy_metres <= 200.0 && reported.time <= NOON + MOST_AHEAD);
                if let Some(last) = last.replace(reported) {
                    let seconds = (reported.time - last.time).as_seconds_f64();
                    assert!(seconds >= 1.0);
                    assert!(seconds >= 120.0 || last.point.metres_to(reported.point) <= 60.0 * seconds);
                }
            }
        }
    }
}

//! When a mail is tried again.

use std::{str::FromStr, time::Duration};

/// How much a wait may differ from the schedule, either way, so that mails which failed together do not come back together.
const JITTER: f64 = 0.2;

/// Longest wait: what is longer was not meant, and may lie behind the end of the database's times.
const MOST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Waits after the first, second, third.. try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(Vec<Duration>);

impl Schedule {
    /// How long to wait after this many tries; `None` to give up. `chance` lies between -1 and 1.
    pub fn wait(&self, tries: i32, chance: f64) -> Option<Duration> {
        let index = usize::try_from(tries - 1).unwrap_or(0);
        self.0.get(index).map(|wait| wait.mul_f64(1.0 + JITTER * chance))
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let waits = text.split(',').map(|part| duration(part.trim()));
        waits
            .collect::<Option<_>>()
            .map(Self)
            .ok_or_else(|| "must look like 30s,1m,5m,1h, none longer than a year".into())
    }
}

fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    let (count, unit_ms) = UNITS.iter().find_map(|(unit, ms)| Some((text.strip_suffix(unit)?, *ms)))?;
    let digits = count.bytes().all(|byte| byte.is_ascii_digit()).then_some(count)?;
    let wait = Duration::from_millis(u64::from(digits.parse::<u32>().ok()?) * unit_ms);
    (wait <= MOST).then_some(wait)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

    proptest! {
        #[test]
        fn a_schedule_waits_as_it_says_and_none_waits_for_ever(waits in prop::collection::vec((any::<u32>(), 0..18, 0..4_usize), 1..9)) {
            let waits: Vec<_> = waits.into_iter().map(|(count, shift, unit)| (count >> shift, UNITS[unit])).collect();
            let text: Vec<_> = waits.iter().map(|(count, (unit, _))| format!("{count}{unit}")).collect();
            let waits: Vec<_> = waits.iter().map(|(count, (_, ms))| Duration::from_millis(u64::from(*count) * ms)).collect();
            match text.join(",").parse::<Schedule>() {
                Ok(schedule) => {
                    prop_assert_eq!(&schedule.0, &waits);
                    let last = i32::try_from(waits.len()).expect("few");
                    prop_assert!((1..=last).all(|tries| schedule.wait(tries, 1.0).is_some_and(|wait| wait <= MOST.mul_f64(1.2))));
                    prop_assert_eq!(schedule.wait(last + 1, 0.0), None);
                }
                Err(_) => prop_assert!(waits.iter().any(|wait| *wait > MOST), "{text:?}"),
            }
        }

        #[test]
        fn any_text_is_a_schedule_or_is_refused(text in "[0-9smh, +.-]{0,20}") {
            if let Ok(schedule) = text.parse::<Schedule>() {
                prop_assert_eq!(schedule.0.len(), text.split(',').count());
            }
        }
    }

    #[test]
    fn the_waits_follow_the_schedule_within_a_fifth_and_then_end() {
        let schedule: Schedule = "200ms, 1m,2h".parse().expect("a schedule");
        let seconds = |tries, chance| schedule.wait(tries, chance).map(|wait| wait.as_secs_f64());
        assert_eq!(seconds(1, 0.0), Some(0.2));
        assert_eq!(seconds(2, -1.0), Some(48.0));
        assert_eq!(seconds(2, 1.0), Some(72.0));
        assert_eq!(seconds(3, 0.5), Some(7920.0));
        assert_eq!(seconds(4, 0.0), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in ["", "1", "1d", "m", "-1m", "1m,,2m", "1.5h", "+1m", "9000h"] {
            assert!(wrong.parse::<Schedule>().is_err(), "{wrong}");
        }
    }
}

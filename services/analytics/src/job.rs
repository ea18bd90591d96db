//! An event of an assignment, as it is counted for its courier.

use comanda_proto::{
    events::{AssignmentEvent, AssignmentEventType},
    views::offset_date_time,
};
use prost_types::Timestamp;
use time::{Duration, OffsetDateTime};

use crate::elapsed::{in_microseconds, microseconds};

/// A pickup so long after the promised time is still on time.
const GRACE: Duration = Duration::minutes(5);

/// What happened to a job of a courier. Durations are in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// It was offered.
    Offered,
    /// The offer was declined, or expired.
    Refused,
    /// It is the courier's.
    Allotted {
        /// For how long the courier had been available without a job.
        idle_us: i64,
    },
    /// It was taken back before its end.
    Released,
    /// It was picked up.
    PickedUp {
        /// Since it was allotted.
        pickup_us: i64,
        /// At most 5 minutes after the promised time.
        on_time: bool,
    },
    /// It was done.
    Completed {
        /// Since it was allotted.
        busy_us: i64,
    },
}

impl Job {
    /// What is counted of an event at this time; `None` where nothing is.
    pub fn of(event: &AssignmentEvent, time: OffsetDateTime) -> Option<Self> {
        let allot_time = moment(event.allot_time.as_ref());
        let since_allotted = |end| allot_time.map_or(0, |allotted| microseconds(allotted, end));
        match event.r#type() {
            AssignmentEventType::Offered => Some(Self::Offered),
            AssignmentEventType::Declined | AssignmentEventType::Expired => Some(Self::Refused),
            AssignmentEventType::Allotted => Some(Self::Allotted { idle_us: idle(event) }),
            // An offer that is taken back was no job yet.
            AssignmentEventType::Released => allot_time.map(|_| Self::Released),
            AssignmentEventType::PickedUp => {
                let pickup_time = moment(event.pickup_time.as_ref()).unwrap_or(time);
                let promised = moment(event.promised_pickup_time.as_ref());
                let on_time = promised.is_none_or(|promised| pickup_time <= promised + GRACE);
                Some(Self::PickedUp { pickup_us: since_allotted(pickup_time), on_time })
            }
            AssignmentEventType::Completed => Some(Self::Completed { busy_us: since_allotted(time) }),
            _ => None,
        }
    }
}

fn moment(time: Option<&Timestamp>) -> Option<OffsetDateTime> {
    time.and_then(offset_date_time)
}

fn idle(event: &AssignmentEvent) -> i64 {
    let idle = event.idle_duration.unwrap_or_default();
    in_microseconds(Duration::new(idle.seconds, idle.nanos))
}

#[cfg(test)]
mod tests {
    use comanda_proto::views::timestamp;
    use time::macros::datetime;

    use super::*;

    const ALLOTTED: OffsetDateTime = datetime!(2026-11-01 12:00 UTC);

    fn job(kind: AssignmentEventType, minutes: i64, promised_minutes: i64, is_allotted: bool) -> Option<Job> {
        let after = |minutes| ALLOTTED + Duration::minutes(minutes);
        let event = AssignmentEvent {
            r#type: kind.into(),
            allot_time: is_allotted.then(|| timestamp(ALLOTTED)),
            pickup_time: Some(timestamp(after(minutes))),
            promised_pickup_time: Some(timestamp(after(promised_minutes))),
            idle_duration: Some(prost_types::Duration { seconds: 2, nanos: 500_000_000 }),
            ..Default::default()
        };
        Job::of(&event, after(minutes))
    }

    #[test]
    fn a_pickup_is_on_time_up_to_five_minutes_after_the_promise() {
        let pickup = |minutes, promised| job(AssignmentEventType::PickedUp, minutes, promised, true);
        let minute = 60_000_000;
        assert_eq!(pickup(12, 7), Some(Job::PickedUp { pickup_us: 12 * minute, on_time: true }));
        assert_eq!(pickup(13, 7), Some(Job::PickedUp { pickup_us: 13 * minute, on_time: false }));
    }

    #[test]
    fn each_kind_counts_as_the_contract_says() {
        assert_eq!(job(AssignmentEventType::Allotted, 0, 9, false), Some(Job::Allotted { idle_us: 2_500_000 }));
        assert_eq!(job(AssignmentEventType::Completed, 1, 9, true), Some(Job::Completed { busy_us: 60_000_000 }));
        assert_eq!(job(AssignmentEventType::Released, 1, 9, true), Some(Job::Released));
        assert_eq!(job(AssignmentEventType::Released, 1, 9, false), None, "an offer");
        for refused in [AssignmentEventType::Declined, AssignmentEventType::Expired] {
            assert_eq!(job(refused, 1, 9, false), Some(Job::Refused));
        }
        for other in [AssignmentEventType::Arrived, AssignmentEventType::GivenUp, AssignmentEventType::Delayed] {
            assert_eq!(job(other, 1, 9, true), None, "{other:?}");
        }
    }
}

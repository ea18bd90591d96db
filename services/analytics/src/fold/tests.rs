use proptest::{collection::vec, prelude::*};
use time::{Duration, macros::datetime};

use super::*;

fn moved(
    order: u128,
    version: i64,
    time: OffsetDateTime,
    from_status: &str,
    to_status: &str,
    dwell_us: Option<i64>,
) -> Event {
    let moved = Moved {
        from_status: from_status.into(),
        dwell_us,
        to_status: to_status.into(),
        phase: if to_status == "delivered" { 2 } else { 1 },
        trigger: 2,
        currency: "UYU".into(),
        units: i64::MAX,
        nanos: 999_999_999,
        items: 3,
    };
    let (tenant, workflow) = ("default".into(), "delivery".into());
    Event { order_id: Uuid::from_u128(order), version, tenant, workflow, time, fact: Fact::Moved(moved) }
}

fn job(version: i64, time: OffsetDateTime, job: Job) -> Event {
    let fact = Fact::Job { courier_id: "ana".into(), job };
    Event { fact, ..moved(7, version, time, "", "x", None) }
}

#[test]
fn an_event_counts_in_its_hour_its_day_and_its_month() {
    let time = datetime!(2026-03-01 00:10 UTC);
    let events = [
        moved(1, 1, time, "", "received", None),
        moved(1, 2, time + Duration::MINUTE, "received", "delivered", Some(60_000_000)),
        moved(2, 1, time + Duration::HOUR, "", "received", None),
        moved(3, 1, time + Duration::days(1), "", "received", None),
    ];
    let changes = fold(&events);
    let created: Vec<_> = changes.moves.iter().filter(|(key, _)| key.from_status.is_empty()).collect();
    let of = |span: Span| created.iter().filter(move |(key, _)| key.span == span).map(|(_, sums)| sums.orders);
    assert_eq!(of(Span::Hour).collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(of(Span::Day).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(of(Span::Month).collect::<Vec<_>>(), [3]);
    let (_, month) = created.last().expect("a month");
    assert_eq!((month.items, month.total_units), (9, 3 * i128::from(i64::MAX)));
    assert_eq!((month.total_nanos, month.dwells.is_empty()), (3 * 999_999_999, true));
    let end = Gate { version: 2, end_time: Some(time + Duration::MINUTE) };
    assert_eq!(changes.gates[&Uuid::from_u128(1)], end);
    assert_eq!(changes.gates[&Uuid::from_u128(2)], Gate { version: 1, end_time: None });
}

#[test]
fn jobs_count_for_their_courier() {
    let time = datetime!(2026-03-01 00:10 UTC);
    let events = [
        job(1, time, Job::Offered),
        job(2, time, Job::Refused),
        job(3, time, Job::Allotted { idle_us: 5 }),
        job(4, time, Job::PickedUp { pickup_us: 7_000_000, on_time: true }),
        job(5, time + Duration::HOUR, Job::Completed { busy_us: 9 }),
        Event { fact: Fact::Other, ..job(6, time, Job::Offered) },
    ];
    let changes = fold(&events);
    assert_eq!(changes.jobs.len(), 4, "two hours, a day, a month");
    let day = changes.jobs.iter().find(|(key, _)| key.span == Span::Day).expect("a day").1;
    assert_eq!((day.offered, day.refused, day.allotted, day.released), (1, 1, 1, 0));
    assert_eq!((day.picked_up, day.on_time, day.completed), (1, 1, 1));
    assert_eq!((day.pickup_us, day.idle_us, day.busy_us), (7_000_000, 5, 9));
    assert_eq!(changes.gates[&Uuid::from_u128(7)], Gate { version: 6, end_time: None });
}

/// As the store adds up what batches change.
fn add<'e>(total: &mut Changes<'e>, changes: Changes<'e>) {
    changes.moves.into_iter().for_each(|(key, sums)| *total.moves.entry(key).or_default() += sums);
    changes.jobs.into_iter().for_each(|(key, sums)| *total.jobs.entry(key).or_default() += sums);
    for (order_id, gate) in changes.gates {
        let known = total.gates.entry(order_id).or_default();
        known.version = known.version.max(gate.version);
        known.end_time = known.end_time.max(gate.end_time);
    }
}

/// Durations have no order.
fn in_order(mut changes: Changes<'_>) -> Changes<'_> {
    changes.moves.values_mut().for_each(|sums| sums.dwells.sort_unstable());
    changes.jobs.values_mut().for_each(|sums| sums.pickups.sort_unstable());
    changes
}

proptest! {
    #[test]
    fn parts_add_up_to_the_whole_wherever_it_is_cut(
        read in vec((0_u128..4, 1_i64..6, 0_i64..5_000_000, 0_usize..3, any::<bool>()), 0..40),
        cut in 0_usize..40,
    ) {
        let statuses = ["received", "preparing", "delivered"];
        let events: Vec<_> = read.iter().map(|(order, version, seconds, status, is_job)| {
            let time = datetime!(2026-01-01 00:00 UTC) + Duration::seconds(*seconds);
            let moved = moved(*order, *version, time, statuses[*status], statuses[(status + 1) % 3], Some(seconds * 1_000));
            let picked_up = Job::PickedUp { pickup_us: seconds * 1_000, on_time: *status == 0 };
            if *is_job { job(*version, time, picked_up) } else { moved }
        }).collect();
        let (first, second) = events.split_at(cut.min(events.len()));
        let mut parts = fold(first);
        add(&mut parts, fold(second));
        prop_assert_eq!(in_order(parts), in_order(fold(&events)));
    }
}

//! Every number that is stored, and what it should be: computed from the history in another way than the service does.

use std::collections::BTreeMap;

use anyhow::Result;
use comanda_proto::{
    events::{AssignmentEvent, AssignmentEventType},
    views::offset_date_time,
};
use prost_types::Timestamp;
use sqlx::AssertSqlSafe;
use time::{Duration, OffsetDateTime, Time};

use crate::{fixture::Fixture, lives::Past};

/// Keys and sums, as text.
pub type Numbers = Vec<String>;

/// What one line of transitions says.
const MOVE_LINE: &str = "concat_ws(' ', tenant, span, to_char(span_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24'), workflow, from_status, to_status,
                             phase, trigger, currency, orders, items, total_units, total_nanos, dwell_us)";

impl Fixture {
    /// The live sums of transitions.
    pub async fn moves(&self) -> Result<Numbers> {
        let statement = format!(
            "SELECT {MOVE_LINE} FROM analytics.transitions
             WHERE generation = (SELECT generation FROM analytics.generations WHERE state = 2) ORDER BY 1"
        );
        Ok(sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(&self.sql).await?)
    }

    /// What they should be, from the history that the state machine shows.
    pub async fn expected_moves(&self) -> Result<Numbers> {
        let statement = format!(
            "SELECT {MOVE_LINE} FROM (
                 SELECT h.tenant, s.span, date_trunc(s.unit, h.transition_time, 'UTC') AS span_time, h.workflow, h.from_status,
                        h.to_status, h.phase, h.trigger, h.currency, count(*) AS orders, sum(h.item_count) AS items,
                        sum(h.total_units) AS total_units, sum(h.total_nanos) AS total_nanos,
                        coalesce(sum(round(extract(epoch FROM h.transition_time - h.from_time) * 1000000)), 0)::bigint AS dwell_us
                 FROM state_machine.order_history h
                 CROSS JOIN (VALUES (1, 'hour'), (2, 'day'), (3, 'month')) AS s (span, unit)
                 GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9
             ) x ORDER BY 1"
        );
        Ok(sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(&self.sql).await?)
    }

    /// The live sums of couriers.
    pub async fn jobs(&self) -> Result<Numbers> {
        let statement =
            "SELECT concat_ws(' ', tenant, span, to_char(span_time AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24'), workflow, courier_id, offered,
                              refused, allotted, released, picked_up, on_time, completed, pickup_us, idle_us, busy_us)
             FROM analytics.couriers
             WHERE generation = (SELECT generation FROM analytics.generations WHERE state = 2)";
        let mut lines: Numbers = sqlx::query_scalar(statement).fetch_all(&self.sql).await?;
        lines.sort();
        Ok(lines)
    }

    /// Everything is as the history has it: of transitions, and of the assignments of this past.
    pub async fn is_exact(&self, pasts: &[&Past]) -> Result<()> {
        let (found, expected) = (self.moves().await?, self.expected_moves().await?);
        assert!(!expected.is_empty(), "there is something to count");
        assert_eq!(difference(&found, &expected), Vec::<String>::new(), "transitions");
        let (found, expected) = (self.jobs().await?, expected_jobs(pasts));
        assert_eq!(difference(&found, &expected), Vec::<String>::new(), "jobs");
        Ok(())
    }
}

/// Lines that only one of the two has.
pub fn difference(found: &Numbers, expected: &Numbers) -> Vec<String> {
    let only = |name: &str, these: &Numbers, those: &Numbers| {
        let missing = |line: &&String| !those.contains(line);
        these.iter().filter(missing).map(|line| format!("{name}: {line}")).collect::<Vec<_>>()
    };
    [only("found", found, expected), only("expected", expected, found)].concat()
}

/// What the sums of couriers should be.
pub fn expected_jobs(pasts: &[&Past]) -> Numbers {
    let mut sums: BTreeMap<(String, u8, String, String, String), [i64; 10]> = BTreeMap::new();
    for event in pasts.iter().flat_map(|past| &past.assignments) {
        let Some(counted) = counted(event) else { continue };
        let time = moment(event.event_time.as_ref()).expect("every event has one");
        let day = time.replace_time(Time::MIDNIGHT);
        for (span, start) in [(1, time), (2, day), (3, day.replace_day(1).expect("a first day"))] {
            let start = format!("{} {:02}", start.date(), start.hour());
            let key = (event.tenant.clone(), span, start, event.workflow.clone(), event.courier_id.clone());
            let sums = sums.entry(key).or_default();
            sums.iter_mut().zip(counted).for_each(|(sum, count)| *sum += count);
        }
    }
    let line = |((tenant, span, start, workflow, courier), sums): (_, [i64; 10])| {
        let key: (String, u8, String, String, String) = (tenant, span, start, workflow, courier);
        let sums: Vec<_> = sums.iter().map(i64::to_string).collect();
        format!("{} {} {} {} {} {}", key.0, key.1, key.2, key.3, key.4, sums.join(" "))
    };
    let mut lines: Numbers = sums.into_iter().map(line).collect();
    lines.sort();
    lines
}

/// Offered, refused, allotted, released, picked up, on time, completed; microseconds to the pickup, idle and busy.
fn counted(event: &AssignmentEvent) -> Option<[i64; 10]> {
    let us = |from: Option<OffsetDateTime>, to: Option<OffsetDateTime>| {
        from.zip(to).map_or(0, |(from, to)| i64::try_from((to - from).whole_microseconds()).expect("short"))
    };
    let (time, allotted) = (moment(event.event_time.as_ref()), moment(event.allot_time.as_ref()));
    let (picked_up, promised) = (moment(event.pickup_time.as_ref()), moment(event.promised_pickup_time.as_ref()));
    let mut counted = [0; 10];
    match event.r#type() {
        AssignmentEventType::Offered => counted[0] = 1,
        AssignmentEventType::Declined | AssignmentEventType::Expired => counted[1] = 1,
        AssignmentEventType::Allotted => {
            let idle = event.idle_duration.unwrap_or_default();
            (counted[2], counted[8]) = (1, idle.seconds * 1_000_000 + i64::from(idle.nanos) / 1000);
        }
        AssignmentEventType::Released if allotted.is_some() => counted[3] = 1,
        AssignmentEventType::PickedUp => {
            let on_time = picked_up? <= promised? + Duration::minutes(5);
            (counted[4], counted[5], counted[7]) = (1, i64::from(on_time), us(allotted, picked_up));
        }
        AssignmentEventType::Completed => (counted[6], counted[9]) = (1, us(allotted, time)),
        _ => return None,
    }
    Some(counted)
}

fn moment(time: Option<&Timestamp>) -> Option<OffsetDateTime> {
    offset_date_time(time?)
}

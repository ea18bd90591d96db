//! How the events of an order look to a person: a line each.

use comanda_proto::v1::{CourierUpdate, Order, OrderTransition};
use prost_types::Timestamp;

use super::{
    place::position,
    print::{Paint, columns, time, word},
};
use crate::terminal::escape;

/// A step.
pub fn transition(transition: &OrderTransition, paint: Paint) -> String {
    let step = match transition.from_status.as_str() {
        "" => transition.to_status.clone(),
        from => format!("{from} -> {}", transition.to_status),
    };
    let line = line(transition.transition_time, transition.number, transition.version, &step);
    format!("{}  {}", paint.phase(transition.phase(), &line), paint.dim(&escape(&cause(transition))))
}

/// An order as it is, as a line among steps.
pub fn standing(order: &Order, paint: Paint) -> String {
    let line = line(order.status_time, order.number, order.version, &format!("is {}", order.status));
    let next = order.next_transition_time.map(|next| format!("next step {}", time(Some(next))));
    format!("{}  {}", paint.phase(order.phase(), &line), paint.dim(&next.unwrap_or_default()))
}

/// The order's courier as it is now, as a line among steps.
pub fn courier(update: &CourierUpdate, paint: Paint) -> String {
    let what = if update.attempt == 0 { "no courier any more".into() } else { whereabouts(update) };
    let line = columns(&[(&time(update.position_time), 20), ("courier", 9), (&what, 0)]);
    if update.delay_duration.is_some() { paint.bold(&line) } else { line }
}

/// Who it is, where, and when it is expected.
fn whereabouts(update: &CourierUpdate) -> String {
    let CourierUpdate { name, vehicle, plate, .. } = update;
    let who = [name, vehicle, plate].into_iter().filter(|part| !part.is_empty()).cloned();
    let mut parts = vec![who.collect::<Vec<_>>().join(", ")];
    parts.extend(update.position.as_ref().map(|place| format!("at {}", position(place))));
    parts.extend(update.expected_pickup_time.map(|at| format!("pickup at {}", time(Some(at)))));
    parts.extend(update.expected_dropoff_time.map(|at| format!("arrives at {}", time(Some(at)))));
    parts.extend(update.delay_duration.map(|late| format!("late by {} min", late.seconds / 60)));
    parts.join("; ")
}

fn line(at: Option<Timestamp>, number: i64, version: i64, what: &str) -> String {
    columns(&[(&time(at), 20), (&format!("#{number}"), 9), (&format!("v{version}"), 4), (what, 26)])
}

/// What set it off, who and why.
fn cause(transition: &OrderTransition) -> String {
    let trigger = word(transition.trigger().as_str_name(), "TRIGGER_");
    let reason = match transition.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    format!("{trigger} by {}{reason}", transition.actor)
}

#[cfg(test)]
mod tests {
    use comanda_proto::{
        LatLng,
        v1::{Phase, Trigger},
    };

    use super::*;

    #[test]
    fn a_step_says_when_what_and_why() {
        let step = OrderTransition {
            number: 7,
            version: 3,
            from_status: "preparing".into(),
            to_status: "cancelled".into(),
            phase: Phase::Cancelled.into(),
            transition_time: Some(Timestamp { seconds: 0, nanos: 5 }),
            trigger: Trigger::Cancel.into(),
            actor: "ana".into(),
            reason: "too late\u{2066}\n".into(),
            ..Default::default()
        };
        assert_eq!(
            transition(&step, Paint::NONE),
            "1970-01-01T00:00:00Z  #7         v3    preparing -> cancelled      cancel by ana: too late\\u{2066}\\n"
        );
    }

    #[test]
    fn a_courier_is_a_line_until_it_is_withdrawn() {
        let update = CourierUpdate {
            attempt: 1,
            name: "María\u{202e}".into(),
            plate: "BBCL-12".into(),
            position: Some(LatLng { latitude: -33.4371, longitude: -70.651 }),
            position_time: Some(Timestamp { seconds: 60, nanos: 0 }),
            expected_pickup_time: Some(Timestamp { seconds: 240, nanos: 0 }),
            delay_duration: Some(prost_types::Duration { seconds: 125, nanos: 0 }),
            ..Default::default()
        };
        assert_eq!(
            courier(&update, Paint::NONE),
            "1970-01-01T00:01:00Z  courier    María\\u{202e}, BBCL-12; at -33.43710,-70.65100; pickup at 1970-01-01T00:04:00Z; late by 2 min"
        );
        let withdrawn = courier(&CourierUpdate::default(), Paint::NONE);
        assert!(withdrawn.ends_with("no courier any more"), "{withdrawn}");
    }
}

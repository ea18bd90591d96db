//! How the events of an order look to a person: a line each.

use comanda_proto::v1::{Order, OrderTransition};
use prost_types::Timestamp;

use super::print::{Paint, columns, time, word};
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
    use comanda_proto::v1::{Phase, Trigger};

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
}

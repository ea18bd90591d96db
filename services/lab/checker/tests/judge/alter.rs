//! Breaks histories and tells what the judge says.

use comanda_checker::{Invariant, Verdict, explain::explain, history::*, judge};

use crate::story::{END_US, LAST_HEAL_US, calm};

/// The invariants that are violated in a calm history after a change.
pub fn after(change: impl FnOnce(&mut Vec<Line>)) -> Vec<Invariant> {
    let mut lines = calm();
    let before = lines.clone();
    change(&mut lines);
    assert_ne!(lines, before, "the change changes nothing");
    violated(&verdict(lines))
}

/// The invariants that are violated, in order.
pub fn violated(verdict: &Verdict) -> Vec<Invariant> {
    // Shown where the test fails.
    verdict.violations.iter().for_each(|violation| println!("{}", explain(violation)));
    verdict.counts.keys().copied().collect()
}

pub fn verdict(lines: Vec<Line>) -> Verdict {
    judge(lines)
}

/// Removes the lines of which something holds.
pub fn drop_where(lines: &mut Vec<Line>, holds: impl Fn(&What) -> bool) {
    lines.retain(|line| !holds(&line.what));
}

/// Tells again, later, the first line of which something holds, after a change to it.
pub fn repeat(lines: &mut Vec<Line>, holds: impl Fn(&What) -> bool, change: impl FnOnce(&mut Line)) {
    let place = lines.iter().position(|line| holds(&line.what)).expect("such a line");
    let mut line = lines[place].clone();
    change(&mut line);
    lines.insert(place + 1, line);
}

/// Changes the first line that the change accepts.
pub fn edit(lines: &mut [Line], mut change: impl FnMut(&mut What) -> bool) {
    assert!(lines.iter_mut().any(|line| change(&mut line.what)), "no line is as the change expects");
}

/// Changes the first row of a version of an order.
pub fn edit_step(lines: &mut [Line], order: &str, of: i64, mut change: impl FnMut(&mut Transition)) {
    edit(lines, |what| match what {
        What::TransitionRow { transition, .. } if transition.order_id == order && transition.version == of => {
            change(transition);
            true
        }
        _ => false,
    });
}

/// Changes a transition everywhere it is shown or kept.
pub fn edit_everywhere(lines: &mut [Line], order: &str, of: i64, change: impl Fn(&mut Transition)) {
    let each = |transition: &mut Transition| {
        if transition.order_id == order && transition.version == of {
            change(transition);
        }
    };
    for line in lines {
        match &mut line.what {
            What::TransitionRow { transition, .. }
            | What::Event { event: Event::Transition { transition }, .. }
            | What::Record { content: RecordContent::Transition { transition, .. }, .. } => each(transition),
            What::Return { answer: Some(Answer::Moved { transition, .. }), .. } => each(transition),
            What::Return { answer: Some(Answer::History { transitions }), .. } => transitions.iter_mut().for_each(each),
            _ => {}
        }
    }
}

pub fn is_record(what: &What, in_topic: Topic, order: &str, of: i64) -> bool {
    match what {
        What::Record { topic, key, content, .. } if *topic == in_topic && key == order => match content {
            RecordContent::Transition { transition, .. } => transition.version == of,
            _ => true,
        },
        _ => false,
    }
}

pub fn is_shown(what: &What, in_stream: u64, order: &str, of: i64) -> bool {
    match what {
        What::Event { stream, event: Event::Transition { transition } } => {
            *stream == in_stream && transition.order_id == order && transition.version == of
        }
        _ => false,
    }
}

/// A fault from a time on, for a while.
pub fn fault(lines: &mut Vec<Line>, name: &str, target: &str, from_us: u64, to_us: u64) {
    let fault = from_us;
    let (name, target) = (name.into(), target.into());
    lines.push(Line { at_us: from_us, what: What::Fault { fault, name, target } });
    lines.push(Line { at_us: to_us, what: What::Heal { fault, failed: None } });
    lines.sort_by_key(|line| line.at_us);
}

/// Something that is found at the end.
pub fn found(lines: &mut Vec<Line>, what: What) {
    lines.push(Line { at_us: END_US + 1_000, what });
}

/// Something that happens when all is over but the draining.
pub fn happened(lines: &mut Vec<Line>, what: What) {
    lines.push(Line { at_us: LAST_HEAL_US - 500_000, what });
    lines.sort_by_key(|line| line.at_us);
}

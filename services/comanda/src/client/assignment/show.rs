//! How an assignment looks to a person.

use comanda_proto::v1::{Assignment, AssignmentOutcome, AssignmentState, Courier};
use prost_types::Timestamp;

use super::super::{
    print::{Paint, columns, time, word},
    trip,
};
use crate::terminal::escape;

/// The message that describes an assignment.
pub const NAME: &str = "comanda.v1.Assignment";

/// Names over the rows of [`row`].
pub fn header(paint: Paint) -> String {
    paint.dim(&cells(["NUMBER", "ATTEMPT", "COURIER", "STATE", "SINCE", "ORDER ID"]))
}

/// One row of a table.
pub fn row(assignment: &Assignment, paint: Paint) -> String {
    let row = cells([
        &format!("#{}", assignment.number),
        &assignment.attempt.to_string(),
        &assignment.courier_id,
        &state(assignment),
        &time(since(assignment)),
        &assignment.order_id,
    ]);
    if assignment.state() == AssignmentState::Ended { paint.dim(&row) } else { row }
}

fn cells(texts: [&str; 6]) -> String {
    let widths = [9, 7, 16, 16, 20, 0];
    columns(&std::array::from_fn::<_, 6, _>(|index| (texts[index], widths[index])))
}

/// Everything.
pub fn whole(assignment: &Assignment, paint: Paint) -> String {
    let title = format!("#{}, attempt {}", assignment.number, assignment.attempt);
    let mut lines = vec![format!("{}  {}", paint.bold(&title), escape(&state(assignment)))];
    lines.push(fact("order", &assignment.order_id));
    lines.push(fact("courier", &driver(assignment)));
    lines.extend(times(assignment).into_iter().map(|(name, at)| fact(name, &time(Some(at)))));
    lines.extend(cargo(assignment, &fact));
    lines.join("\n")
}

/// What a courier has to do: an assignment in a few lines, with the verb that comes next.
pub fn job(assignment: &Assignment, paint: Paint) -> String {
    let title = format!("#{}", assignment.number);
    let pickup = assignment.expected_pickup_time.map(|at| format!("pickup at {}", time(Some(at))));
    let head = columns(&[(&title, 9), (&state(assignment), 10), (&pickup.unwrap_or_default(), 0)]);
    let mut lines = vec![format!("  {}", head.trim_end())];
    lines.extend(cargo(assignment, &|name, value| format!("  {}", fact(name, value))));
    lines.extend(next(assignment).map(|verb| {
        let Assignment { number, attempt, .. } = assignment;
        paint.dim(&format!("    next: comanda assignment {verb} {number} --attempt {attempt}"))
    }));
    lines.join("\n")
}

/// The verb of `comanda assignment` that comes next; none while the courier has to wait.
fn next(assignment: &Assignment) -> Option<&'static str> {
    match assignment.state() {
        AssignmentState::Offered => Some("accept"),
        AssignmentState::Active if assignment.pickup_time.is_some() => Some("complete"),
        AssignmentState::Active if assignment.arrive_time.is_some() => Some("picked-up"),
        AssignmentState::Active => Some("arrived"),
        AssignmentState::Ended | AssignmentState::Unspecified => None,
    }
}

/// Where it stands, or how it ended, in a few words.
fn state(assignment: &Assignment) -> String {
    match assignment.state() {
        AssignmentState::Ended if assignment.outcome() != AssignmentOutcome::Unspecified => {
            word(assignment.outcome().as_str_name(), "ASSIGNMENT_OUTCOME_").replace('_', " ")
        }
        AssignmentState::Active if assignment.pickup_time.is_some() => "picked up".into(),
        AssignmentState::Active if assignment.arrive_time.is_some() => "at the pickup".into(),
        AssignmentState::Active if assignment.confirmed => "confirmed".into(),
        state => word(state.as_str_name(), "ASSIGNMENT_STATE_"),
    }
}

/// When that began.
fn since(assignment: &Assignment) -> Option<Timestamp> {
    let Assignment { end_time, pickup_time, arrive_time, allot_time, create_time, .. } = assignment;
    end_time.or(*pickup_time).or(*arrive_time).or(*allot_time).or(*create_time)
}

/// Who has the order, and how far the job is. Not escaped.
pub fn in_a_line(assignment: &Assignment) -> String {
    format!("{} ({})", driver(assignment), state(assignment))
}

/// The courier's key, name, vehicle and plate.
fn driver(assignment: &Assignment) -> String {
    let Courier { name, vehicle, plate, .. } = assignment.courier.clone().unwrap_or_default();
    let parts = [assignment.courier_id.clone(), name, vehicle, plate];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

fn times(assignment: &Assignment) -> Vec<(&'static str, Timestamp)> {
    let times = [
        ("offered until", assignment.offer_expire_time),
        ("allotted", assignment.allot_time),
        ("promised", assignment.promised_pickup_time),
        ("expected", assignment.expected_pickup_time),
        ("arrived", assignment.arrive_time),
        ("picked up", assignment.pickup_time),
        ("drop-off", assignment.expected_dropoff_time),
        ("ended", assignment.end_time),
    ];
    times.into_iter().filter_map(|(name, at)| Some((name, at?))).collect()
}

/// Trip and items, where they are shown.
fn cargo(assignment: &Assignment, fact: &dyn Fn(&str, &str) -> String) -> Vec<String> {
    let trip = assignment.trip.iter().flat_map(trip::facts).map(|(name, value)| fact(name, &value));
    let items = assignment.items.iter().map(|item| fact("item", &format!("{} x {}", item.quantity, item.name)));
    trip.chain(items).collect()
}

fn fact(name: &str, value: &str) -> String {
    format!("  {}", columns(&[(name, 13), (value, 0)])).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use comanda_proto::v1::Item;

    use super::*;

    fn assignment() -> Assignment {
        Assignment {
            order_id: "o".into(),
            attempt: 2,
            number: 7,
            courier_id: "maria".into(),
            state: AssignmentState::Active.into(),
            courier: Some(Courier { name: "María\n".into(), plate: "BBCL\u{9b}".into(), ..Default::default() }),
            items: vec![Item { name: "Sopa\u{202e}".into(), quantity: 1, ..Default::default() }],
            allot_time: Some(Timestamp::default()),
            ..Default::default()
        }
    }

    #[test]
    fn nothing_of_an_assignment_reaches_a_terminal_unescaped() {
        for text in
            [whole(&assignment(), Paint::NONE), row(&assignment(), Paint::NONE), job(&assignment(), Paint::NONE)]
        {
            assert!(text.split('\n').all(|line| escape(line) == line), "{text:?}");
        }
        assert!(whole(&assignment(), Paint::NONE).contains("maria, María\\n, BBCL\\u{9b}"));
    }

    #[test]
    fn the_next_verb_follows_the_job_to_its_end() {
        let at = Some(Timestamp::default());
        let offered = Assignment { state: AssignmentState::Offered.into(), ..assignment() };
        let arrived = Assignment { arrive_time: at, ..assignment() };
        let picked_up = Assignment { pickup_time: at, ..arrived.clone() };
        let outcome = AssignmentOutcome::CourierSilent.into();
        let ended = Assignment { state: AssignmentState::Ended.into(), outcome, ..picked_up.clone() };
        let told = [&offered, &assignment(), &arrived, &picked_up, &ended].map(|it| (state(it), next(it)));
        assert_eq!(
            told,
            [
                ("offered".into(), Some("accept")),
                ("active".into(), Some("arrived")),
                ("at the pickup".into(), Some("picked-up")),
                ("picked up".into(), Some("complete")),
                ("courier silent".into(), None)
            ]
        );
    }
}

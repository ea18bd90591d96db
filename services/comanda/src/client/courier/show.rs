//! How a courier looks to a person.

use comanda_proto::v1::{Courier, CourierState, CourierStatus};

use super::super::{
    Client,
    place::position,
    print::{Paint, columns, time, word},
};
use crate::failure::Failure;

/// The message that describes a courier.
pub const NAME: &str = "comanda.v1.CourierState";

/// Prints one courier, as a table of one row.
pub fn one(client: &Client, courier: &CourierState) -> Result<(), Failure> {
    client.print.heading(header)?;
    Ok(client.print.show(NAME, courier, |paint| row(courier, paint))?)
}

/// Names over the rows of [`row`].
pub fn header(paint: Paint) -> String {
    paint.dim(&cells(["COURIER", "STATUS", "JOBS", "WHERE", "WHEN", "WHO"]))
}

/// One row of a table.
pub fn row(state: &CourierState, paint: Paint) -> String {
    let courier = state.courier.clone().unwrap_or_default();
    let row = cells([
        &courier.courier_id,
        &word(state.status().as_str_name(), "COURIER_STATUS_"),
        &format!("{} of {}", state.open_assignments, courier.capacity),
        &state.position.as_ref().map_or_else(|| "-".into(), position),
        &time(state.position_time),
        &who(&courier),
    ]);
    if state.status() == CourierStatus::Offline { paint.dim(&row) } else { row }
}

/// Name and vehicle.
fn who(courier: &Courier) -> String {
    let Courier { name, vehicle, plate, vehicle_kind, zone, .. } = courier;
    let zone = if zone.is_empty() { String::new() } else { format!("zone {zone}") };
    [name, vehicle, plate, vehicle_kind, &zone]
        .into_iter()
        .filter(|part| !part.is_empty())
        .cloned()
        .collect::<Vec<_>>()
        .join(", ")
}

fn cells(texts: [&str; 6]) -> String {
    let widths = [16, 10, 7, 20, 20, 0];
    columns(&std::array::from_fn::<_, 6, _>(|index| (texts[index], widths[index]))).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_who_where_and_how_busy_and_obeys_nobody() {
        let courier = Courier {
            courier_id: "maria".into(),
            name: "María\u{202e}".into(),
            plate: "BBCL\x1b[2J".into(),
            capacity: 2,
            ..Default::default()
        };
        let status = CourierStatus::Available.into();
        let state = CourierState { courier: Some(courier), status, open_assignments: 1, ..Default::default() };
        assert_eq!(
            row(&state, Paint::NONE),
            "maria             available   1 of 2   -                     -                     María\\u{202e}, BBCL\\u{1b}[2J"
        );
    }
}

//! How many positions a second go through the filter and into the grid. Run by hand: `cargo test -p comanda-dispatch --test service -- --ignored
//! --nocapture pace`.

use std::time::Instant;

use comanda_dispatch::{
    filter::Reported,
    grid::{Grid, Seen},
    place::{CourierKey, Point},
    reporters::Reporters,
};
use time::OffsetDateTime;

/// A large city.
const COURIERS: usize = 10_000;
const SECONDS: usize = 20;

/// Where a courier is: each drives north-east at 10 m/s from a place of its own.
fn point(courier: usize, second: usize) -> Point {
    let (row, column) = ((courier / 100) as f64, (courier % 100) as f64);
    let way = second as f64 * 0.000_09;
    Point::new(40.3 + row * 0.002 + way, -3.8 + column * 0.002 + way).expect("valid")
}

#[test]
#[ignore = "a measurement, not a check"]
fn pace() {
    let (reporters, grid, noon) = (Reporters::default(), Grid::default(), OffsetDateTime::now_utc());
    let couriers: Vec<_> = (0..COURIERS).map(|number| CourierKey::new("acme", &number.to_string())).collect();
    let (began, mut taken) = (Instant::now(), 0);
    for second in 0..SECONDS {
        let time = noon + time::Duration::seconds(second as i64);
        for (number, courier) in couriers.iter().enumerate() {
            let point = point(number, second);
            if reporters.take(courier, Reported { point, time, accuracy_metres: 5.0 }, time).is_ok() {
                grid.note(courier.clone(), Seen { point, time, heard: time });
                taken += 1;
            }
        }
    }
    println!("{:.0} positions a second", f64::from(taken) / began.elapsed().as_secs_f64());

    let began = Instant::now();
    for number in 0..2000 {
        let near = grid.nearest("acme", point(number * 5, 0), 8, |courier, _| courier.courier_id.ends_with('7'));
        assert_eq!(near.len(), 8);
    }
    println!(
        "{:.0} searches a second for the 8 nearest of a tenth of {COURIERS}",
        2000.0 / began.elapsed().as_secs_f64()
    );
}

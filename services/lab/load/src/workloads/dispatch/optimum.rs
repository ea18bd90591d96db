//! What the best matching comes to, and that of the nearest courier for each ride in its turn. Pure.

use pathfinding::{kuhn_munkres::kuhn_munkres_min, matrix::Matrix};

use crate::map::Place;

/// All ways together, in metres, where they are as short as can be.
pub(super) fn optimum(pickups: &[Place], couriers: &[Place]) -> f64 {
    // In centimetres: finite integers only.
    let rows =
        pickups.iter().map(|pickup| couriers.iter().map(move |courier| (pickup.metres_to(*courier) * 100.0) as i64));
    let ways = Matrix::from_rows(rows).expect("all rows have as many couriers");
    kuhn_munkres_min(&ways).0 as f64 / 100.0
}

/// The same where each ride in its turn gets the nearest courier that is left.
pub(super) fn greedy(pickups: &[Place], couriers: &[Place]) -> f64 {
    let mut left: Vec<Place> = couriers.to_vec();
    let mut metres = 0.0;
    for pickup in pickups {
        let ways = left.iter().map(|courier| pickup.metres_to(*courier)).enumerate();
        let Some((nearest, way)) = ways.min_by(|one, other| one.1.total_cmp(&other.1)) else { break };
        left.swap_remove(nearest);
        metres += way;
    }
    metres
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_for_all_is_not_the_nearest_for_each() {
        // On a line, in metres: the first ride takes the courier that is the second's only near one.
        let at = |metres: f64| Place { latitude: 40.0, longitude: -3.0 }.moved(metres, 0.0);
        let (pickups, couriers) = ([at(0.0), at(100.0)], [at(40.0), at(-50.0), at(900.0)]);
        assert!((greedy(&pickups, &couriers) - 190.0).abs() < 0.1, "{}", greedy(&pickups, &couriers));
        assert!((optimum(&pickups, &couriers) - 110.0).abs() < 0.1, "{}", optimum(&pickups, &couriers));
    }
}

//! Trips that were made, from a CSV file.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::Path,
};

use anyhow::{Context, Result, bail, ensure};

use super::Place;

/// The four columns, whatever else a file has and in whatever order.
const COLUMNS: [&str; 4] = ["pickup_latitude", "pickup_longitude", "dropoff_latitude", "dropoff_longitude"];
/// So many trips are read at most: about 32 MB.
const MOST: usize = 1_000_000;

/// Reads the trips of a file whose first line names its columns. Lines without usable coordinates are left out, as such files have them.
pub(super) fn read(file: &Path) -> Result<Vec<(Place, Place)>> {
    let open = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut lines = BufReader::new(open).lines();
    let head = lines.next().with_context(|| format!("{} is empty", file.display()))??;
    let columns = columns(&head).with_context(|| format!("{}: the first line", file.display()))?;
    let trips: Vec<_> = lines.map_while(Result::ok).filter_map(|line| trip(&line, columns)).take(MOST).collect();
    ensure!(!trips.is_empty(), "{} has no line with the coordinates of a trip", file.display());
    Ok(trips)
}

/// Where the columns are. Cities name them a little differently ("Pickup Centroid Latitude").
fn columns(head: &str) -> Result<[usize; 4]> {
    let plain = |name: &str| name.trim().trim_matches('"').to_lowercase().replace(' ', "_").replace("_centroid", "");
    let names: Vec<String> = head.split(',').map(plain).collect();
    let missing: Vec<&str> = COLUMNS.into_iter().filter(|column| !names.iter().any(|name| name == column)).collect();
    if !missing.is_empty() {
        bail!("it has no column {}", missing.join(", "));
    }
    Ok(COLUMNS.map(|column| names.iter().position(|name| name == column).expect("it was looked for")))
}

fn trip(line: &str, columns: [usize; 4]) -> Option<(Place, Place)> {
    let fields: Vec<&str> = line.split(',').collect();
    let [from_latitude, from_longitude, to_latitude, to_longitude] =
        columns.map(|column| fields.get(column).and_then(|field| field.trim().trim_matches('"').parse::<f64>().ok()));
    let from = place(from_latitude?, from_longitude?)?;
    Some((from, place(to_latitude?, to_longitude?)?))
}

/// None where it is no place: recorders write zeros where they know nothing.
fn place(latitude: f64, longitude: f64) -> Option<Place> {
    let is_valid = latitude.abs() <= 90.0 && longitude.abs() <= 180.0 && (latitude, longitude) != (0.0, 0.0);
    is_valid.then_some(Place { latitude, longitude })
}

/// The same trips around the same middle, so that nine of ten begin within `radius` metres of it.
pub(super) fn scaled(trips: &[(Place, Place)], radius: f64) -> Vec<(Place, Place)> {
    let middle = Place {
        latitude: median(trips.iter().map(|(from, _)| from.latitude)),
        longitude: median(trips.iter().map(|(from, _)| from.longitude)),
    };
    let mut distances: Vec<f64> = trips.iter().map(|(from, _)| middle.metres_to(*from)).collect();
    distances.sort_by(f64::total_cmp);
    let reach = distances[distances.len() * 9 / 10].max(1.0);
    let scale = |place: Place| Place {
        latitude: middle.latitude + (place.latitude - middle.latitude) * radius / reach,
        longitude: middle.longitude + (place.longitude - middle.longitude) * radius / reach,
    };
    trips.iter().map(|(from, to)| (scale(*from), scale(*to))).collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_their_names_in_any_order() {
        let columns =
            columns("id,Pickup Centroid Latitude,x,pickup_longitude,\"Dropoff_longitude\",dropoff latitude").unwrap();
        assert_eq!(columns, [1, 3, 5, 4]);
        let trip = trip("7,40.7,,-73.9,-74.0,40.8", columns).expect("a trip");
        assert_eq!(trip.0, Place { latitude: 40.7, longitude: -73.9 });
        assert_eq!(trip.1, Place { latitude: 40.8, longitude: -74.0 });
    }

    #[test]
    fn a_line_without_places_is_no_trip() {
        for line in ["0,0,40.8,-74", "40.7,-73.9,40.8", "40.7,-73.9,40.8,east", "140,-73.9,40.8,-74", ""] {
            assert_eq!(trip(line, [0, 1, 2, 3]), None, "{line}");
        }
    }

    #[test]
    fn a_missing_column_is_named() {
        let error = columns("pickup_latitude,pickup_longitude,dropoff_latitude").expect_err("one is missing");
        assert!(error.to_string().contains("dropoff_longitude"), "{error}");
    }

    #[test]
    fn scaled_trips_begin_within_the_radius() {
        let at = |n: u32| Place { latitude: 40.0 + f64::from(n) / 100.0, longitude: -3.0 };
        let trips: Vec<_> = (0..100).map(|n| (at(n), at(n + 1))).collect();
        let scaled = scaled(&trips, 1000.0);
        let middle = scaled[50].0;
        let near = scaled.iter().filter(|(from, _)| middle.metres_to(*from) <= 1001.0).count();
        assert!((90..=92).contains(&near), "{near}");
    }
}

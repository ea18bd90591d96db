//! A place on the map as a person writes it.

use comanda_proto::LatLng;

/// Latitude and longitude in degrees (WGS 84), as maps show them: `-33.437,-70.651`.
pub fn parse_place(text: &str) -> Result<LatLng, String> {
    let wrong = || format!("{text:?} is no place: write latitude,longitude in degrees, as in -33.437,-70.651");
    let (latitude, longitude) = text.split_once(',').ok_or_else(wrong)?;
    let degrees = |part: &str, most: f64| part.trim().parse().ok().filter(|degrees: &f64| degrees.abs() <= most);
    match (degrees(latitude, 90.0), degrees(longitude, 180.0)) {
        (Some(latitude), Some(longitude)) => Ok(LatLng { latitude, longitude }),
        _ => Err(wrong()),
    }
}

/// To five decimals, which is a metre.
pub fn position(place: &LatLng) -> String {
    format!("{:.5},{:.5}", place.latitude, place.longitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_latitude_and_longitude() {
        for text in ["-33.437,-70.651", " -33.437 , -70.651 "] {
            assert_eq!(parse_place(text).map(|place| position(&place)), Ok("-33.43700,-70.65100".into()), "{text}");
        }
        for text in ["", "1", "1;2", "91,0", "0,180.5", "NaN,0", "inf,0", "1,2,3", "Main St 1"] {
            assert!(parse_place(text).expect_err(text).contains("latitude,longitude"), "{text}");
        }
    }
}

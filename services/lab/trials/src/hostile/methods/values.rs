//! The values of requests: mostly right, and now and then what no client would send.

use comanda_kit::{access::Scope, page};
use comanda_proto::LatLng;
use prost::Message;
use rand::{RngExt, rngs::StdRng, seq::IndexedRandom};
use uuid::Uuid;

/// Mostly a word, and now and then what nobody would write.
pub fn text(rng: &mut StdRng) -> String {
    match rng.random_range(0..40) {
        0 => String::new(),
        1 => "ñ".repeat(rng.random_range(60..70)),
        2 => "x".repeat(rng.random_range(250..1000)),
        3 => "\r\nBcc: all@example.com\0".into(),
        4 => "'; DROP TABLE ordering.orders; --".into(),
        5 => "\u{202e}\u{feff}🌮=?utf-8?q?x?=".into(),
        _ => format!("word-{}", rng.random_range(0..1000)),
    }
}

pub fn id(rng: &mut StdRng) -> String {
    let id = Uuid::from_u128(rng.random());
    match rng.random_range(0..12) {
        0 => String::new(),
        1 => text(rng),
        2 => id.urn().to_string(),
        3 => id.braced().to_string(),
        _ => id.to_string(),
    }
}

pub fn number(rng: &mut StdRng) -> i64 {
    let extremes = [0, -1, 1, i64::MIN, i64::MAX, i64::from(i32::MAX) + 1, i64::from(i32::MIN)];
    if rng.random_bool(0.7) { rng.random_range(0..10) } else { *extremes.choose(rng).expect("some") }
}

pub fn number32(rng: &mut StdRng) -> i32 {
    i32::try_from(number(rng)).unwrap_or(i32::MIN)
}

pub fn some<T>(rng: &mut StdRng, most: usize, mut one: impl FnMut(&mut StdRng) -> T) -> Vec<T> {
    let count = if rng.random_bool(0.03) { rng.random_range(0..most * 2) } else { rng.random_range(1..3) };
    (0..count).map(|_| one(rng)).collect()
}

/// Mostly somewhere on earth.
pub fn position(rng: &mut StdRng) -> LatLng {
    let strange = [f64::NAN, f64::INFINITY, -91.0, 1e300];
    let mut degrees = |most: f64| match rng.random_range(0..20) {
        0 => *strange.choose(rng).expect("some"),
        _ => rng.random_range(-most..most),
    };
    LatLng { latitude: degrees(90.0), longitude: degrees(180.0) }
}

/// A token of a list with this filter: none, nonsense, or one with the right hash and any position.
pub fn token(filter: &impl Message, rng: &mut StdRng) -> String {
    match rng.random_range(0..4) {
        0 => String::new(),
        1 => text(rng),
        _ => {
            let count = *[0, 8, 12, 24, 25].choose(rng).expect("some");
            let shift = rng.random_range(0..8);
            let position: Vec<u8> = (0..count).map(|at| if at < shift { 0 } else { rng.random() }).collect();
            page::token(&Scope::built_in(), filter, &position)
        }
    }
}

pub fn time(rng: &mut StdRng) -> Option<prost_types::Timestamp> {
    let time = prost_types::Timestamp { seconds: number(rng), nanos: number32(rng) };
    rng.random_bool(0.3).then_some(time)
}

pub fn noise(rng: &mut StdRng) -> Vec<u8> {
    (0..rng.random_range(0..20)).map(|_| rng.random()).collect()
}

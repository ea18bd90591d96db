//! How links are hurt.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::kind::Hurt;
use crate::{
    cluster::Class,
    proxy::{Cut, Manners, Place, WAYS, Way},
};

/// The manners of a hurt link.
pub fn manners(class: Class, hurt: Hurt, seed: u64) -> Manners {
    let mut random = StdRng::seed_from_u64(seed);
    let mut manners = Manners::default();
    match hurt {
        Hurt::Slow => {
            manners.latency = Duration::from_millis(random.random_range(20..500));
            manners.jitter = manners.latency / 2;
        }
        // Down to 64 kbit/s, or a drip of some hundred bytes.
        Hurt::Throttled => manners.bytes_per_second = Some([300, 2_000, 8_000][random.random_range(0..3)]),
        Hurt::Mute => manners.holes = vec![Way::ToServer],
        Hurt::Deaf => manners.holes = vec![Way::ToClient],
        Hurt::Dead => manners.holes = WAYS.into(),
        // Repeated while the fault lasts.
        Hurt::Reset => {}
        Hurt::Refusing => manners.refuses = true,
        Hurt::Cut => manners.cut = Some(cut(class, &mut random)),
    }
    manners
}

/// The worst moment: the server has done it, and the client is not told; or the reverse.
fn cut(class: Class, random: &mut StdRng) -> Cut {
    let places: &[(Way, &[u8], bool)] = match class {
        Class::Postgres => &[
            (Way::ToClient, b"INSERT 0 ", false),
            (Way::ToClient, b"UPDATE ", false),
            (Way::ToClient, b"DELETE ", false),
            (Way::ToClient, b"SELECT ", false),
            (Way::ToClient, b"COMMIT", false),
            (Way::ToServer, b"COMMIT", true),
            (Way::ToServer, b"INSERT ", false),
        ],
        Class::Smtp => &[
            (Way::ToServer, b"\r\n.\r\n", true),
            (Way::ToServer, b"\r\n.\r\n", false),
            (Way::ToClient, b"250 2.0.0", false),
            (Way::ToServer, b"DATA", true),
        ],
        // Neither protocol shows its words in the clear: the names of topics and calls are all there is.
        Class::Kafka => &[(Way::ToServer, b"trial.orders", true), (Way::ToServer, b"trial.order-transitions", true)],
        Class::Client => &[],
    };
    let bytes = random.random_range(1..20_000);
    let by_count = Cut { way: WAYS[random.random_range(0..2)], at: Place::Bytes(bytes), delivered: true, percent: 100 };
    if places.is_empty() || random.random_range(0..4) == 0 {
        return by_count;
    }
    let (way, pattern, delivered) = places[random.random_range(0..places.len())];
    // Not at every place, or nothing at all would get done.
    Cut { way, at: Place::Pattern(pattern.into()), delivered, percent: 10 }
}

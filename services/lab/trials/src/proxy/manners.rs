//! How a link treats what passes through it.

use std::time::Duration;

/// The direction of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// From the side that connected.
    ToServer,
    /// From the side that it connected to.
    ToClient,
}

/// Both ways.
pub const WAYS: [Way; 2] = [Way::ToServer, Way::ToClient];

/// How a link treats connections. The default passes everything on at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manners {
    /// Each way takes so long ..
    pub latency: Duration,
    /// .. and up to so much longer, at random. Bytes of a connection never overtake each other.
    pub jitter: Duration,
    /// No more than so many bytes a second pass, of each connection and way. A small number is a slow drip.
    pub bytes_per_second: Option<u64>,
    /// Ways that swallow everything. As with packets that get lost, senders see nothing of it: connections stay, new ones
    /// are accepted, and what was swallowed comes late if the link is healed while both sides still wait.
    pub holes: Vec<Way>,
    /// New connections are reset.
    pub refuses: bool,
    /// Connections that are to be reset at a chosen byte.
    pub cut: Option<Cut>,
}

/// Where a connection is reset.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// In which direction of bytes.
    pub way: Way,
    /// At which of them.
    pub at: Place,
    /// Whether the bytes of the place itself still arrive.
    pub delivered: bool,
    /// Of a hundred places so many are taken.
    pub percent: u32,
}

/// A place in a stream of bytes.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// Behind so many bytes of the connection, counted from when the cut was asked for or from its beginning.
    Bytes(u64),
    /// Where these bytes occur, also when they come in pieces. Not empty.
    Pattern(Vec<u8>),
}

impl Manners {
    /// Whether bytes of a direction are swallowed.
    pub fn swallows(&self, way: Way) -> bool {
        self.holes.contains(&way)
    }
}

//! What a watch of all orders has to read beside its stream before its state is complete.

use crate::reader::Reader;

/// What is to be read.
#[derive(Debug)]
pub(crate) enum Backlog {
    /// Nothing.
    None,
    /// All orders that have not ended, as soon as the stream is open: what moves from then on comes from the stream, so nothing is missed
    /// between the two.
    Due,
    /// Those orders are being listed.
    Listing(Box<Reader>),
    /// Orders that had not ended and are not in the new snapshot are being looked up.
    LookingUp(Box<Reader>),
}

impl Backlog {
    /// What is being read.
    pub fn reader(&mut self) -> Option<&mut Reader> {
        match self {
            Self::None | Self::Due => None,
            Self::Listing(reader) | Self::LookingUp(reader) => Some(reader),
        }
    }

    /// Whether nothing is left to be read.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }
}

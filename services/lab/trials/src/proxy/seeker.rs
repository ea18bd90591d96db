//! Finds the place of a cut in a stream that comes in pieces.

use super::manners::{Cut, Place};

/// One direction of one connection.
#[derive(Debug, Default)]
pub struct Seeker {
    /// The last bytes that passed: a pattern may have begun in them.
    tail: Vec<u8>,
    passed: u64,
}

impl Seeker {
    /// How many bytes of the next piece may pass before the connection is cut; `None` where it is not cut in this piece. Each place
    /// that is found is offered to `takes`, which may let it pass.
    pub fn find(&mut self, piece: &[u8], cut: &Cut, mut takes: impl FnMut() -> bool) -> Option<usize> {
        match &cut.at {
            Place::Bytes(limit) => {
                let left = limit.saturating_sub(self.passed);
                let over = self.passed < *limit && left <= piece.len() as u64;
                self.passed += piece.len() as u64;
                (over && takes()).then_some(left as usize)
            }
            Place::Pattern(pattern) => self.find_pattern(piece, pattern, cut.delivered, takes),
        }
    }

    fn find_pattern(
        &mut self,
        piece: &[u8],
        pattern: &[u8],
        delivered: bool,
        mut takes: impl FnMut() -> bool,
    ) -> Option<usize> {
        let before = self.tail.len();
        self.tail.extend_from_slice(piece);
        let starts = self.tail.windows(pattern.len()).enumerate().filter(|(_, window)| *window == pattern);
        let ends = starts.map(|(start, _)| if delivered { start + pattern.len() } else { start });
        // A pattern that began in an earlier piece is cut in this one: what has passed has passed.
        let found = ends.map(|end| end.saturating_sub(before)).find(|_| takes());
        let kept = self.tail.len().min(pattern.len() - 1);
        self.tail.drain(..self.tail.len() - kept);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::{super::manners::Way, *};

    fn cut(at: Place, delivered: bool) -> Cut {
        Cut { way: Way::ToServer, at, delivered, percent: 100 }
    }

    fn pattern(text: &str, delivered: bool) -> Cut {
        cut(Place::Pattern(text.into()), delivered)
    }

    #[test]
    fn a_pattern_is_found_in_the_middle_of_a_piece() {
        assert_eq!(Seeker::default().find(b"a COMMIT b", &pattern("COMMIT", true), || true), Some(8));
        assert_eq!(Seeker::default().find(b"a COMMIT b", &pattern("COMMIT", false), || true), Some(2));
    }

    #[test]
    fn a_pattern_is_found_across_pieces_and_only_once() {
        let mut seeker = Seeker::default();
        let dot = pattern("\r\n.\r\n", true);
        assert_eq!(seeker.find(b"text\r\n.", &dot, || true), None);
        assert_eq!(seeker.find(b"\r", &dot, || true), None);
        assert_eq!(seeker.find(b"\nnext", &dot, || true), Some(1));
        assert_eq!(seeker.find(b" text", &dot, || true), None);
    }

    #[test]
    fn the_first_place_may_be_let_pass() {
        let mut places = 0;
        let second = Seeker::default().find(b"xx.xx.xx", &pattern(".", true), || {
            places += 1;
            places == 2
        });
        assert_eq!(second, Some(6));
    }

    #[test]
    fn bytes_are_counted_over_pieces_and_the_place_passes_once() {
        let mut seeker = Seeker::default();
        let ten = cut(Place::Bytes(10), true);
        assert_eq!(seeker.find(b"12345678", &ten, || true), None);
        assert_eq!(seeker.find(b"12345678", &ten, || true), Some(2));
        assert_eq!(seeker.find(b"12345678", &ten, || true), None);
    }
}

//! One of the two programs.

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    After,
}

impl Side {
    /// Who runs first in a pair, counted from 1, and who then.
    pub(super) fn order(pair: u32) -> [Self; 2] {
        if pair % 2 == 1 { [Self::Before, Self::After] } else { [Self::After, Self::Before] }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::After => "after",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Side::{self, After, Before};

    #[test]
    fn each_side_is_first_in_every_second_pair() {
        let order: Vec<Side> = (1..=3).flat_map(Side::order).collect();
        assert_eq!(order, [Before, After, After, Before, Before, After]);
    }
}

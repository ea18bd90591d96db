//! A goal of a trial, and what was measured.

/// Something that must be at most, or at least, so much.
#[derive(Clone, Debug, PartialEq)]
pub struct Goal {
    /// What it is about, with its unit.
    pub what: String,
    /// What was measured; none where it could not be seen, which is as good as missed.
    pub measured: Option<f64>,
    /// What is allowed.
    pub limit: Limit,
}

/// A bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// No more than this.
    Most(f64),
    /// No less than this.
    Least(f64),
}

impl Goal {
    /// Must not exceed a limit.
    pub fn most(what: impl Into<String>, measured: Option<f64>, limit: f64) -> Self {
        Self { what: what.into(), measured, limit: Limit::Most(limit) }
    }

    /// Must not fall below a limit.
    pub fn least(what: impl Into<String>, measured: Option<f64>, limit: f64) -> Self {
        Self { what: what.into(), measured, limit: Limit::Least(limit) }
    }

    /// Must not occur.
    pub fn none(what: impl Into<String>, count: usize) -> Self {
        Self::most(what, Some(count as f64), 0.0)
    }

    /// Whether it was reached.
    pub fn is_met(&self) -> bool {
        self.measured.is_some_and(|measured| match self.limit {
            Limit::Most(most) => measured <= most,
            Limit::Least(least) => measured >= least,
        })
    }

    /// Goal, measured and met, as cells of a table.
    pub fn cells(&self) -> [String; 3] {
        let limit = match self.limit {
            Limit::Most(0.0) => format!("{}: none", self.what),
            Limit::Most(most) => format!("{}: at most {}", self.what, number(most)),
            Limit::Least(least) => format!("{}: at least {}", self.what, number(least)),
        };
        let measured = self.measured.map_or("not seen".into(), number);
        [limit, measured, if self.is_met() { "yes" } else { "NO" }.into()]
    }
}

/// Whole where it is large.
fn number(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_met_up_to_its_limit_and_never_where_nothing_was_seen() {
        assert!(Goal::most("s", Some(2.0), 2.0).is_met());
        assert!(!Goal::most("s", Some(2.1), 2.0).is_met());
        assert!(Goal::least("n", Some(2.0), 2.0).is_met());
        assert!(!Goal::least("n", Some(1.9), 2.0).is_met());
        assert!(!Goal::most("s", None, 2.0).is_met());
    }

    #[test]
    fn cells_tell_the_limit_and_the_figure() {
        assert_eq!(
            Goal::most("drained after s", Some(12.34), 60.0).cells(),
            ["drained after s: at most 60", "12.3", "yes"]
        );
        assert_eq!(Goal::none("lost", 1).cells(), ["lost: none", "1", "NO"]);
        assert_eq!(Goal::least("n", None, 5.0).cells()[1], "not seen");
    }
}

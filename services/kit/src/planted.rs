//! Bugs that are planted on purpose, to see whether the trials find them.
//!
//! Only builds with the feature `planted` hold them, and no release is one; there the environment variable `COMANDA_PLANTED` names the
//! bug that is active. In every other build [`planted!`](crate::planted!) is the constant `false` and
//! [`planted_sql!`](crate::planted_sql!) the statement itself, so that not even the names are left.

#[cfg(feature = "planted")]
use std::{env, sync::LazyLock};

/// Every bug that can be planted. A constant, so it is in no program that does not ask for it.
pub const NAMES: [&str; 22] = [
    "offset-before-effect",
    "record-without-key",
    "no-version-gate",
    "outbox-by-cursor",
    "pointer-deleted-before-ack",
    "outbox-row-deleted-with-unacked-record",
    "unknown-commit-kept",
    "snapshot-before-register",
    "slow-watcher-drops-oldest",
    "timers-in-memory",
    "timers-by-skewed-clock",
    "request-id-in-second-transaction",
    "mail-sent-before-data",
    "relay-highest-version-first",
    "former-leader-keeps-firing",
    "replay-without-hash",
    "no-slot-index",
    "step-without-version",
    "release-forgotten",
    "position-after-end",
    "analytics-offset-before-effect",
    "event-after-resume-skipped",
];

#[cfg(feature = "planted")]
static ACTIVE: LazyLock<Option<String>> = LazyLock::new(|| {
    let name = env::var("COMANDA_PLANTED").ok()?;
    assert!(NAMES.contains(&&*name), "COMANDA_PLANTED is {name:?}; there are {NAMES:?}");
    tracing::error!("this build has planted bugs, and {name} is active");
    Some(name)
});

/// Whether this bug is active.
#[cfg(feature = "planted")]
pub fn is_active(name: &str) -> bool {
    ACTIVE.as_deref() == Some(name)
}

/// A statement with the parts replaced (from, to) that the active bug replaces.
#[cfg(feature = "planted")]
pub fn altered(statement: &str, bugs: &[(&str, &str, &str)]) -> &'static str {
    let mut altered = statement.to_owned();
    for (_, from, to) in bugs.iter().filter(|(name, ..)| is_active(name)) {
        assert!(altered.contains(from), "the statement has no {from:?}: plant the bug again\n{statement}");
        altered = altered.replace(from, to);
    }
    altered.leak()
}

/// Whether the bug of this name is planted and active.
#[cfg(feature = "planted")]
#[macro_export]
macro_rules! planted {
    ($name:literal) => {
        $crate::planted::is_active($name)
    };
}

/// Whether the bug of this name is planted and active: never, in a build without them.
#[cfg(not(feature = "planted"))]
#[macro_export]
macro_rules! planted {
    ($name:literal) => {
        false
    };
}

/// A statement, or what planted bugs make of it: `planted_sql!(STATEMENT, "name": "from" => "to", ..)`.
#[cfg(feature = "planted")]
#[macro_export]
macro_rules! planted_sql {
    ($statement:expr, $($name:literal: $from:literal => $to:literal),+ $(,)?) => {{
        static ALTERED: std::sync::LazyLock<&'static str> =
            std::sync::LazyLock::new(|| $crate::planted::altered($statement, &[$(($name, $from, $to)),+]));
        *ALTERED
    }};
}

/// A statement, or what planted bugs make of it: the statement, in a build without them. It does not compile where a part to replace is not
/// in the statement any more.
#[cfg(not(feature = "planted"))]
#[macro_export]
macro_rules! planted_sql {
    ($statement:expr, $($name:literal: $from:literal => $to:literal),+ $(,)?) => {{
        $(const _: () = assert!($crate::planted::holds($statement, $from));)+
        $statement
    }};
}

/// Whether a statement holds a text.
pub const fn holds(statement: &str, text: &str) -> bool {
    let (statement, text) = (statement.as_bytes(), text.as_bytes());
    let mut at = 0;
    while at + text.len() <= statement.len() {
        let mut same = 0;
        while same < text.len() && statement[at + same] == text[same] {
            same += 1;
        }
        if same == text.len() {
            return true;
        }
        at += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::holds;

    #[test]
    fn a_part_of_a_statement_is_found_at_its_beginning_and_end() {
        let statement = "SELECT version FROM states";
        for part in ["SELECT", "version FROM", "states", statement, ""] {
            assert!(holds(statement, part), "{part}");
        }
        assert!(!holds(statement, "versions") && !holds("", "SELECT"));
    }
}

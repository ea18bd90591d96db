//! Spans of time of the run's clock, and what is left of them without faults.

use crate::case::{Case, Fault};

/// From when until when, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spell {
    pub from_us: u64,
    pub to_us: u64,
}

/// Until all goes as before after a fault: a lease of 5 s has run out, or a session of 6 s, and something is read again.
const AFTERMATH_US: u64 = 10_000_000;
/// Until killed brokers lead their partitions again and members are back in their groups: each starts a Java machine and recovers its logs, which
/// took 13 s on two busy cores; records flowed as before after 20 s.
const AFTER_BROKERS_US: u64 = 30_000_000;
/// A fault of these alone does not keep dispatch from its work.
const ELSEWHERE: &[&str] = &["mail", "smtp", "notification", "analytics"];

impl Spell {
    pub fn length_us(self) -> u64 {
        self.to_us.saturating_sub(self.from_us)
    }

    /// What both have in common; of no length where that is nothing.
    pub fn and(self, other: Self) -> Self {
        Self { from_us: self.from_us.max(other.from_us), to_us: self.to_us.min(other.to_us) }
    }

    /// What is left without some others.
    pub fn without(self, others: impl IntoIterator<Item = Self>) -> Vec<Self> {
        let mut left = vec![self];
        for other in others {
            let cut = |spell: Self| {
                let (before, after) = (
                    Self { to_us: spell.to_us.min(other.from_us), ..spell },
                    Self { from_us: spell.from_us.max(other.to_us), ..spell },
                );
                [before, after].into_iter().filter(|part| part.length_us() > 0)
            };
            left = left.into_iter().flat_map(cut).collect();
        }
        left
    }

    /// The longest part of it in which no fault and no aftermath of one hindered dispatch.
    pub fn quiet_us(self, case: &Case<'_>) -> u64 {
        let hinders = |fault: &&Fault<'_>| !fault.is_only_of(ELSEWHERE);
        let faults = case.faults.iter().filter(hinders);
        let busy = faults.map(|fault| Self { from_us: fault.from_us, to_us: calm_us(case, fault) });
        self.without(busy).into_iter().map(Self::length_us).max().unwrap_or_default()
    }
}

/// When a fault and its aftermath are over. A broker may need more than half a minute to start on a slow machine, so a fault of one lasts until
/// clients have seen through Kafka what was done after its end, if they ever did.
fn calm_us(case: &Case<'_>, fault: &Fault<'_>) -> u64 {
    let aftermath_us = if fault.tells_of(&["brokers killed"]) { AFTER_BROKERS_US } else { AFTERMATH_US };
    let calm_us = fault.to_us.saturating_add(aftermath_us);
    if !fault.tells_of(&["kafka broker"]) {
        return calm_us;
    }
    let told_us = case.told_after(fault.to_us).unwrap_or(fault.to_us);
    calm_us.max(told_us.saturating_add(AFTERMATH_US))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn spell(from_us: u64, to_us: u64) -> Spell {
        Spell { from_us, to_us }
    }

    #[test]
    fn what_is_cut_out_leaves_the_rest() {
        let cuts = [spell(0, 12), spell(15, 18), spell(29, 40)];
        assert_eq!(spell(10, 30).without(cuts), [spell(12, 15), spell(18, 29)]);
        assert_eq!(spell(10, 30).without([spell(40, 50), spell(0, 5)]), [spell(10, 30)]);
        assert_eq!(spell(10, 30).without([spell(0, 50)]), []);
        assert_eq!(spell(10, 30).and(spell(40, 50)).length_us(), 0);
    }

    #[test]
    fn a_fault_and_its_aftermath_are_not_quiet() {
        let fault = |name, from_us, to_us| Fault { name, target: "", from_us, to_us, made: true };
        let second = 1_000_000;
        let faults =
            vec![fault("dispatch killed", 20 * second, 22 * second), fault("mail server silent", 0, 60 * second)];
        let case = Case { faults, ..Case::default() };
        assert_eq!(spell(0, 60 * second).quiet_us(&case), 28 * second);
        assert_eq!(spell(21 * second, 30 * second).quiet_us(&case), 0);
        let on_all = |name| Fault { name, target: "dispatch-0, notification-0", from_us: 0, to_us: second, made: true };
        let quiet_after = |name, shown_us| {
            let (faults, told) = (vec![on_all(name)], vec![(second, 0), (2 * second, shown_us)]);
            spell(0, 60 * second).quiet_us(&Case { faults, told, ..Case::default() })
        };
        assert_eq!(quiet_after("kafka links mute", 40 * second), 49 * second);
        assert_eq!(quiet_after("kafka broker killed", 3 * second), 47 * second);
        assert_eq!(quiet_after("kafka brokers killed, two of three", 3 * second), 29 * second);
        assert_eq!(quiet_after("kafka brokers killed, two of three", 40 * second), 10 * second);
        let untold = Case { faults: vec![on_all("kafka broker killed")], ..Case::default() };
        assert_eq!(spell(0, 60 * second).quiet_us(&untold), 49 * second);
    }
}

//! Faults as spans of time.

/// A fault.
#[derive(Clone, Debug)]
pub struct Fault<'a> {
    /// What it was.
    pub name: &'a str,
    /// What it hit.
    pub target: &'a str,
    /// When it began.
    pub from_us: u64,
    /// When it was healed; the end of the run where it never was.
    pub to_us: u64,
    /// Whether it was made and healed as planned. If not, it may still have had effects.
    pub made: bool,
}

impl Fault<'_> {
    /// Whether its name or target holds one of these words.
    pub fn tells_of(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.name.contains(word) || self.target.contains(word))
    }

    /// Whether its name holds one of these words, or each of its targets does. A fault of the links of all roles is not only of one of them.
    pub fn is_only_of(&self, words: &[&str]) -> bool {
        let tells = |text: &str| words.iter().any(|word| text.contains(word));
        tells(self.name) || self.target.split(", ").all(tells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_several_roles_is_not_only_of_one_of_them() {
        let fault = |name, target| Fault { name, target, from_us: 0, to_us: 1, made: true };
        let is_elsewhere = |name, target| fault(name, target).is_only_of(&["mail", "notification"]);
        assert!(is_elsewhere("mail server silent", "all"));
        assert!(is_elsewhere("kafka links mute", "notification-0, notification-1"));
        assert!(!is_elsewhere("kafka links mute", "dispatch-0, notification-0"));
        assert!(!is_elsewhere("kafka broker killed", "kafka-1"));
    }
}

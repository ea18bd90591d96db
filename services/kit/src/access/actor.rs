//! Names of callers as they may stand in the history of an order.

use crate::errors::{ApiError, Violations};

/// What the names of Comanda's own parts begin with. A caller must not be taken for one.
const SYSTEM: &str = "system:";

/// The name, if it may stand there; `field` is where it came from.
pub fn checked<'a>(field: &str, name: &'a str) -> Result<&'a str, ApiError> {
    let mut violations = Violations::default();
    violations.visible_text(field, name, 1, 128);
    violations.require(!name.starts_with(SYSTEM), field, "must not begin with system:");
    violations.check().map(|()| name)
}

/// Whether it may stand there.
pub fn is_actor(name: &str) -> bool {
    checked("name", name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_poses_as_a_part_of_the_system() {
        for (name, may) in
            [("maria", true), ("spiffe://shop/pos", true), ("system:relay", false), ("", false), ("a\nb", false)]
        {
            assert_eq!(is_actor(name), may, "{name:?}");
        }
        assert!(!is_actor(&"x".repeat(129)));
    }
}

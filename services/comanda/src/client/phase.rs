//! A phase as a person writes it.

use comanda_proto::v1::Phase;

/// One of five words, in any case.
pub fn parse_phase(text: &str) -> Result<Phase, String> {
    Phase::from_str_name(&format!("PHASE_{}", text.to_uppercase()))
        .filter(|phase| *phase != Phase::Unspecified)
        .ok_or_else(|| format!("{text:?} is none of active, succeeded, cancelled, rejected, failed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_one_of_five_words() {
        assert_eq!(parse_phase("active"), Ok(Phase::Active));
        assert!(parse_phase("unspecified").is_err());
        assert!(parse_phase("delivered").is_err());
    }
}

//! How a number is written for people.

/// Three significant digits; whole numbers, and all from 1,000 on, in full with thousands separators.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".into();
    }
    if value.abs() >= 999.5 || value == value.round() {
        return grouped(value);
    }
    let decimals = 2 - exponent(value);
    if decimals > 6 { format!("{value:.2e}") } else { format!("{value:.0$}", decimals.max(0) as usize) }
}

/// The decimal exponent once the value is rounded to three digits, so that 9.999 counts as 10.0.
fn exponent(value: f64) -> i32 {
    let text = format!("{value:.2e}");
    let (_, exponent) = text.split_once('e').expect("the format puts an e");
    exponent.parse().expect("the format puts a whole number behind the e")
}

/// A whole number with a comma between thousands.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value <= -0.5 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_have_three_significant_digits() {
        let written = [1.234, 12.34, 123.4, 0.01234, 9.999, 99.96, 999.7, -1.5].map(number);
        assert_eq!(written, ["1.23", "12.3", "123", "0.0123", "10.0", "100", "1,000", "-1.50"]);
    }

    #[test]
    fn whole_and_big_numbers_are_in_full_with_separators() {
        let written = [0.0, 7.0, 999.0, 1_000.0, 1_234_567.8, -12_345.0].map(number);
        assert_eq!(written, ["0", "7", "999", "1,000", "1,234,568", "-12,345"]);
    }

    #[test]
    fn what_is_too_small_for_decimals_has_an_exponent() {
        assert_eq!([0.000_012_34, 0.000_123].map(number), ["1.23e-5", "0.000123"]);
    }

    #[test]
    fn what_is_no_number_is_a_dash() {
        assert_eq!([f64::NAN, f64::INFINITY].map(number), ["–", "–"]);
    }
}

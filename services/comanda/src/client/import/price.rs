//! The price in a cell: exact, with the decimals that its currency has, and never a number that it may not mean.

use super::{super::money::Price, records::Cell, shown};

/// How the file writes prices.
#[derive(Clone, Copy, Debug)]
pub struct Notation<'a> {
    /// Of all prices (ISO 4217).
    pub currency: &'a str,
    /// How many decimals that currency has.
    pub decimals: usize,
    /// Whether a comma stands before the decimals, and dots may group thousands: 1.234,50.
    pub decimal_comma: bool,
    /// What divides the columns.
    pub delimiter: char,
}

impl Notation<'_> {
    /// Reads a cell.
    pub fn price(&self, cell: &Cell) -> Result<Price, String> {
        let text = cell.text.as_str();
        if self.decimal_comma && self.decimals > 0 && self.delimiter == ',' && !cell.is_quoted {
            return Err("needs quotes: a comma also divides the columns".into());
        }
        let (whole, fraction) = if self.decimal_comma { with_comma(text) } else { with_point(text) }?;
        if fraction.len() > self.decimals {
            let hint = if is_grouped(text) { "; if the dot groups thousands, give --decimal-comma" } else { "" };
            return Err(format!("{}: {} has {} decimals{hint}", shown(text), self.currency, self.most()));
        }
        let point = if fraction.is_empty() { "" } else { "." };
        format!("{whole}{point}{fraction}").parse()
    }

    fn most(&self) -> String {
        if self.decimals == 0 { "no".into() } else { format!("at most {}", self.decimals) }
    }
}

fn with_point(text: &str) -> Result<(String, &str), String> {
    let (whole, fraction) = split(text, '.');
    match is_digits(whole) && fraction.is_none_or(is_digits) {
        true => Ok((whole.to_owned(), fraction.unwrap_or_default())),
        false if text.contains(',') => {
            Err(format!("{} is not a price like 12.50; for prices like 1.234,50 there is --decimal-comma", shown(text)))
        }
        false => Err(format!("{} is not a price like 12 or 12.50", shown(text))),
    }
}

fn with_comma(text: &str) -> Result<(String, &str), String> {
    let (whole, fraction) = split(text, ',');
    match (is_digits(whole) || is_grouped(whole)) && fraction.is_none_or(is_digits) {
        true => Ok((whole.replace('.', ""), fraction.unwrap_or_default())),
        false => Err(format!("{} is not a price like 12, 12,50 or 1.234,50", shown(text))),
    }
}

fn split(text: &str, mark: char) -> (&str, Option<&str>) {
    text.split_once(mark).map_or((text, None), |(whole, fraction)| (whole, Some(fraction)))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Thousands in groups, as 1.234.567.
fn is_grouped(text: &str) -> bool {
    let mut groups = text.split('.');
    let first = groups.next().unwrap_or_default();
    is_digits(first)
        && first.len() <= 3
        && !first.starts_with('0')
        && groups.all(|group| is_digits(group) && group.len() == 3)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, decimals: usize, decimal_comma: bool) -> Result<Price, String> {
        let notation = Notation { currency: "XYZ", decimals, decimal_comma, delimiter: ';' };
        let cell = Cell { text: text.into(), ..Cell::default() };
        notation.price(&cell)
    }

    fn price(text: &str) -> Price {
        text.parse().expect(text)
    }

    proptest! {
        #[test]
        fn a_price_means_what_its_digits_say(units in 0..=i64::MAX, cents in 0..100_u8) {
            let expected = format!("{units}.{cents:02}");
            prop_assert_eq!(read(&expected, 2, false), Ok(price(&expected)));
            prop_assert_eq!(read(&expected.replace('.', ","), 2, true), Ok(price(&expected)));
            prop_assert!(read(&expected.replace('.', ","), 2, false).is_err());
            prop_assert!(read(&expected, 2, true).is_err());
        }

        #[test]
        fn no_text_is_read_as_one_number_in_one_notation_and_as_another_in_the_other(text in "[0-9.,]{1,9}") {
            if let (Ok(point), Ok(comma)) = (read(&text, 2, false), read(&text, 2, true)) {
                prop_assert_eq!(point, comma);
            }
        }
    }

    #[test]
    fn decimals_are_those_of_the_currency() {
        assert_eq!(
            read("2.500", 0, false).expect_err("none"),
            "\"2.500\": XYZ has no decimals; if the dot groups thousands, give --decimal-comma"
        );
        assert_eq!(read("2.0", 0, false).expect_err("none"), "\"2.0\": XYZ has no decimals");
        assert!(read("1.234", 2, false).expect_err("two").starts_with("\"1.234\": XYZ has at most 2 decimals; "));
        assert_eq!(read("2500", 0, false), Ok(price("2500")));
        assert_eq!(read("1.234", 3, false), Ok(price("1.234")));
        assert_eq!(read("12,505", 2, true).expect_err("two"), "\"12,505\": XYZ has at most 2 decimals");
    }

    #[test]
    fn dots_group_thousands_only_where_the_comma_is_the_decimal_mark() {
        for (text, expected) in
            [("1.234,00", "1234.00"), ("2.500", "2500"), ("12,5", "12.5"), ("1.234.567,89", "1234567.89")]
        {
            assert_eq!(read(text, 2, true), Ok(price(expected)), "{text}");
            assert!(read(text, 2, false).is_err(), "{text}");
        }
        for text in [
            "1234.567", "1.23", "1.2345", "0.500", "1..234", ".500", "12,", ",5", "1,2,3", "1,234.50", "1 234,50",
            "$1", "-1,5", "",
        ] {
            assert!(read(text, 2, true).is_err(), "{text}");
        }
    }

    #[test]
    fn where_commas_divide_columns_decimal_commas_need_quotes() {
        let notation = Notation { currency: "EUR", decimals: 2, decimal_comma: true, delimiter: ',' };
        let cell = Cell { text: "12".into(), ..Cell::default() };
        assert!(notation.price(&cell).expect_err("bare").contains("needs quotes"));
        let cell = Cell { text: "12,50".into(), is_quoted: true, fault: None };
        assert_eq!(notation.price(&cell), Ok(price("12.5")));
        // Without decimals there is no such comma.
        let notation = Notation { currency: "CLP", decimals: 0, ..notation };
        let cell = Cell { text: "2.500".into(), ..Cell::default() };
        assert_eq!(notation.price(&cell), Ok(price("2500")));
    }
}

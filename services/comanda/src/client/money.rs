//! Prices: decimal text to google.type.Money and back, exactly. A float never comes near them.

use std::{fmt, str::FromStr};

use comanda_kit::currency;
use comanda_proto::Money;

/// Money counts fractions in 10^-9.
const MAX_DECIMALS: usize = 9;

/// An amount, 0 or more, whose currency is said elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Price {
    units: i64,
    nanos: i32,
}

impl Price {
    /// With its currency.
    pub fn in_currency(self, currency: &str) -> Money {
        Money { currency_code: currency.to_owned(), units: self.units, nanos: self.nanos }
    }
}

impl FromStr for Price {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(format!("{text:?} is not a price like 12 or 12.50"));
        }
        if fraction.len() > MAX_DECIMALS {
            return Err(format!("{text:?} has more than {MAX_DECIMALS} decimals"));
        }
        let units = whole.parse().map_err(|_| format!("{text:?} is too large"))?;
        let nanos = format!("{fraction:0<MAX_DECIMALS$}").parse().map_err(|_| format!("{text:?} is too precise"))?;
        Ok(Self { units, nanos })
    }
}

impl fmt::Display for Price {
    /// Without zeros at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nanos {
            0 => write!(f, "{}", self.units),
            nanos => write!(f, "{}.{}", self.units, format!("{nanos:09}").trim_end_matches('0')),
        }
    }
}

/// A currency of ISO 4217.
pub fn parse_currency(text: &str) -> Result<String, String> {
    let unknown = || format!("{text:?} is not a currency of ISO 4217, such as USD");
    currency::decimals(text).map(|_| text.to_owned()).ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_price_is_shown_as_it_is_read(units in 0..=i64::MAX, nanos in 0..1_000_000_000) {
            let price = Price { units, nanos };
            prop_assert_eq!(price.to_string().parse(), Ok(price));
        }

        #[test]
        fn any_text_is_a_price_that_means_the_same_or_is_refused(text in "[0-9]{0,21}[.,e+-]?[0-9]{0,11}|\\PC{0,9}") {
            if let Ok(Price { units, nanos }) = text.parse::<Price>() {
                let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
                prop_assert_eq!(whole.parse(), Ok(i128::from(units)));
                let scale = 10_i64.pow(9 - u32::try_from(fraction.len()).expect("at most 9"));
                prop_assert_eq!(fraction.parse().unwrap_or(0_i64) * scale, i64::from(nanos));
            }
        }
    }

    fn parse(text: &str) -> (i64, i32) {
        let price: Price = text.parse().expect(text);
        (price.units, price.nanos)
    }

    #[test]
    fn prices_are_read_exactly() {
        assert_eq!(parse("12"), (12, 0));
        assert_eq!(parse("12.5"), (12, 500_000_000));
        assert_eq!(parse("0.1"), (0, 100_000_000));
        assert_eq!(parse("0.000000001"), (0, 1));
        assert_eq!(parse("007.50"), (7, 500_000_000));
        assert_eq!(parse("9223372036854775807.999999999"), (i64::MAX, 999_999_999));
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1,50", "1e3", "1.2.3", " 1", "0x1", "NaN", "١", "$1"] {
            assert!(text.parse::<Price>().is_err(), "{text}");
        }
        assert!("1.0000000000".parse::<Price>().expect_err("10 decimals").contains("more than 9"));
        assert!("9223372036854775808".parse::<Price>().expect_err("2^63").contains("too large"));
    }

    #[test]
    fn a_price_is_shown_without_zeros_at_its_end() {
        for (text, shown) in [("12.50", "12.5"), ("12.000", "12"), ("0.000000001", "0.000000001"), ("100", "100")] {
            assert_eq!(text.parse::<Price>().expect(text).to_string(), shown);
        }
    }

    #[test]
    fn a_currency_is_one_of_iso_4217() {
        assert!(["CLP", "USD", "KWD"].iter().all(|code| parse_currency(code).is_ok()));
        assert!(["usd", "US", "USDT", "ÜS", "ZZZ", "XTS"].iter().all(|text| parse_currency(text).is_err()));
    }
}

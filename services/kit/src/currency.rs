//! Currencies by ISO 4217: which there are, and how many decimals an amount in each has. Exact integers, never floats.

use comanda_proto::Money;
use iso_currency::{Currency, Flag};

const NANOS_PER_UNIT: u128 = 1_000_000_000;
/// Decimals of [`Money`]: a nano is the ninth.
const MAX_DECIMALS: u32 = 9;

/// How many decimals an amount in this currency has ("minor unit" of ISO 4217). `None` for a code that is no active currency, and for
/// codes that are no money to pay with (gold, the test code). Codes are upper-case.
pub fn decimals(code: &str) -> Option<u32> {
    let currency = Currency::from_code(code).filter(|currency| is_active(*currency))?;
    currency.exponent().map(u32::from)
}

/// Whether an amount has no more decimals than its currency; false where there is no such currency.
pub fn is_exact(amount: &Money) -> bool {
    decimals(&amount.currency_code)
        .is_some_and(|decimals| amount.nanos.unsigned_abs().is_multiple_of(10_u32.pow(MAX_DECIMALS - decimals)))
}

/// An amount as people read it, with as many decimals as its currency has: "1500 CLP", "12.50 USD", "12.500 KWD". An amount that has more
/// is shown whole, never rounded.
pub fn format(amount: &Money) -> String {
    let nanos = i128::from(amount.units) * NANOS_PER_UNIT as i128 + i128::from(amount.nanos);
    let (units, fraction) = (nanos.unsigned_abs() / NANOS_PER_UNIT, nanos.unsigned_abs() % NANOS_PER_UNIT);
    let sign = if nanos < 0 { "-" } else { "" };
    let fraction = format!("{fraction:09}");
    let least = decimals(&amount.currency_code).unwrap_or(0) as usize;
    let shown = &fraction[..fraction.trim_end_matches('0').len().max(least)];
    let point = if shown.is_empty() { "" } else { "." };
    format!("{sign}{units}{point}{shown} {}", amount.currency_code).trim_end().to_owned()
}

/// The crate calls VES superseded by VED; ISO 4217 lists both, and prices in Venezuela are in VES.
fn is_active(currency: Currency) -> bool {
    let is_superseded = currency.flags().iter().any(|flag| matches!(flag, Flag::Superseded(_)));
    !is_superseded || currency == Currency::VES
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(currency_code: &str, units: i64, nanos: i32) -> Money {
        Money { currency_code: currency_code.into(), units, nanos }
    }

    #[test]
    fn each_currency_has_the_decimals_of_iso_4217() {
        for (code, expected) in
            [("CLP", 0), ("JPY", 0), ("USD", 2), ("EUR", 2), ("VES", 2), ("KWD", 3), ("TND", 3), ("CLF", 4)]
        {
            assert_eq!(decimals(code), Some(expected), "{code}");
        }
    }

    #[test]
    fn former_currencies_and_codes_that_are_no_money_are_none() {
        for code in ["", "ZZZ", "usd", "US", "USDT", "HRK", "BGN", "SLL", "ZWL", "ANG", "XTS", "XAU", "XDR"] {
            assert_eq!(decimals(code), None, "{code}");
        }
    }

    #[test]
    fn an_amount_is_exact_up_to_the_decimals_of_its_currency() {
        for (exact, more) in [
            (money("JPY", 3, 0), money("JPY", 3, 500_000_000)),
            (money("USD", 0, 990_000_000), money("USD", 0, 999_000_000)),
        ] {
            assert!(is_exact(&exact) && !is_exact(&more), "{exact:?} {more:?}");
        }
        assert!(is_exact(&money("TND", 0, 1_000_000)) && !is_exact(&money("ZZZ", 1, 0)));
    }

    #[test]
    fn an_amount_is_shown_with_the_decimals_of_its_currency() {
        let shown = [
            (money("CLP", 1500, 0), "1500 CLP"),
            (money("KWD", 12, 500_000_000), "12.500 KWD"),
            (money("USD", 12, 500_000_000), "12.50 USD"),
            (money("USD", 0, 0), "0.00 USD"),
            (money("USD", 0, -50_000_000), "-0.05 USD"),
            (money("USD", 1, 5), "1.000000005 USD"),
            (money("JPY", i64::MIN, 0), "-9223372036854775808 JPY"),
            (money("ZZZ", 7, 250_000_000), "7.25 ZZZ"),
            (money("", 7, 0), "7"),
        ];
        for (amount, expected) in shown {
            assert_eq!(format(&amount), expected);
        }
    }

    proptest! {
        #[test]
        fn an_exact_amount_is_shown_with_exactly_its_decimals(units in 0..i64::MAX, nanos in 0..1_000_000_000_i32, code in "CLP|USD|KWD|CLF") {
            let amount = money(&code, units, nanos);
            let text = format(&amount);
            let number = text.strip_suffix(&format!(" {code}")).expect("ends with its currency");
            let shown = number.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            prop_assert_eq!(is_exact(&amount), shown == decimals(&code).expect("a currency") as usize);
            // No digit is lost.
            let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
            prop_assert_eq!(whole.parse::<i64>().expect("units"), units);
            prop_assert_eq!(format!("{fraction:0<9}").parse::<i32>().expect("nanos"), nanos);
        }
    }
}

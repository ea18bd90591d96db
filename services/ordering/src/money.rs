//! Exact sums of money: 128-bit integers of nanos, never floats.

use comanda_kit::currency;
use comanda_proto::{Money, v1::Item};

const NANOS_PER_UNIT: i128 = 1_000_000_000;

/// Why a price is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrongPrice {
    /// There is none, or its currency is not one of ISO 4217.
    #[error("must have as currency_code an active currency of ISO 4217 in upper case, such as USD")]
    Currency,
    /// Negative, or nanos that are no nanos.
    #[error("must have units of 0 or more and nanos of 0 to 999,999,999")]
    Amount,
    /// Finer than its currency.
    #[error("must have at most {0} decimals, as its currency has")]
    Decimals(u32),
}

/// Checks that a price is 0 or more, in a currency of ISO 4217, with at most that currency's decimals.
pub fn check_price(price: Option<&Money>) -> Result<(), WrongPrice> {
    let price = price.ok_or(WrongPrice::Currency)?;
    let decimals = currency::decimals(&price.currency_code).ok_or(WrongPrice::Currency)?;
    if price.units < 0 || !(0..=999_999_999).contains(&price.nanos) {
        return Err(WrongPrice::Amount);
    }
    if currency::is_exact(price) { Ok(()) } else { Err(WrongPrice::Decimals(decimals)) }
}

/// Whether all prices are in one currency. Items without a price do not count.
pub fn is_of_one_currency(items: &[Item]) -> bool {
    let mut currencies = items.iter().filter_map(|item| Some(&item.unit_price.as_ref()?.currency_code));
    currencies.next().is_none_or(|first| currencies.all(|currency| currency == first))
}

/// Sum of quantity x price; `None` where it exceeds what Money can hold. Items without a price count nothing.
pub fn total(items: &[Item]) -> Option<Money> {
    let nanos: i128 =
        items.iter().filter_map(|item| Some(i128::from(item.quantity) * nanos(item.unit_price.as_ref()?))).sum();
    let currency_code = items.iter().find_map(|item| item.unit_price.as_ref()).map(|price| price.currency_code.clone());
    Some(Money {
        currency_code: currency_code.unwrap_or_default(),
        units: i64::try_from(nanos / NANOS_PER_UNIT).ok()?,
        nanos: i32::try_from(nanos % NANOS_PER_UNIT).ok()?,
    })
}

fn nanos(price: &Money) -> i128 {
    i128::from(price.units) * NANOS_PER_UNIT + i128::from(price.nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(quantity: i32, units: i64, nanos: i32) -> Item {
        let unit_price = Some(Money { currency_code: "CLP".into(), units, nanos });
        Item { quantity, unit_price, ..Default::default() }
    }

    #[test]
    fn a_total_carries_nanos_over_and_notices_overflow() {
        let sum = total(&[item(3, 1, 500_000_000), item(1, 0, 1)]).expect("small");
        assert_eq!((sum.currency_code.as_str(), sum.units, sum.nanos), ("CLP", 4, 500_000_001));
        assert_eq!(total(&[item(10_000, i64::MAX, 0)]), None);
    }

    #[test]
    fn a_price_has_a_currency_of_iso_4217_and_at_most_its_decimals() {
        let price = |code: &str, units, nanos| check_price(Some(&Money { currency_code: code.into(), units, nanos }));
        assert_eq!(check_price(None), Err(WrongPrice::Currency));
        for code in ["", "ZZZ", "eur", "XAU", "HRK"] {
            assert_eq!(price(code, 1, 0), Err(WrongPrice::Currency), "{code}");
        }
        for (units, nanos) in [(-1, 0), (0, -1), (0, 1_000_000_000), (i64::MIN, i32::MIN)] {
            assert_eq!(price("EUR", units, nanos), Err(WrongPrice::Amount));
        }
        for (code, too_fine, fine) in
            [("KRW", 100_000_000, 0), ("EUR", 1_000_000, 10_000_000), ("BHD", 100_000, 1_000_000)]
        {
            assert!(matches!(price(code, 1, too_fine), Err(WrongPrice::Decimals(_))), "{code}");
            assert_eq!(price(code, 1, fine), Ok(()), "{code}");
        }
    }

    proptest! {
        #[test]
        fn a_total_is_the_sum_in_nanos(rows in prop::collection::vec((1..10_000i32, 0..1_000_000i64, 0..1_000_000_000i32), 1..50)) {
            let items: Vec<_> = rows.iter().map(|(quantity, units, nanos)| item(*quantity, *units, *nanos)).collect();
            let sum = total(&items).expect("small enough");
            let expected: i128 = rows.iter().map(|(q, u, n)| i128::from(*q) * (i128::from(*u) * NANOS_PER_UNIT + i128::from(*n))).sum();
            prop_assert_eq!(nanos(&sum), expected);
        }
    }
}

//! Exact sums of money: 128-bit integers of nanos, never floats.

use comanda_proto::{Money, v1::Item};

const NANOS_PER_UNIT: i128 = 1_000_000_000;

/// Whether a price is one: a currency of three upper-case letters, 0 or more.
pub fn is_price(price: &Money) -> bool {
    is_currency(&price.currency_code) && price.units >= 0 && (0..=999_999_999).contains(&price.nanos)
}

/// Whether a text has the form of an ISO 4217 code.
pub fn is_currency(code: &str) -> bool {
    code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase())
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

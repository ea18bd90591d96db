//! Prices between a number or text of JSON and an amount of money.

use comanda_proto::Money;
use serde_json::Value;

/// Decimals of an amount of money.
const DECIMALS: usize = 9;

/// The amount that a number or a text says; `None` where it says none. How many decimals the currency has is not looked at here.
pub fn money(price: &Value, currency: &str) -> Option<Money> {
    let text = match price {
        // The shortest text that means this number, so what was written is what is taken.
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.trim().to_owned(),
        _ => return None,
    };
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    let decimals = decimals.trim_end_matches('0');
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(decimals) || decimals.len() > DECIMALS {
        return None;
    }
    let nanos = format!("{decimals:0<DECIMALS$}").parse().ok()?;
    Some(Money { currency_code: currency.to_owned(), units: whole.parse().ok()?, nanos })
}

/// An amount as the first program's database showed it: with no more decimals than it needs.
pub fn text(money: &Money) -> String {
    let decimals = format!("{:0DECIMALS$}", money.nanos.unsigned_abs());
    match decimals.trim_end_matches('0') {
        "" => money.units.to_string(),
        decimals => format!("{}.{decimals}", money.units),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn prices_come_back_as_they_were() {
        for (price, shown) in [
            (json!(1000), "1000"),
            (json!(10.4), "10.4"),
            (json!(25.0), "25"),
            (json!("10.40"), "10.4"),
            (json!(" 0.000000001 "), "0.000000001"),
            (json!(29.9), "29.9"),
        ] {
            let money = money(&price, "USD").unwrap_or_else(|| panic!("{price}"));
            assert_eq!((text(&money).as_str(), money.currency_code.as_str()), (shown, "USD"));
        }
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for price in
            [json!(-1), json!("1,5"), json!("x"), json!(1e30), json!("1.2.3"), json!(true), json!(".5"), json!("-1")]
        {
            assert_eq!(money(&price, "USD"), None, "{price}");
        }
    }
}

//! What is ordered: the rows of a file, or one made-up product.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use comanda_proto::{
    Money,
    v1::{CreateOrderRequest, Customer, Item},
};
use serde_json::{Value, json};

/// As the gateway has it for POST /new_order.
const CURRENCY: &str = "USD";
const DECIMALS: usize = 9;

/// A product with its price, a number with a point.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Product {
    name: String,
    price: String,
}

/// At least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Products(Vec<Product>);

impl Products {
    /// One product.
    pub(super) fn made_up() -> Self {
        Self(vec![Product { name: "order".into(), price: "10".into() }])
    }

    /// The rows of a CSV file whose first line is `product_name,price`.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        parsed(&text).with_context(|| file.display().to_string())
    }

    /// The `n`-th order as POST /new_order takes it. After the last product comes the first one.
    pub(super) fn body(&self, n: u64) -> Value {
        let Product { name, price } = self.at(n);
        let price: f64 = price.parse().expect("a number was demanded");
        json!({ "name": name, "price": price })
    }

    /// The same order as gRPC takes it.
    pub(super) fn request(&self, n: u64) -> CreateOrderRequest {
        let Product { name, price } = self.at(n);
        let customer = Customer { customer_id: "new_order".into(), locale: "es".into(), ..Customer::default() };
        let item = Item { name: name.clone(), quantity: 1, unit_price: Some(money(price)), ..Item::default() };
        CreateOrderRequest { customer: Some(customer), items: vec![item], ..CreateOrderRequest::default() }
    }

    fn at(&self, n: u64) -> &Product {
        &self.0[n as usize % self.0.len()]
    }
}

fn parsed(text: &str) -> Result<Products> {
    let mut lines = text.lines();
    ensure!(lines.next().map(str::trim) == Some("product_name,price"), "the first line must be product_name,price");
    let products: Vec<_> = lines.filter(|line| !line.trim().is_empty()).map(product).collect::<Result<_>>()?;
    ensure!(!products.is_empty(), "there is no product");
    Ok(Products(products))
}

/// Names may be quoted, and have commas then; a price has none.
fn product(line: &str) -> Result<Product> {
    let (name, price) = line.rsplit_once(',').with_context(|| format!("{line:?} has no price"))?;
    let (name, price) = (name.trim(), price.trim());
    let name = match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(inner) => inner.replace("\"\"", "\""),
        None => name.to_owned(),
    };
    let is_price = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (units, decimals) = price.split_once('.').unwrap_or((price, "0"));
    ensure!(is_price(units) && is_price(decimals) && decimals.len() <= DECIMALS, "{price:?} is no price such as 12.5");
    Ok(Product { name, price: price.to_owned() })
}

fn money(price: &str) -> Money {
    let (units, decimals) = price.split_once('.').unwrap_or((price, ""));
    let nanos = format!("{decimals:0<DECIMALS$}").parse().expect("digits were demanded");
    Money { currency_code: CURRENCY.into(), units: units.parse().expect("digits were demanded"), nanos }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_products_over_and_over() {
        let products = parsed("product_name,price\nPalo,1000\n\"Croissant, \"\"Raw\"\"\",10.4\n").expect("products");
        assert_eq!(products.body(0), json!({ "name": "Palo", "price": 1000.0 }));
        assert_eq!(products.body(3), json!({ "name": "Croissant, \"Raw\"", "price": 10.4 }));
        let request = products.request(1);
        let price = Money { currency_code: "USD".into(), units: 10, nanos: 400_000_000 };
        assert_eq!(request.items[0].unit_price, Some(price));
        assert_eq!(request.items[0].name, "Croissant, \"Raw\"");
    }

    #[test]
    fn a_file_of_another_form_is_refused() {
        for text in ["", "name,price\nPalo,1\n", "product_name,price\n", "product_name,price\nPalo\n"] {
            assert!(parsed(text).is_err(), "{text:?}");
        }
        for price in ["", "x", "-1", "1.", ".5", "1.0000000001"] {
            assert!(parsed(&format!("product_name,price\nPalo,{price}\n")).is_err(), "{price:?}");
        }
    }
}

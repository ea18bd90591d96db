//! How a person names an order: by its id, or by its number.

use std::str::FromStr;

use comanda_proto::v1::{GetOrderRequest, Order, get_order_request::Key};
use uuid::Uuid;

use super::Client;
use crate::failure::Failure;

/// An order's id or number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderKey {
    /// A UUID.
    Id(Uuid),
    /// The number for people.
    Number(i64),
}

impl FromStr for OrderKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_prefix('#').unwrap_or(text).parse().ok().filter(|number| *number > 0).map(Self::Number);
        number
            .or_else(|| text.parse().ok().map(Self::Id))
            .ok_or_else(|| format!("{text:?} is neither an order's id (a UUID) nor its number"))
    }
}

impl Client {
    /// The order as it is now.
    pub async fn order(&self, key: OrderKey) -> Result<Order, Failure> {
        let key = Some(match key {
            OrderKey::Id(id) => Key::OrderId(id.to_string()),
            OrderKey::Number(number) => Key::Number(number),
        });
        let answer = self.api.get_order(GetOrderRequest { key, ..Default::default() }).await?;
        answer.order.ok_or_else(|| Failure::refused("the server answered without an order"))
    }

    /// The order's id. Only a number has to be looked up.
    pub async fn order_id(&self, key: OrderKey) -> Result<String, Failure> {
        match key {
            OrderKey::Id(id) => Ok(id.to_string()),
            OrderKey::Number(_) => Ok(self.order(key).await?.order_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_named_by_id_or_number() {
        assert_eq!("1042".parse(), Ok(OrderKey::Number(1042)));
        assert_eq!("#1042".parse(), Ok(OrderKey::Number(1042)));
        let id = Uuid::now_v7();
        assert_eq!(id.to_string().parse(), Ok(OrderKey::Id(id)));
        for text in ["", "0", "-1", "pizza", "10425555555555555555555555"] {
            assert!(text.parse::<OrderKey>().is_err(), "{text}");
        }
    }
}

//! Several orders at once: those asked for, sorted into shown, missing and left out.

use std::collections::HashMap;

use comanda_kit::{
    access::Scope,
    errors::{ApiError, Violations},
    postgres::StoreError,
};
use comanda_proto::{
    v1::{BatchGetOrdersRequest, BatchGetOrdersResponse, Order, OrderView},
    views::OrderRow,
};
use uuid::Uuid;

use crate::{room::Room, store::Store, view};

const MAX_ORDERS: usize = 100;

/// A valid request.
#[derive(Debug)]
pub struct BatchGet {
    /// As they were asked for: as text, so that an answer repeats it, and as ids.
    asked: Vec<(String, Uuid)>,
    view: OrderView,
}

/// What becomes of an id that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Shown,
    Missing,
    LeftOut,
}

impl BatchGet {
    /// Checks a request.
    pub fn parse(request: BatchGetOrdersRequest) -> Result<Self, ApiError> {
        let mut violations = Violations::default();
        let view = view::parse(&mut violations, request.view, OrderView::Full);
        violations.require((1..=MAX_ORDERS).contains(&request.order_ids.len()), "order_ids", "must be 1 to 100");
        let asked = request.order_ids.into_iter().take(MAX_ORDERS).enumerate().map(|(index, text)| {
            let order_id = violations.uuid(format_args!("order_ids[{index}]"), &text);
            (text, order_id)
        });
        let asked = asked.collect();
        violations.check()?;
        Ok(Self { asked, view })
    }

    /// Reads the orders.
    pub async fn answer(self, store: &Store, scope: &Scope) -> Result<BatchGetOrdersResponse, ApiError> {
        let ids: Vec<_> = self.asked.iter().map(|(_, order_id)| *order_id).collect();
        let answers = sort(&ids, &store.sizes(scope, &ids).await?);
        let shown = ids.iter().zip(&answers).filter(|(_, answer)| **answer == Answer::Shown).map(|(id, _)| *id);
        let mut shown: Vec<_> = shown.collect();
        shown.sort();
        shown.dedup();
        let orders = by_id(store.orders(scope, &shown).await?, self.view)?;
        let mut response = BatchGetOrdersResponse::default();
        for ((text, order_id), answer) in self.asked.into_iter().zip(answers) {
            match (answer, orders.get(&order_id)) {
                (Answer::Shown, Some(order)) => response.orders.push(order.clone()),
                (Answer::LeftOut, _) => response.left_out_order_ids.push(text),
                // Also one that was purged between the two statements.
                (Answer::Shown | Answer::Missing, _) => response.missing_order_ids.push(text),
            }
        }
        Ok(response)
    }
}

/// Decides what is shown, by the sizes of the orders that are there.
fn sort(asked: &[Uuid], sizes: &HashMap<Uuid, i64>) -> Vec<Answer> {
    let mut room = Room::default();
    let answer = |order_id| match sizes.get(order_id) {
        None => Answer::Missing,
        Some(bytes) if room.take(*bytes) => Answer::Shown,
        Some(_) => Answer::LeftOut,
    };
    asked.iter().map(answer).collect()
}

/// Orders as a view shows them, by their ids.
pub fn by_id(rows: Vec<OrderRow>, view: OrderView) -> Result<HashMap<Uuid, Order>, StoreError> {
    rows.into_iter().map(|row| Ok((row.order_id, row.into_order(view)?))).collect()
}

#[cfg(test)]
mod tests {
    use comanda_kit::testing::outside::wrong_fields;

    use super::*;

    #[test]
    fn an_order_that_does_not_fit_is_left_out_and_one_that_is_not_there_is_missing() {
        let ids: Vec<_> = (1..=3).map(Uuid::from_u128).collect();
        let sizes = HashMap::from([(ids[0], 10_000_000), (ids[2], 1)]);
        assert_eq!(sort(&ids, &sizes), [Answer::Shown, Answer::Missing, Answer::LeftOut]);
        assert_eq!(sort(&[ids[2], ids[2]], &sizes), [Answer::Shown, Answer::Shown]);
    }

    #[test]
    fn what_is_wrong_with_a_request_is_named() {
        let request = |order_ids: &[&str], view| BatchGetOrdersRequest {
            order_ids: order_ids.iter().map(|id| (*id).to_owned()).collect(),
            view,
        };
        let fields = |request| wrong_fields(BatchGet::parse(request).expect_err("refused"));
        assert_eq!(fields(request(&[], 0)), ["order_ids"]);
        assert_eq!(fields(request(&["018f6b1e-7c4a-7d2e-9a6b-3f1c2d4e5f60", "7"], 9)), ["view", "order_ids[1]"]);
        assert_eq!(fields(request(&["018f6b1e-7c4a-7d2e-9a6b-3f1c2d4e5f60"; 101], 0)), ["order_ids"]);
    }
}

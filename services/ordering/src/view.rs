//! How much of an order a response shows.

use comanda_kit::errors::Violations;
use comanda_proto::v1::OrderView;

/// The view that a request asks for; `default` where it asks for none.
pub fn parse(violations: &mut Violations, view: i32, default: OrderView) -> OrderView {
    match OrderView::try_from(view) {
        Ok(OrderView::Unspecified) => default,
        Ok(view) => view,
        Err(_) => {
            violations.require(false, "view", "must be ORDER_VIEW_BASIC, ORDER_VIEW_FULL or unspecified");
            default
        }
    }
}

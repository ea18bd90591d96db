//! How an order looks to a person.

use comanda_kit::currency;
use comanda_proto::v1::Order;

use super::{
    print::{Paint, columns, time, word},
    trip,
};
use crate::terminal::escape;

/// Names over the rows of [`row`].
pub fn header(is_full: bool, paint: Paint) -> String {
    let who = if is_full { "NAME, ADDRESS, LOCALE" } else { "" };
    paint.dim(row_columns(["NUMBER", "STATUS", "TOTAL", "CUSTOMER", "CREATED", "ID", who]).trim_end())
}

/// One row of a table. A full one tells who the customer is.
pub fn row(order: &Order, is_full: bool, paint: Paint) -> String {
    let customer = order.customer.clone().unwrap_or_default();
    let who = if is_full { join([&customer.name, &customer.email, &customer.locale]) } else { String::new() };
    let row = row_columns([
        &format!("#{}", order.number),
        &order.status,
        &total(order),
        &customer.customer_id,
        &time(order.create_time),
        &order.order_id,
        &who,
    ]);
    paint.phase(order.phase(), row.trim_end())
}

fn row_columns(cells: [&str; 7]) -> String {
    let widths = [9, 14, 16, 16, 20, 36, 0];
    columns(&std::array::from_fn::<_, 7, _>(|index| (cells[index], widths[index])))
}

/// What is there of these.
fn join<const N: usize>(parts: [&str; N]) -> String {
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
}

/// Everything.
pub fn whole(order: &Order, paint: Paint) -> String {
    let status = paint.phase(order.phase(), &escape(&order.status));
    let mut lines = vec![format!("{}  {status}", paint.bold(&format!("#{}", order.number)))];
    lines.push(fact("id", &order.order_id));
    lines.push(fact("workflow", &format!("{}, revision {}", order.workflow, order.workflow_revision)));
    lines.push(fact("version", &format!("{} ({})", order.version, word(order.phase().as_str_name(), "PHASE_"))));
    lines.push(fact("since", &time(order.status_time)));
    lines.extend(order.next_transition_time.map(|next| fact("next step", &time(Some(next)))));
    lines.push(fact("created", &time(order.create_time)));
    lines.extend(customer(order).map(|customer| fact("customer", &customer)));
    lines.extend(order.labels.iter().map(|(key, value)| fact("label", &format!("{key}={value}"))));
    lines.extend(order.trip.iter().flat_map(trip::facts).map(|(name, value)| fact(name, &value)));
    lines.extend(items(order));
    lines.push(fact("total", &total(order)));
    lines.join("\n")
}

/// A name and its value, as in [`whole`].
pub fn fact(name: &str, value: &str) -> String {
    format!("  {}", columns(&[(name, 9), (value, 0)]))
}

fn customer(order: &Order) -> Option<String> {
    let customer = order.customer.as_ref()?;
    Some(join([&customer.customer_id, &customer.name, &customer.email, &customer.locale]))
}

fn items(order: &Order) -> impl Iterator<Item = String> + '_ {
    order.items.iter().map(|item| {
        let price = item.unit_price.as_ref().map(currency::format).unwrap_or_default();
        fact("item", &format!("{} x {} at {price}", item.quantity, item.name))
    })
}

fn total(order: &Order) -> String {
    order.total.as_ref().map(currency::format).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use comanda_proto::{
        Money,
        v1::{Customer, Item},
    };

    use super::*;

    fn order() -> Order {
        let price = |units| Some(Money { currency_code: "CLP".into(), units, nanos: 0 });
        let item = Item {
            name: "Sopa\u{202e}\x1b]0;x\x07".into(),
            quantity: 2,
            unit_price: price(1500),
            ..Default::default()
        };
        Order {
            order_id: "018f6b1e-7c4a-7d2e-9a6b-3f1c2d4e5f60".into(),
            number: 7,
            status: "preparing\u{9b}2J".into(),
            customer: Some(Customer {
                customer_id: "ana\n#8".into(),
                name: "Ana\u{2066}".into(),
                ..Default::default()
            }),
            items: vec![item],
            total: price(3000),
            labels: [("table\r".to_owned(), "4\u{200f}".to_owned())].into(),
            workflow: "a\u{2028}b".into(),
            ..Default::default()
        }
    }

    #[test]
    fn nothing_of_an_order_reaches_a_terminal_unescaped() {
        let (order, paint) = (order(), Paint::NONE);
        for text in [whole(&order, paint), row(&order, true, paint)] {
            let unsafe_ones = |line: &str| crate::terminal::escape(line) != line;
            assert!(!text.split('\n').any(unsafe_ones), "{text:?}");
        }
        assert!(whole(&order, paint).contains("2 x Sopa\\u{202e}\\u{1b}]0;x\\u{7} at 1500 CLP"));
        assert!(whole(&order, paint).contains("ana\\n#8, Ana\\u{2066}"));
    }

    #[test]
    fn a_row_tells_who_the_customer_is_only_where_that_is_wanted() {
        assert!(!row(&order(), false, Paint::NONE).contains("Ana"));
        assert!(row(&order(), true, Paint::NONE).ends_with("Ana\\u{2066}"));
    }
}

//! How an order looks to a person.

use comanda_proto::v1::Order;

use super::{
    money,
    print::{Paint, clean, columns, time, word},
};

/// Names over the rows of [`row`].
pub fn header(paint: Paint) -> String {
    paint.dim(&row_columns(["NUMBER", "STATUS", "TOTAL", "CUSTOMER", "CREATED", "ID"]))
}

/// One row of a table.
pub fn row(order: &Order, paint: Paint) -> String {
    let customer = order.customer.as_ref().map(|customer| customer.customer_id.as_str()).unwrap_or_default();
    let row = row_columns([
        &format!("#{}", order.number),
        &order.status,
        &total(order),
        customer,
        &time(order.create_time),
        &order.order_id,
    ]);
    paint.phase(order.phase(), &row)
}

fn row_columns(cells: [&str; 6]) -> String {
    let widths = [9, 14, 16, 16, 20, 0];
    columns(&std::array::from_fn::<_, 6, _>(|index| (cells[index], widths[index])))
}

/// Everything.
pub fn whole(order: &Order, paint: Paint) -> String {
    let status = paint.phase(order.phase(), &clean(&order.status));
    let mut lines = vec![format!("{}  {status}", paint.bold(&format!("#{}", order.number)))];
    lines.push(fact("id", &order.order_id));
    lines.push(fact("workflow", &format!("{}, revision {}", order.workflow, order.workflow_revision)));
    lines.push(fact("version", &format!("{} ({})", order.version, word(order.phase().as_str_name(), "PHASE_"))));
    lines.push(fact("since", &time(order.status_time)));
    lines.extend(order.next_transition_time.map(|next| fact("next step", &time(Some(next)))));
    lines.push(fact("created", &time(order.create_time)));
    lines.extend(customer(order).map(|customer| fact("customer", &customer)));
    lines.extend(order.labels.iter().map(|(key, value)| fact("label", &format!("{key}={value}"))));
    lines.extend(items(order));
    lines.push(fact("total", &total(order)));
    lines.join("\n")
}

fn fact(name: &str, value: &str) -> String {
    format!("  {}", columns(&[(name, 9), (value, 0)]))
}

fn customer(order: &Order) -> Option<String> {
    let customer = order.customer.as_ref()?;
    let parts = [&customer.customer_id, &customer.name, &customer.email, &customer.locale];
    Some(parts.into_iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(", "))
}

fn items(order: &Order) -> impl Iterator<Item = String> + '_ {
    order.items.iter().map(|item| {
        let price = item.unit_price.as_ref().map(money::text).unwrap_or_default();
        fact("item", &format!("{} x {} at {price}", item.quantity, item.name))
    })
}

fn total(order: &Order) -> String {
    order.total.as_ref().map(money::text).unwrap_or_default()
}

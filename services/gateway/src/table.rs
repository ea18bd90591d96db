//! The routes: which method and path call which rpc. Everything that the gateway serves of the API, and what it documents, is made from
//! this table. What a route takes from headers and tells in headers follows from the fields of the rpc's messages (`route.rs`).

use axum::http::Method;

/// Where an rpc is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// GET, POST or PUT.
    pub method: Method,
    /// The path. A part in braces is a field of the request: `{order_id}`, `{courier.courier_id}`.
    pub path: &'static str,
    /// The rpc: `OrderService/GetOrder`.
    pub rpc: &'static str,
    /// What the body is.
    pub body: Body,
    /// With a new resource: where it is. A part in braces is a field of the response.
    pub location: Option<&'static str>,
}

/// What the body of a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none; the other fields of the request are parameters of the query.
    None,
    /// The request; fields that the path gives may be left out.
    Whole,
    /// One field of the request.
    Field(&'static str),
}

const fn get(path: &'static str, rpc: &'static str) -> Route {
    Route { method: Method::GET, path, rpc, body: Body::None, location: None }
}

const fn post(path: &'static str, rpc: &'static str) -> Route {
    Route { method: Method::POST, path, rpc, body: Body::Whole, location: None }
}

const fn put(path: &'static str, rpc: &'static str) -> Route {
    Route { method: Method::PUT, path, rpc, body: Body::Whole, location: None }
}

impl Route {
    const fn of_field(mut self, field: &'static str) -> Self {
        self.body = Body::Field(field);
        self
    }

    const fn at(mut self, location: &'static str) -> Self {
        self.location = Some(location);
        self
    }
}

/// Rpcs without a route, and why.
pub static WITHOUT_ROUTE: [(&str, &str); 1] = [(
    "DispatchService/StreamLocations",
    "it takes a stream of requests: use POST /v1/couriers/{courier_id}/locations for each position, or gRPC",
)];

/// Every route of the API.
pub static TABLE: [Route; 42] = [
    post("/v1/orders", "OrderService/CreateOrder").at("/v1/orders/{order.order_id}"),
    get("/v1/orders", "OrderService/ListOrders"),
    post("/v1/orders/batch", "OrderService/BatchCreateOrders"),
    post("/v1/orders/batch-get", "OrderService/BatchGetOrders"),
    get("/v1/orders/{order_id}", "OrderService/GetOrder"),
    get("/v1/orders/by-number/{number}", "OrderService/GetOrder"),
    post("/v1/customers/{customer_id}/erase", "OrderService/EraseCustomer"),
    post("/v1/orders/{order_id}/advance", "LifecycleService/AdvanceOrder"),
    post("/v1/orders/{order_id}/cancel", "LifecycleService/CancelOrder"),
    post("/v1/orders/{order_id}/reject", "LifecycleService/RejectOrder"),
    get("/v1/orders/{order_id}/transitions", "LifecycleService/ListTransitions"),
    get("/v1/workflows", "LifecycleService/ListWorkflows"),
    get("/v1/workflows/{name}", "LifecycleService/GetWorkflow"),
    get("/v1/orders/{order_id}/events", "WatchService/WatchOrder"),
    get("/v1/events", "WatchService/WatchOrders"),
    get("/v1/orders/{order_id}/mails", "MailService/ListMails"),
    get("/v1/mails", "MailService/ListMails"),
    post("/v1/orders/{order_id}/mails/{version}/resend", "MailService/ResendMail")
        .at("/v1/orders/{mail.order_id}/mails"),
    post("/v1/mails/resend", "MailService/ResendDeadMails"),
    put("/v1/couriers/{courier.courier_id}", "DispatchService/RegisterCourier").of_field("courier"),
    get("/v1/couriers", "DispatchService/ListCouriers"),
    put("/v1/couriers/{courier_id}/status", "DispatchService/SetCourierStatus"),
    post("/v1/couriers/{courier_id}/locations", "DispatchService/ReportLocation").of_field("location"),
    get("/v1/couriers/{courier_id}/events", "DispatchService/WatchCourier"),
    get("/v1/couriers/{courier_id}/assignments", "DispatchService/ListAssignments"),
    get("/v1/assignments", "DispatchService/ListAssignments"),
    get("/v1/orders/{order_id}/assignments", "DispatchService/ListAssignments"),
    post("/v1/orders/{order_id}/assignments", "DispatchService/AssignOrder")
        .at("/v1/orders/{assignment.order_id}/assignments/{assignment.attempt}"),
    get("/v1/orders/{order_id}/assignment", "DispatchService/GetAssignment"),
    get("/v1/orders/{order_id}/assignments/{attempt}", "DispatchService/GetAssignment"),
    post("/v1/orders/{order_id}/assignments/{attempt}/accept", "DispatchService/AcceptOffer"),
    post("/v1/orders/{order_id}/assignments/{attempt}/decline", "DispatchService/DeclineOffer"),
    post("/v1/orders/{order_id}/assignments/{attempt}/withdraw", "DispatchService/WithdrawAssignment"),
    post("/v1/orders/{order_id}/assignments/{attempt}/arrived", "DispatchService/MarkArrived"),
    post("/v1/orders/{order_id}/assignments/{attempt}/picked-up", "DispatchService/MarkPickedUp"),
    post("/v1/orders/{order_id}/assignments/{attempt}/complete", "DispatchService/CompleteAssignment"),
    get("/v1/analytics/orders", "AnalyticsService/CountOrders"),
    get("/v1/analytics/dwell", "AnalyticsService/ReportDwell"),
    get("/v1/analytics/rates", "AnalyticsService/ReportRates"),
    get("/v1/analytics/revenue", "AnalyticsService/ReportRevenue"),
    get("/v1/analytics/couriers", "AnalyticsService/ReportCouriers"),
    get("/v1/analytics/state", "AnalyticsService/GetAnalyticsState"),
];

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use prost_reflect::Kind;

    use super::*;
    use crate::{fields, schema::Schema};

    #[test]
    fn every_rpc_has_a_row_and_every_row_an_rpc() {
        let rows: BTreeSet<_> = TABLE.iter().map(|route| route.rpc).collect();
        let without: BTreeSet<_> = WITHOUT_ROUTE.iter().map(|(rpc, _)| *rpc).collect();
        assert!(rows.is_disjoint(&without));
        let methods = Schema::new().methods();
        let rpcs: BTreeSet<_> =
            methods.iter().map(|method| format!("{}/{}", method.parent_service().name(), method.name())).collect();
        assert_eq!(rows.union(&without).map(|rpc| (*rpc).to_owned()).collect::<BTreeSet<_>>(), rpcs);
    }

    #[test]
    fn no_two_routes_are_one() {
        let mut seen = BTreeMap::new();
        for route in &TABLE {
            let earlier = seen.insert((route.method.to_string(), route.path), route.rpc);
            assert_eq!(earlier, None, "{}", route.path);
        }
    }

    #[test]
    fn the_parts_of_paths_bodies_and_locations_are_fields() {
        let schema = Schema::new();
        for route in &TABLE {
            let method = schema.method(route.rpc).expect(route.rpc);
            for name in fields::in_braces(route.path) {
                assert!(fields::of_path(&method.input(), name).is_some(), "{}: {name}", route.path);
            }
            for name in fields::in_braces(route.location.unwrap_or_default()) {
                assert!(fields::of_path(&method.output(), name).is_some(), "{}: {name}", route.path);
            }
            if let Body::Field(name) = route.body {
                let field = fields::of_path(&method.input(), name).expect(route.path);
                assert!(matches!(field.kind(), Kind::Message(_)));
            }
        }
    }

    #[test]
    fn only_what_changes_nothing_is_a_get() {
        for route in &TABLE {
            let name = route.rpc.split_once('/').expect("a service and a name").1;
            let is_read = ["Get", "List", "Watch", "Count", "Report"].iter().any(|verb| name.starts_with(verb));
            let is_read = is_read && name != "ReportLocation";
            assert_eq!(route.method == Method::GET, is_read, "{}", route.rpc);
            assert_eq!(route.body == Body::None, route.method == Method::GET, "{}", route.rpc);
        }
    }
}

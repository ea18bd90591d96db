//! What a page of another origin can do: nothing.

use comanda_client::testing::Fake;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::fixture::{Gateway, answer, order};

const SHOP: &str = "https://shop.example";

#[tokio::test]
async fn a_foreign_page_or_name_reaches_no_server() {
    let (fake, gateway) = Gateway::before(Fake::default(), &[]).await;
    for path in ["/v1/orders", "/new_order", "/comanda.v1.OrderService/CreateOrder"] {
        for (name, value, wanted) in [
            ("origin", "https://evil.example", StatusCode::FORBIDDEN),
            ("sec-fetch-site", "cross-site", StatusCode::FORBIDDEN),
            ("sec-fetch-site", "same-site", StatusCode::FORBIDDEN),
            ("host", "evil.example", StatusCode::MISDIRECTED_REQUEST),
        ] {
            let (status, headers, problem) = answer(gateway.post(path, &order()).header(name, value)).await;
            assert_eq!(status, wanted, "{path} with {name}: {problem}");
            assert!(!headers.contains_key("access-control-allow-origin"));
        }
    }
    let read = answer(gateway.get("/v1/events").header("sec-fetch-site", "cross-site")).await;
    assert_eq!(read.0, StatusCode::FORBIDDEN);
    assert_eq!((fake.create.asked().len(), fake.watch_orders.asked().len()), (0, 0));
}

#[tokio::test]
async fn only_origins_that_are_allowed_may_ask_and_read() {
    let (_fake, gateway) =
        Gateway::before(Fake::default(), &["--cors-origin", SHOP, "--http-host", "orders.example"]).await;
    let preflight = |origin: &'static str| {
        let request = gateway.http.request(Method::OPTIONS, gateway.url("/v1/orders")).header("origin", origin);
        let wanted = "content-type,idempotency-key,if-match,x-grpc-web,connect-protocol-version,authorization";
        request.header("access-control-request-method", "POST").header("access-control-request-headers", wanted)
    };
    let allowed = preflight(SHOP).send().await.expect("an answer");
    assert_eq!(
        (allowed.status(), &allowed.headers()["access-control-allow-origin"]),
        (StatusCode::OK, &SHOP.parse().expect("one"))
    );
    let names = allowed.headers()["access-control-allow-headers"].to_str().expect("ASCII").to_owned();
    for name in ["idempotency-key", "if-match", "connect-protocol-version", "x-grpc-web"] {
        assert!(names.contains(name), "{names}");
    }
    let refused = preflight("https://evil.example").send().await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);

    let request = gateway.get("/v1/orders/x").header("origin", SHOP).header("sec-fetch-site", "cross-site");
    let (status, headers, problem) = answer(request.header("host", "orders.example")).await;
    assert_eq!((status, &problem["reason"]), (StatusCode::NOT_IMPLEMENTED, &json!("UNKNOWN_RPC")));
    let exposed = headers["access-control-expose-headers"].to_str().expect("ASCII");
    assert!(exposed.contains("etag") && exposed.contains("grpc-status-details-bin"), "{exposed}");
}

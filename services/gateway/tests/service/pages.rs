//! The pages for people.

use comanda_client::testing::Fake;
use reqwest::StatusCode;
use serde_json::Value;

use super::fixture::Gateway;

#[tokio::test]
async fn pages_are_served_whole_and_run_no_scripts_of_others() {
    let (_fake, gateway) = Gateway::before(Fake::default(), &[]).await;
    let start = gateway.get("/").send().await.expect("an answer");
    assert_eq!((start.status(), start.url().path()), (StatusCode::OK, "/board"));
    for page in ["/board", "/insights", "/docs"] {
        let response = gateway.get(page).send().await.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK, "{page}");
        let policy = response.headers()["content-security-policy"].to_str().expect("ASCII").to_owned();
        assert!(policy.contains("script-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        let text = response.text().await.expect("a text");
        // Whatever a page loads is there.
        for path in text.split('"').filter(|part| part.starts_with("/assets/")) {
            assert_eq!(gateway.get(path).send().await.expect("an answer").status(), StatusCode::OK, "{path}");
        }
        assert!(!text.contains("<script>") && !text.contains("style="), "{page}");
    }
    let document: Value = gateway.get("/openapi.json").send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
}

//! What pages of other origins may do: nothing, unless they are allowed to.
//!
//! That a server listens on loopback, and asks for no key, keeps no browser out: a page from anywhere runs beside it. So each request is
//! looked at: the name it was sent to (a foreign name may have been pointed at this machine), the page it comes from, and what the browser
//! says about where it comes from.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use comanda_client::Code;

use crate::problem::{Problem, only_here};

/// Who may ask.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Names under which the gateway is reached, besides `localhost` and every IP address.
    pub hosts: Vec<String>,
    /// Origins whose pages may call the API: `https://shop.example`.
    pub origins: Vec<HeaderValue>,
}

impl Guard {
    /// Why a request is refused, if it is.
    pub fn refusal<B>(&self, request: &Request<B>) -> Option<Problem> {
        let headers = request.headers();
        let Some(host) = host(request.uri(), headers) else {
            return Some(refused(StatusCode::BAD_REQUEST, only_here::FOREIGN_HOST, "the request has no Host"));
        };
        if !self.is_ours(&host) {
            let detail = "this server has another name; an operator can add this one with --http-host";
            return Some(refused(StatusCode::MISDIRECTED_REQUEST, only_here::FOREIGN_HOST, detail));
        }
        let origin = headers.get(header::ORIGIN);
        if origin.is_some_and(|origin| self.origins.contains(origin)) {
            return None;
        }
        let is_own = origin.is_none_or(|origin| is_origin_of(origin, &host));
        let is_fine = is_own && (is_from_here(headers) || is_navigation(request.method(), headers));
        let detail = "a page of another origin may not call this server; an operator can allow it with --cors-origin";
        (!is_fine).then(|| refused(StatusCode::FORBIDDEN, only_here::FOREIGN_ORIGIN, detail))
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = without_port(host);
        let address = name.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost")
            || address.parse::<IpAddr>().is_ok()
            || self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(name))
    }
}

fn refused(status: StatusCode, reason: &str, detail: &str) -> Problem {
    Problem::new(status, Code::PermissionDenied, reason, detail)
}

/// The name and port that the request was sent to.
fn host(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let given = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    uri.authority().map(|authority| authority.as_str()).or(given).map(str::to_owned)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// Whether a page of this origin is one of ours. A proxy in front may have done TLS, so the scheme is not compared.
fn is_origin_of(origin: &HeaderValue, host: &str) -> bool {
    let text = origin.to_str().unwrap_or_default();
    text.split_once("://").is_some_and(|(_, of)| of.eq_ignore_ascii_case(host))
}

/// What browsers say of where a request comes from; other programs say nothing.
fn is_from_here(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_none_or(|site| matches!(site.as_bytes(), b"same-origin" | b"none"))
}

/// Whether somebody follows a link to a page: it is shown, and the page with the link learns nothing.
fn is_navigation(method: &Method, headers: &HeaderMap) -> bool {
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|found| found == value);
    method == Method::GET && is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: &str, headers: &[(&str, &str)]) -> Option<u16> {
        let guard = Guard {
            hosts: vec!["orders.example".into()],
            origins: vec![HeaderValue::from_static("https://shop.example")],
        };
        let mut request = Request::builder().method(method).uri("/v1/orders");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        guard.refusal(&request.body(()).expect("a request")).map(|problem| problem.status.as_u16())
    }

    #[test]
    fn only_names_of_ours_and_addresses_are_answered() {
        let mut hosts =
            vec!["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "10.0.0.7", "orders.example", "LOCALHOST"];
        hosts.push("orders.example:443");
        for host in hosts {
            assert_eq!(status("GET", &[("host", host)]), None, "{host}");
        }
        for host in ["evil.example:8080", "localhost.evil.example", "orders.example.evil", ""] {
            assert_eq!(status("GET", &[("host", host)]), Some(421), "{host}");
        }
        assert_eq!(status("GET", &[]), Some(400));
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let host = ("host", "localhost:8080");
        for origin in ["https://evil.example", "http://localhost:3000", "null", "http://127.0.0.1:8080"] {
            assert_eq!(status("POST", &[host, ("origin", origin)]), Some(403), "{origin}");
        }
        for origin in ["http://localhost:8080", "https://localhost:8080", "https://shop.example"] {
            assert_eq!(status("POST", &[host, ("origin", origin)]), None, "{origin}");
        }
    }

    #[test]
    fn what_a_browser_sends_for_another_site_is_refused_unless_a_link_is_followed() {
        let host = ("host", "localhost:8080");
        for site in ["cross-site", "same-site"] {
            let site = ("sec-fetch-site", site);
            assert_eq!(status("GET", &[host, site, ("sec-fetch-mode", "no-cors")]), Some(403));
            let link = [host, site, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
            assert_eq!(status("GET", &link), None);
            assert_eq!(status("POST", &link), Some(403));
            let frame = [host, site, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
            assert_eq!(status("GET", &frame), Some(403));
        }
        for site in ["same-origin", "none"] {
            assert_eq!(status("POST", &[host, ("sec-fetch-site", site)]), None);
        }
        let allowed = [host, ("origin", "https://shop.example"), ("sec-fetch-site", "cross-site")];
        assert_eq!(status("POST", &allowed), None);
    }
}

//! The pages for people: the board, reports, and what describes the API. They are files in the binary; debug builds read them from the disk.

use axum::{
    Router,
    body::Body,
    extract::Path,
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
    response::Redirect,
    routing::get,
};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::problem::Problem;

#[derive(RustEmbed)]
#[folder = "pages"]
struct Files;

/// What describes the API (`openapi/`).
const OPENAPI: &str = include_str!("../openapi.json");

/// The pages load nothing from elsewhere and run no script but our own, and no other page may show them inside itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// The routes of the pages.
pub fn routes() -> Router {
    Router::new()
        .route("/", get(|| async { Redirect::temporary("/board") }))
        .route("/board", get(async |headers: HeaderMap| file("board.html", &headers)))
        .route("/insights", get(async |headers: HeaderMap| file("insights.html", &headers)))
        .route("/docs", get(async |headers: HeaderMap| file("docs.html", &headers)))
        .route("/assets/{*path}", get(async |Path(path): Path<String>, headers: HeaderMap| file(&path, &headers)))
        .route("/openapi.json", get(async || openapi()))
}

fn openapi() -> Response<Body> {
    let mut response = Response::new(Body::from(OPENAPI));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A page with this status, whole.
pub fn page(path: &str, status: StatusCode) -> Response<Body> {
    let mut response = file(path, &HeaderMap::new());
    if response.status() == StatusCode::OK {
        *response.status_mut() = status;
    }
    response
}

/// A file, unless the browser has it already.
fn file(path: &str, headers: &HeaderMap) -> Response<Body> {
    let Some(kind) = kind(path) else { return nothing_here() };
    let Some(found) = Files::get(path) else { return nothing_here() };
    let tag = tag(&found);
    let is_known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| *known == tag);
    let body = if is_known { Body::empty() } else { Body::from(found.data.into_owned()) };
    let mut response = Response::new(body);
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // Each time it is asked whether it has changed: a gateway of another version may answer.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn nothing_here() -> Response<Body> {
    Problem::no_such_route().into_response()
}

fn tag(file: &EmbeddedFile) -> HeaderValue {
    let hash: String = file.metadata.sha256_hash().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::try_from(format!("\"{hash}\"")).expect("hexadecimal digits")
}

/// Kinds of files that there are.
fn kind(path: &str) -> Option<&'static str> {
    match path.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_a_kind() {
        let files: Vec<_> = Files::iter().collect();
        assert!(files.len() > 10, "{files:?}");
        for path in files {
            assert!(kind(&path).is_some(), "{path}");
        }
    }

    #[test]
    fn a_file_is_sent_once_and_outside_of_the_folder_there_is_nothing() {
        let first = file("board.html", &HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        assert!(
            first.headers()[header::CONTENT_SECURITY_POLICY].to_str().expect("ASCII").contains("default-src 'none'")
        );
        let known = HeaderMap::from_iter([(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone())]);
        assert_eq!(file("board.html", &known).status(), StatusCode::NOT_MODIFIED);
        for path in ["../Cargo.toml", "../openapi.json", "none.js", "", "board"] {
            assert_eq!(file(path, &HeaderMap::new()).status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}

//! What comes from outside, for tests: bytes that were damaged on their way, and answers that every client can read.

use comanda_proto::errors::reason;
use tonic::{
    Code, Status,
    codegen::http::{HeaderMap, Response},
};
use tonic_types::StatusExt;

/// What gRPC's implementations in C++ and Java read of headers and trailers.
const CLIENT_HEADER_BYTES: usize = 8 * 1024;
/// What HTTP/2 counts for a header beside its name and value (RFC 9113, section 6.5.2).
const HEADER_OVERHEAD_BYTES: usize = 32;

/// The same bytes with so many changes: of a bit, of a byte, one more or one less. Each is a place and what happens there.
pub fn damaged(bytes: &[u8], changes: &[(u16, u8)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (place, change) in changes {
        let place = usize::from(*place) % (bytes.len() + 1);
        match bytes.get_mut(place) {
            None => bytes.push(*change),
            Some(byte) if change % 4 < 2 => *byte ^= 1 << (change >> 5),
            Some(_) if change % 4 == 2 => drop(bytes.remove(place)),
            Some(_) => bytes.insert(place, *change),
        }
    }
    bytes
}

/// Checks that an error is INVALID_ARGUMENT, names what is wrong, and fits into what every client reads; returns the fields.
pub fn wrong_fields(error: impl Into<Status>) -> Vec<String> {
    let status = error.into();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status.get_error_details();
    assert_eq!(details.error_info().map(|info| &*info.reason), Some(reason::INVALID_FIELDS));
    let violations = details.bad_request().map(|wrong| wrong.field_violations.clone()).unwrap_or_default();
    assert!(!violations.is_empty(), "{status:?}");
    assert!(violations.iter().all(|wrong| !wrong.field.is_empty() && !wrong.description.is_empty()), "{status:?}");
    let answer: Response<()> = status.into_http();
    let bytes = header_bytes(answer.headers());
    assert!(bytes <= CLIENT_HEADER_BYTES, "{bytes} bytes of headers");
    violations.into_iter().map(|wrong| wrong.field).collect()
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD_BYTES).sum()
}

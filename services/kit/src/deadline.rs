//! The deadline that a client gave its call, in the header `grpc-timeout`
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use std::time::Duration;

use tonic::codegen::http::HeaderMap;

const HEADER: &str = "grpc-timeout";
const MAX_DIGITS: usize = 8;

/// How long the call may take from its beginning; `None` without a deadline, or where the header is not as gRPC has it.
pub fn of_call(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(HEADER)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > MAX_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 60 * 60)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, text.parse().expect("a header value"));
        of_call(&headers)
    }

    #[test]
    fn every_unit_is_read() {
        for (text, duration) in [
            ("2H", Duration::from_secs(7200)),
            ("3M", Duration::from_secs(180)),
            ("0S", Duration::ZERO),
            ("250m", Duration::from_millis(250)),
            ("99999999u", Duration::from_micros(99_999_999)),
            ("7n", Duration::from_nanos(7)),
        ] {
            assert_eq!(parsed(text), Some(duration), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_deadline() {
        for text in ["", "S", "5", "5s", "-5S", "+5S", "5 S", "123456789S", "5SS"] {
            assert_eq!(parsed(text), None, "{text}");
        }
        assert_eq!(of_call(&HeaderMap::new()), None);
    }
}

//! What a broken stream says to a person.

use comanda_client::{Interruption, Resume};

use super::status::lines;

/// Why a stream broke, how the watch goes on, and what it misses by that.
pub fn text(interruption: &Interruption) -> String {
    let error = lines(&interruption.error).join("; ");
    let wait = interruption.wait.as_secs_f64();
    match interruption.resume {
        Resume::InPlace => format!("interrupted: {error}; resuming in {wait:.1} s"),
        Resume::Now => {
            format!("interrupted: {error}; starting again in {wait:.1} s: what happens meanwhile is not shown")
        }
        Resume::Snapshot => {
            format!("interrupted: {error}; taking a snapshot in {wait:.1} s: steps of the time between are not shown")
        }
        Resume::Pages if !interruption.wait.is_zero() => format!("interrupted: {error}; reading on in {wait:.1} s"),
        Resume::Pages => format!("{error}; listing the orders that have not ended page by page instead"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::Status;

    use super::*;

    #[test]
    fn what_is_missed_is_said() {
        let after = |resume, wait_ms| {
            let error = Status::unavailable("down\x1b[2J").into();
            text(&Interruption { error, wait: Duration::from_millis(wait_ms), resume })
        };
        let text = |resume| after(resume, 1250);
        assert_eq!(text(Resume::InPlace), "interrupted: down\\u{1b}[2J (UNAVAILABLE); resuming in 1.2 s");
        assert!(text(Resume::Now).contains("meanwhile is not shown"));
        assert!(text(Resume::Snapshot).contains("steps of the time between are not shown"));
        assert!(text(Resume::Pages).ends_with("reading on in 1.2 s"));
        assert!(after(Resume::Pages, 0).contains("page by page"));
    }
}

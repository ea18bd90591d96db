//! Staying with a stream that breaks: what may be resumed, how long to wait, when to give up.

use std::{future::Future, time::Duration};

use comanda_kit::backoff::Backoff;
use comanda_proto::errors::reason::SLOW_READER;
use tonic::{Code, Response, Status, Streaming};

use super::{
    print::Printer,
    status::{lines, reason, retry_delay},
};
use crate::failure::Failure;

/// Three heartbeats of the server: whoever is silent for longer is gone.
const MAX_SILENCE: Duration = Duration::from_secs(45);
/// In succession, without a response between them, of breaks that may be no outage but something that will not pass.
const MAX_DOUBTFUL_BREAKS: u32 = 5;

/// Waits between the tries of one watch.
#[derive(Debug)]
pub struct Patience {
    backoff: Backoff,
    breaks: u32,
}

impl Patience {
    /// At the start of a watch.
    pub fn new() -> Self {
        Self { backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(15)), breaks: 0 }
    }

    /// A response came.
    pub fn heard(&mut self) {
        self.breaks = 0;
        self.backoff.reset();
    }

    /// Waits until it is time to resume, or fails where resuming is of no use.
    pub async fn outlast(&mut self, status: Status, print: Printer) -> Result<(), Failure> {
        self.breaks += 1;
        if !may_resume(&status, self.breaks) {
            return Err(status.into());
        }
        let delay = self.backoff.next_delay().max(retry_delay(&status).unwrap_or_default());
        print.notice(&format!("interrupted: {}; resuming in {:.1} s", lines(&status).join("; "), delay.as_secs_f64()));
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

/// UNAVAILABLE passes, however long it takes. Errors without a reason come from the transport, where a broken connection has many
/// names; those, and a stream that the server ended early, are tried again a few times.
fn may_resume(status: &Status, breaks: u32) -> bool {
    let reason = reason(status);
    match status.code() {
        Code::Unavailable => true,
        Code::Aborted => reason.as_deref() == Some(SLOW_READER),
        Code::OutOfRange => reason.is_some() && breaks <= MAX_DOUBTFUL_BREAKS,
        Code::Ok | Code::Unknown | Code::Internal | Code::Cancelled => {
            reason.is_none() && breaks <= MAX_DOUBTFUL_BREAKS
        }
        _ => false,
    }
}

/// Opens a stream.
pub async fn open<T>(
    call: impl Future<Output = Result<Response<Streaming<T>>, Status>>,
) -> Result<Streaming<T>, Status> {
    Ok(tokio::time::timeout(MAX_SILENCE, call).await.map_err(|_| silence())??.into_inner())
}

/// The next response. The end of the stream is an error of code OK.
pub async fn next<T>(stream: &mut Streaming<T>) -> Result<T, Status> {
    let response = tokio::time::timeout(MAX_SILENCE, stream.message()).await.map_err(|_| silence())??;
    response.ok_or_else(|| Status::ok("the server ended the stream"))
}

fn silence() -> Status {
    Status::unavailable(format!("nothing heard for {} s", MAX_SILENCE.as_secs()))
}

#[cfg(test)]
mod tests {
    use comanda_proto::errors::{
        DOMAIN,
        reason::{CONTENTION, ORDER_NOT_FOUND, SHUTTING_DOWN, STREAM_AGE, TOKEN_EXPIRED},
    };
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    fn error(code: Code, reason: &str) -> Status {
        Status::with_error_details(code, "", ErrorDetails::with_error_info(reason, DOMAIN, []))
    }

    #[test]
    fn what_passes_is_resumed() {
        for (code, reason) in [
            (Code::Unavailable, STREAM_AGE),
            (Code::Unavailable, SHUTTING_DOWN),
            (Code::Aborted, SLOW_READER),
            (Code::OutOfRange, TOKEN_EXPIRED),
        ] {
            assert!(may_resume(&error(code, reason), 1), "{reason}");
        }
        assert!(may_resume(&Status::unavailable("down for hours"), 1000));
    }

    #[test]
    fn what_stays_is_not() {
        assert!(!may_resume(&error(Code::NotFound, ORDER_NOT_FOUND), 1));
        assert!(!may_resume(&error(Code::Aborted, CONTENTION), 1));
        assert!(!may_resume(&error(Code::Internal, "INTERNAL"), 1));
        assert!(!may_resume(&Status::unknown("broken"), MAX_DOUBTFUL_BREAKS + 1));
    }
}

//! With which credentials a watch opened its stream.

use tonic::Code;

use crate::{credentials::Credentials, error::Error, retry};

/// The credentials of a watch, and which token they showed when its stream was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    credentials: Credentials,
    version: u64,
}

impl Opened {
    /// Not opened yet.
    pub fn with(credentials: &Credentials) -> Self {
        Self { credentials: credentials.clone(), version: 0 }
    }

    /// Notes that the stream is opened now.
    pub fn note(&mut self) {
        self.version = self.credentials.version();
    }

    /// Whether a stream that ended with this error may be opened again where it was: also one whose credentials ended, if there are others now.
    pub fn may_resume(&self, error: &Error) -> bool {
        retry::may_resume(error) || error.code == Code::Unauthenticated && self.credentials.version() > self.version
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use comanda_proto::v1::{
        OrderTransition, Phase, WatchOrderRequest, WatchOrderResponse, watch_order_response::Event,
    };
    use tonic::Status;

    use crate::{
        Client, Config, Credentials, Update,
        testing::{Fake, Script, Step},
    };

    fn step(version: i64, phase: Phase) -> Step<WatchOrderResponse> {
        let transition = OrderTransition { version, phase: phase.into(), ..Default::default() };
        Step::Send(WatchOrderResponse { event: Some(Event::Transition(transition)) })
    }

    #[tokio::test]
    async fn a_watch_whose_credentials_end_goes_on_once_there_are_others() {
        let ends = || Step::End(Status::unauthenticated("expired"));
        let fake = Fake {
            watch_order: Script::new([
                Ok(vec![step(1, Phase::Active), ends()]),
                Ok(vec![ends()]),
                Ok(vec![step(2, Phase::Succeeded)]),
            ]),
            ..Default::default()
        };
        let (fake, address) = fake.serve().await;
        let path = std::env::temp_dir().join(format!("comanda-token-{}", uuid::Uuid::new_v4()));
        fs::write(&path, "first").expect("writes");
        let credentials = Credentials::file(&path).expect("a token");
        let config = Config { credentials, first_wait: Duration::from_millis(1), ..Config::at(address) };
        let mut watch = Client::new(config).watch_order(WatchOrderRequest::default()).await.expect("a connection");
        assert!(matches!(watch.next().await, Ok(Some(Update::Event(_)))));
        fs::write(&path, "second").expect("writes");
        assert!(matches!(watch.next().await, Ok(Some(Update::Interrupted(_)))), "others are there");
        assert_eq!(watch.next().await.expect_err("no others are there").code, crate::Code::Unauthenticated);
        // The caller goes on: the watch tries again, from the same place.
        assert!(matches!(watch.next().await, Ok(Some(Update::Event(_)))));
        assert!(watch.next().await.expect("no error").is_none());
        let asked: Vec<_> = fake.watch_order.asked().iter().map(|request| request.after_version).collect();
        assert_eq!(asked, [0, 1, 1]);
        fs::remove_file(&path).expect("removes");
    }
}

//! What a courier has to do, as WatchCourier tells it.

use std::time::Duration;

use comanda_client::Client;
use comanda_proto::v1::{Assignment, AssignmentState, WatchCourierRequest, WatchCourierResponse};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tonic::{Code, Status};

use super::{
    book::Book,
    link::{PAUSE, may_pass},
};

/// A stream that says nothing for so long, not even that nothing has changed, is dead.
const SILENCE: Duration = Duration::from_secs(45);

/// Which assignment.
pub(super) type Key = (String, i32);

/// The last response; the sender is [`follow`].
#[derive(Clone, Debug)]
pub(super) struct Jobs(watch::Receiver<Vec<Assignment>>);

impl Jobs {
    pub fn new(receiver: watch::Receiver<Vec<Assignment>>) -> Self {
        Self(receiver)
    }

    /// The oldest one, as soon as there is one.
    pub async fn next(&mut self) -> Option<Assignment> {
        let jobs = self.0.wait_for(|jobs| !jobs.is_empty()).await.ok()?;
        jobs.first().cloned()
    }

    /// Returns once an assignment is not shown any more, or not as an offer.
    pub async fn changed(&mut self, key: &Key, is_offer: bool) {
        let is_same = |job: &Assignment| key_of(job) == *key && (job.state() == AssignmentState::Offered) == is_offer;
        _ = self.0.wait_for(|jobs| !jobs.iter().any(is_same)).await;
    }
}

/// Which it is.
pub(super) fn key_of(assignment: &Assignment) -> Key {
    (assignment.order_id.clone(), assignment.attempt)
}

/// Follows a courier for ever: a stream that ends is opened again.
pub(super) async fn follow(
    client: Client,
    courier_id: String,
    capacity: usize,
    book: &Book,
    jobs: watch::Sender<Vec<Assignment>>,
) {
    let mut revision = 0;
    loop {
        let status = match stream(&client, &courier_id, capacity, book, &jobs, &mut revision).await {
            Ok(()) => Status::unavailable("the stream ended"),
            Err(status) => status,
        };
        if !may_pass(status.code()) {
            book.wrong(format!("WatchCourier: {}", status.message()));
            return;
        }
        sleep(PAUSE).await;
    }
}

async fn stream(
    client: &Client,
    courier_id: &str,
    capacity: usize,
    book: &Book,
    jobs: &watch::Sender<Vec<Assignment>>,
    revision: &mut i64,
) -> Result<(), Status> {
    let late = |_| Status::new(Code::Unavailable, "the stream is silent");
    let request = WatchCourierRequest { courier_id: courier_id.into() };
    let mut dispatch = client.dispatch_service().await.map_err(|error| Status::new(error.code, error.message))?;
    let mut stream = timeout(SILENCE, dispatch.watch_courier(request)).await.map_err(late)??.into_inner();
    while let Some(response) = timeout(SILENCE, stream.message()).await.map_err(late)?? {
        check(&response, capacity, *revision, book);
        *revision = response.revision;
        jobs.send_replace(response.assignments);
    }
    Ok(())
}

/// What must never be seen.
fn check(response: &WatchCourierResponse, capacity: usize, revision: i64, book: &Book) {
    if response.assignments.len() > capacity {
        book.wrong("a courier was shown more jobs than it takes");
    }
    if response.revision < revision {
        book.wrong("a courier's revision fell");
    }
    let is_ended = |job: &Assignment| job.state() == AssignmentState::Ended;
    if response.assignments.iter().any(is_ended) {
        book.wrong("a courier was shown a job that had ended");
    }
    let is_unconfirmed = |job: &Assignment| job.state() == AssignmentState::Active && !job.confirmed;
    if response.assignments.iter().any(is_unconfirmed) {
        book.wrong("a courier was shown a job that was not confirmed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(state: AssignmentState, confirmed: bool) -> Assignment {
        Assignment { order_id: "o".into(), attempt: 1, state: state.into(), confirmed, ..Default::default() }
    }

    fn wrong(assignments: Vec<Assignment>, revision: i64) -> usize {
        let book = Book::new(1);
        check(&WatchCourierResponse { revision, assignments, ..Default::default() }, 1, 5, &book);
        book.summary().wrong.len()
    }

    #[test]
    fn what_must_never_be_shown_is_told() {
        let (offer, active) = (job(AssignmentState::Offered, false), job(AssignmentState::Active, true));
        assert_eq!(wrong(vec![offer.clone()], 5) + wrong(vec![active.clone()], 6) + wrong(vec![], 5), 0);
        assert_eq!(wrong(vec![offer, active], 6), 1);
        assert_eq!(wrong(vec![], 4), 1);
        assert_eq!(wrong(vec![job(AssignmentState::Active, false)], 6), 1);
        assert_eq!(wrong(vec![job(AssignmentState::Ended, true)], 6), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_offer_that_became_a_job_has_changed() {
        let (sender, receiver) = watch::channel(vec![job(AssignmentState::Offered, false)]);
        let mut jobs = Jobs::new(receiver);
        let key = key_of(&jobs.next().await.expect("there is one"));
        assert!(timeout(Duration::from_secs(1), jobs.changed(&key, true)).await.is_err());
        sender.send_replace(vec![job(AssignmentState::Active, true)]);
        assert!(timeout(Duration::from_secs(1), jobs.changed(&key, true)).await.is_ok());
        assert!(timeout(Duration::from_secs(1), jobs.changed(&key, false)).await.is_err());
    }
}

//! What a courier is shown of its jobs, on any replica, again and again.

use std::time::Duration;

use comanda_checker::history::{Event, Job, What};
use comanda_proto::v1::{Assignment, WatchCourierRequest, WatchCourierResponse};
use rand::RngExt;
use tokio::{sync::watch, time::sleep};
use tonic::Response;

use super::commands::Caller;
use crate::{
    cluster::Role,
    workload::{
        shown,
        streams::{self, End, Habit},
    },
};

/// How long it stays with one stream, at most.
const STAY: Duration = Duration::from_secs(20);
const AGAIN_MS: (u64, u64) = (20, 400);

/// Follows it for ever; `jobs` has what was shown last.
pub(super) async fn follow(caller: &mut Caller, jobs: watch::Sender<Vec<Job>>) {
    loop {
        stream(caller, &jobs).await;
        let wait = Duration::from_millis(caller.rng.random_range(AGAIN_MS.0..=AGAIN_MS.1));
        sleep(wait).await;
    }
}

async fn stream(caller: &mut Caller, jobs: &watch::Sender<Vec<Job>>) {
    let Caller { clients, courier_id, rng } = caller;
    let way = clients.replicas.any(Role::Dispatch, rng);
    let stream = clients.recorder.number();
    let (client, tenant, replica) = (courier_id.clone(), clients.tenant.name.clone(), way.replica.clone());
    clients.recorder.record(What::WatchCourier { stream, client, tenant, replica, courier_id: courier_id.clone() });
    let mut dispatch = way.dispatch();
    let request = WatchCourierRequest { courier_id: courier_id.clone() };
    // A courier that waits for work sees it at once.
    let habit = Habit { slowness: Duration::ZERO, ..Habit::draw(STAY, rng) };
    let end = match streams::opened(dispatch.watch_courier(request)).await.map(Response::into_inner) {
        Ok(responses) => {
            let see = |response| {
                let event = event(response);
                let Event::Jobs { jobs: shown, .. } = &event else { unreachable!("made so") };
                let is_news = jobs.send_if_modified(|jobs| {
                    *jobs != *shown && {
                        jobs.clone_from(shown);
                        true
                    }
                });
                clients.recorder.record(What::Event { stream, event });
                is_news
            };
            streams::read(clients, responses, habit, rng, see).await
        }
        Err(end) => end,
    };
    end.record(clients, stream);
    if end == End::SeenAll {
        std::future::pending::<()>().await;
    }
}

fn event(response: WatchCourierResponse) -> Event {
    let jobs = response.assignments.iter().map(job).collect();
    Event::Jobs { revision: response.revision, jobs }
}

fn job(assignment: &Assignment) -> Job {
    Job {
        order_id: assignment.order_id.clone(),
        attempt: assignment.attempt,
        state: shown::assignment_state(assignment.state()),
        confirmed: assignment.confirmed,
    }
}

//! `comanda courier watch`: what a courier has to do, until Ctrl-C.

use comanda_client::Update;
use comanda_proto::v1::{WatchCourierRequest, WatchCourierResponse};

use super::super::{
    Client,
    assignment::show::job,
    interruption,
    print::{Paint, word},
};
use crate::failure::{Exit, Failure};

/// Prints everything that the courier has to do, again after each change.
pub async fn run(client: &Client, request: WatchCourierRequest) -> Result<(), Failure> {
    let courier_id = request.courier_id.clone();
    tokio::select! {
        end = follow(client, request, &courier_id) => end,
        _ = tokio::signal::ctrl_c() => Err(Failure::new(Exit::Interrupted, "")),
    }
}

async fn follow(client: &Client, request: WatchCourierRequest, courier_id: &str) -> Result<(), Failure> {
    let mut watch = client.api.watch_courier(request).await?;
    loop {
        match watch.next().await? {
            Update::Event(response) => {
                let human = |paint| whole(courier_id, &response, paint);
                client.print.show("comanda.v1.WatchCourierResponse", &response, human)?;
            }
            Update::Interrupted(interruption) => client.print.notice(&interruption::text(&interruption)),
        }
    }
}

/// The courier's status, then a few lines for each job.
fn whole(courier_id: &str, response: &WatchCourierResponse, paint: Paint) -> String {
    let status = word(response.status().as_str_name(), "COURIER_STATUS_");
    let jobs = match response.assignments.len() {
        0 => "nothing to do".to_owned(),
        1 => "1 job".to_owned(),
        count => format!("{count} jobs"),
    };
    let title = crate::terminal::escape(&format!("{courier_id}  {status}  {jobs}")).into_owned();
    let mut lines = vec![paint.bold(&title)];
    lines.extend(response.assignments.iter().map(|assignment| job(assignment, paint)));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use comanda_proto::v1::{Assignment, AssignmentState, CourierStatus};

    use super::*;

    #[test]
    fn each_job_says_what_to_do_next() {
        let job = Assignment { number: 7, attempt: 2, state: AssignmentState::Active.into(), ..Default::default() };
        let status = CourierStatus::Available.into();
        let response = WatchCourierResponse { status, assignments: vec![job], ..Default::default() };
        let text = whole("maria", &response, Paint::NONE);
        assert!(text.starts_with("maria  available  1 job\n  #7"), "{text}");
        assert!(text.contains("comanda assignment arrived 7 --attempt 2"), "{text}");
        let nothing = WatchCourierResponse { assignments: vec![], ..response };
        assert_eq!(whole("maria", &nothing, Paint::NONE), "maria  available  nothing to do");
    }
}

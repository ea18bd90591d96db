//! How the rows of an import ended.

use comanda_client::Error;
use serde_json::json;

use super::{
    batch::{Answer, Answers},
    print::Printer,
    status::lines,
};
use crate::failure::{Exit, Failure};

/// More failures than these are only counted.
const MAX_FAILURES_SHOWN: usize = 20;

/// Counts, and the first failures.
#[derive(Debug, Default)]
pub struct Tally {
    created: usize,
    already_there: usize,
    failed: usize,
    failures: Vec<(usize, String)>,
    lost: Option<String>,
}

impl Tally {
    /// Counts a batch.
    pub fn add(&mut self, answers: &Answers) {
        answers.rows.iter().for_each(|answer| self.count(answer));
        if let Some(error) = &answers.lost {
            self.lost = Some(reason(error));
        }
    }

    /// Whether the server has been given up: sending more is of no use.
    pub fn is_lost(&self) -> bool {
        self.lost.is_some()
    }

    /// Rows whose order an earlier run had created.
    pub fn already_there(&self) -> usize {
        self.already_there
    }

    fn count(&mut self, answer: &Answer) {
        match &answer.outcome {
            Ok(created) if created.replayed => self.already_there += 1,
            Ok(_) => self.created += 1,
            Err(error) => self.fail(answer, error),
        }
    }

    fn fail(&mut self, answer: &Answer, error: &Error) {
        self.failed += 1;
        let number = answer.row.number;
        self.failures.push((number, format!("row {number}: {}", reason(error))));
        // Batches come back in any order: the first rows of the file are kept, not the first to fail.
        self.failures.sort_unstable();
        self.failures.truncate(MAX_FAILURES_SHOWN);
    }

    /// Prints the counts; fails if any row did.
    pub fn report(self, rows: usize, print: Printer) -> Result<(), Failure> {
        let Self { created, already_there, failed, .. } = self;
        let not_sent = rows - created - already_there - failed;
        let counts = json!({"created": created, "alreadyThere": already_there, "failed": failed, "notSent": not_sent});
        let mut text = format!("created {created}, already there {already_there}, failed {failed}");
        if not_sent > 0 {
            text.push_str(&format!(", not sent {not_sent}"));
        }
        print.value(&counts, &text)?;
        self.into_failure().map_or(Ok(()), Err)
    }

    fn into_failure(self) -> Option<Failure> {
        if self.failed == 0 {
            return None;
        }
        let mut lines = vec![format!("rows not created: {}", self.failed)];
        let more = self.failed - self.failures.len();
        lines.extend(self.failures.into_iter().map(|(_, line)| line));
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        let mut exit = Exit::Refused;
        if let Some(reason) = self.lost {
            exit = Exit::Unknown;
            lines.push(format!("stopped: {reason}"));
            lines.push("run it again when the server is back: nothing is created twice".to_owned());
        }
        Some(Failure::new(exit, lines.join("\n  ")))
    }
}

/// A row's answer for programs.
pub fn record(answer: &Answer) -> serde_json::Value {
    let row = answer.row.number;
    match &answer.outcome {
        Ok(created) => {
            let order = created.order.clone().unwrap_or_default();
            json!({"row": row, "orderId": order.order_id, "number": order.number, "replayed": created.replayed})
        }
        Err(error) => json!({"row": row, "error": reason(error)}),
    }
}

fn reason(error: &Error) -> String {
    lines(error).join("; ")
}

#[cfg(test)]
mod tests {
    use comanda_proto::v1::{CreateOrderRequest, CreateOrderResponse};
    use tonic::Status;

    use super::{super::batch::Pending, *};

    fn answer(number: usize, outcome: Result<CreateOrderResponse, Error>) -> Answer {
        Answer { row: Pending { number, request: CreateOrderRequest::default() }, outcome }
    }

    fn tally(rows: Vec<Answer>, lost: Option<Error>) -> Tally {
        let mut tally = Tally::default();
        tally.add(&Answers { rows, lost });
        tally
    }

    #[test]
    fn created_and_already_there_are_no_failure() {
        let replayed = CreateOrderResponse { replayed: true, ..Default::default() };
        let tally = tally(vec![answer(1, Ok(CreateOrderResponse::default())), answer(2, Ok(replayed))], None);
        assert_eq!((tally.created, tally.already_there, tally.failed), (1, 1, 0));
        assert!(tally.into_failure().is_none());
    }

    #[test]
    fn the_first_failing_rows_of_the_file_are_named() {
        let refused = |number| answer(number, Err(Status::invalid_argument("no such workflow").into()));
        let failure = tally((1..=25).rev().map(refused).collect(), None).into_failure().expect("failed");
        assert_eq!(failure.exit, Exit::Refused);
        assert!(
            failure.message.starts_with("rows not created: 25\n  row 1: no such workflow (INVALID_ARGUMENT)\n  row 2")
        );
        assert!(failure.message.ends_with("and 5 more"), "{}", failure.message);
    }

    #[test]
    fn a_lost_server_is_worth_another_run() {
        let down = Error::from(Status::unavailable("down"));
        let failure = tally(vec![answer(1, Err(down.clone()))], Some(down)).into_failure().expect("failed");
        assert_eq!(failure.exit, Exit::Unknown);
        assert!(failure.message.ends_with("nothing is created twice"));
    }
}

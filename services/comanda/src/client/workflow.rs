//! `comanda workflow ..`.

use clap::{Args, Subcommand};
use comanda_proto::v1::{GetWorkflowRequest, ListWorkflowsRequest, Workflow, WorkflowEdge, WorkflowStatus};

use super::{
    Client, ClientArgs,
    print::{Paint, columns, word},
};
use crate::{
    failure::Failure,
    operate::{self, workflow::WorkflowVerb},
};

/// The most that the server puts on a page.
const MAX_PAGE_SIZE: i32 = 100;
const WORKFLOW: &str = "comanda.v1.Workflow";

/// What to look at.
#[derive(Args, Debug)]
pub struct WorkflowArgs {
    #[command(flatten)]
    client: ClientArgs,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the workflows that new orders may follow, each in the revision that they get.
    List,
    /// Show the statuses of a workflow and the steps between them.
    #[command(after_help = "Example:\n  comanda workflow show delivery --revision 2")]
    Show {
        /// Its name, as in `order create --workflow NAME`.
        name: String,
        /// Its revision; without it, the one that new orders get.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
        revision: Option<i32>,
    },
    /// What an operator does with the database, without a server.
    #[command(flatten)]
    Operate(WorkflowVerb),
}

/// Does it.
pub async fn run(args: WorkflowArgs) -> Result<(), Failure> {
    let client = Client::try_from(args.client)?;
    match args.verb {
        Verb::List => list(&client).await,
        Verb::Show { name, revision } => show(&client, name, revision.unwrap_or_default()).await,
        Verb::Operate(verb) => Ok(operate::workflow::run(verb).await?),
    }
}

async fn list(client: &Client) -> Result<(), Failure> {
    let mut page_token = String::new();
    loop {
        let is_first = page_token.is_empty();
        let request = ListWorkflowsRequest { page_size: MAX_PAGE_SIZE, page_token };
        let page = client.api.list_workflows(request).await?;
        if is_first {
            client.print.heading(|paint| paint.dim(&cells(["NAME", "REVISION", "STATUSES"])))?;
        }
        for workflow in &page.workflows {
            client.print.show(WORKFLOW, workflow, |_| row(workflow))?;
        }
        if page.next_page_token.is_empty() {
            return Ok(());
        }
        page_token = page.next_page_token;
    }
}

async fn show(client: &Client, name: String, revision: i32) -> Result<(), Failure> {
    let answer = client.api.get_workflow(GetWorkflowRequest { name, revision }).await?;
    let workflow = answer.workflow.unwrap_or_default();
    Ok(client.print.show(WORKFLOW, &workflow, |paint| whole(&workflow, paint))?)
}

fn row(workflow: &Workflow) -> String {
    let statuses: Vec<_> = workflow.statuses.iter().map(|status| status.name.as_str()).collect();
    cells([&workflow.name, &workflow.revision.to_string(), &statuses.join(", ")])
}

fn cells(texts: [&str; 3]) -> String {
    columns(&[(texts[0], 24), (texts[1], 8), (texts[2], 0)])
}

/// The statuses in their order, each with the steps that leave it.
fn whole(workflow: &Workflow, paint: Paint) -> String {
    let title = columns(&[(&format!("{}, revision {}", workflow.name, workflow.revision), 0)]);
    let mut lines = vec![paint.bold(&title)];
    for status in &workflow.statuses {
        lines.push(paint.phase(status.phase(), &status_line(status)));
        let leaving = workflow.edges.iter().filter(|edge| edge.from_status == status.name);
        lines.extend(leaving.map(edge_line));
    }
    lines.join("\n")
}

fn status_line(status: &WorkflowStatus) -> String {
    let labels: Vec<_> = status.labels.iter().map(|(language, label)| format!("{language}: {label}")).collect();
    let mail = match status.mail_template.as_str() {
        "" => String::new(),
        template => format!("mail {template}"),
    };
    let phase = word(status.phase().as_str_name(), "PHASE_");
    format!("  {}", columns(&[(&status.name, 16), (&phase, 10), (&labels.join(", "), 36), (&mail, 0)]).trim_end())
}

fn edge_line(edge: &WorkflowEdge) -> String {
    let trigger = word(edge.trigger().as_str_name(), "TRIGGER_");
    let delay = edge.delay_duration.map(|delay| format!(" after {delay}")).unwrap_or_default();
    let start = if edge.after_start_time { " from the start time" } else { "" };
    format!("    {}", columns(&[(&format!("-> {}", edge.to_status), 19), (&format!("{trigger}{delay}{start}"), 0)]))
}

#[cfg(test)]
mod tests {
    use comanda_proto::v1::{Phase, Trigger};
    use prost_types::Duration;

    use super::*;

    #[test]
    fn a_workflow_shows_what_leaves_each_status_and_when() {
        let status = |name: &str, phase: Phase| WorkflowStatus {
            name: name.into(),
            phase: phase.into(),
            labels: [("es".to_owned(), "abierto\u{202e}".to_owned())].into(),
            ..Default::default()
        };
        let edge = WorkflowEdge {
            from_status: "open".into(),
            to_status: "closed".into(),
            trigger: Trigger::Timer.into(),
            delay_duration: Some(Duration { seconds: 90, nanos: 0 }),
            ..Default::default()
        };
        let statuses = vec![status("open", Phase::Active), status("closed", Phase::Succeeded)];
        let workflow = Workflow { name: "shop".into(), revision: 2, statuses, edges: vec![edge], dispatch: None };
        assert_eq!(
            whole(&workflow, Paint::NONE),
            "shop, revision 2\n  open              active      es: abierto\\u{202e}\n    -> closed            timer after 90s\n  \
             closed            succeeded   es: abierto\\u{202e}"
        );
        assert_eq!(row(&workflow), "shop                      2         open, closed");
    }
}

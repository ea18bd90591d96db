//! `mail`: whole lives with a mail for each transition, to a mail server in this process. The same server takes mails from a bare
//! client first: what is the most that could be had.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use tokio::time::Instant;

use crate::{
    clients::CONNECTIONS,
    cost::Meter,
    gauges,
    generator::Pace,
    report::{Better, Check, Run},
    smtp::{Manners, Sink, source},
    stage::{Cast, Stage, StageArgs},
    truth::Expected,
    workloads::{
        begin, conclude,
        lives::{VERSIONS, live},
        note_calls, observed, progress,
    },
};

const WARM_UP: u64 = 500;
/// About what a mail of ours has.
const MAIL_BYTES: usize = 3000;
const PROBE: Duration = Duration::from_secs(3);

/// Settings of `mail`.
#[derive(Args, Clone, Debug)]
pub struct MailArgs {
    /// How many orders; each has four mails.
    #[arg(long, default_value_t = 5000)]
    pub orders: u64,
    /// Closed loop: so many clients.
    #[arg(long, default_value_t = 64)]
    pub clients: usize,
    /// Connections to the mail server [default: the service's own].
    #[arg(long)]
    pub connections: Option<u16>,
    /// How long the mail server takes to accept a mail, in milliseconds.
    #[arg(long, default_value_t = 0)]
    pub sink_delay_ms: u64,
    /// Of a hundred mails, so many are put off by the mail server.
    #[arg(long, default_value_t = 0)]
    pub refused_percent: u64,
}

impl MailArgs {
    fn variant(&self) -> String {
        let slow = if self.sink_delay_ms > 0 { format!(", {} ms a mail", self.sink_delay_ms) } else { String::new() };
        let refusing =
            if self.refused_percent > 0 { format!(", {} % put off", self.refused_percent) } else { String::new() };
        format!("4 mails an order{slow}{refusing}")
    }

    fn manners(&self) -> Manners {
        Manners { delay: Duration::from_millis(self.sink_delay_ms), refused_percent: self.refused_percent }
    }
}

/// Runs it once.
pub async fn run(stage_args: &StageArgs, args: &MailArgs, repeat: u32) -> Result<Run> {
    let mut run = begin("mail", &args.variant(), repeat);
    let bar = progress(&run);
    bar.set_message("sending mails with a bare client");
    let bare = bare_rate(args).await?;
    let sink = Sink::start(args.manners()).await?;
    let mut stage = Stage::set(stage_args, stage_args.partitions).await?;
    let smtp_url = Some(format!("smtp://{}", sink.address));
    stage.start(&Cast { step_ms: Some(0), smtp_url, smtp_connections: args.connections, ..Cast::default() }).await?;
    let connections = stage.connect("ordering", CONNECTIONS).await?;
    let pace = Pace::Closed { clients: args.clients };
    let warm = live(&connections, pace, WARM_UP, false, None, &bar).await;
    gauges::drained(&stage.sql, warm.done()).await?;

    let (meter, started) = (Meter::read(&stage).await?, Instant::now());
    let lives = async {
        let outcomes = live(&connections, pace, args.orders, false, None, &bar).await;
        bar.set_message("waiting for the last mails");
        gauges::drained(&stage.sql, warm.done() + outcomes.done()).await?;
        Ok((outcomes, started.elapsed().as_secs_f64()))
    };
    let (outcomes, seconds) = observed(&stage, &mut run, lives).await?;
    let mails_rate = (outcomes.done() * VERSIONS as u64) as f64 / seconds;
    run.figure("lives with mails/s", "1/s", outcomes.done() as f64 / seconds, Better::Higher);
    run.figure("mails/s", "1/s", mails_rate, Better::Higher);
    run.figure("mails/s of a bare client", "1/s", bare, Better::Neither);
    run.figure("mails/s to those of a bare client", "x", mails_rate / bare, Better::Higher);
    note_calls(&outcomes, "orders accepted", &mut run);
    meter.note(&stage, outcomes.done(), &mut run).await?;

    bar.set_message("checking");
    run.checks.push(all_mails(&sink, (warm.done() + outcomes.done()) * VERSIONS as u64));
    let expected = Expected { versions: VERSIONS, mails: true, ..Expected::default() };
    conclude(stage, expected, &[&warm, &outcomes], &mut run).await?;
    bar.finish_and_clear();
    Ok(run)
}

/// Mails a second from a client that has nothing else to do, to a server that takes them at once.
async fn bare_rate(args: &MailArgs) -> Result<f64> {
    let sink = Sink::start(Manners { refused_percent: 0, ..args.manners() }).await?;
    source(sink.address, usize::from(args.connections.unwrap_or(4)), MAIL_BYTES, PROBE).await
}

fn all_mails(sink: &Sink, due: u64) -> Check {
    let (accepted, repeated) = sink.accepted();
    Check {
        name: "the mail server has each mail, and none twice".into(),
        passed: accepted == due && repeated == 0,
        detail: format!("{accepted} of {due}, {repeated} repeated"),
    }
}

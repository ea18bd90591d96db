//! `comanda workflow choices|use|check`: which revision of a workflow new orders follow.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use comanda_kit::postgres;
use comanda_state_machine::{operator::Operator, workflow};

/// The operator's part of `comanda workflow`.
#[derive(Clone, Debug, Subcommand)]
pub enum WorkflowVerb {
    /// Show which revision of each workflow new orders follow, and who chose it. All tenants share the workflows.
    Choices(DatabaseArgs),
    /// Choose the revision that new orders follow.
    Use(UseArgs),
    /// Say whether workflow files could be used, and what is wrong with them.
    Check(CheckArgs),
}

/// Where the state machine keeps its workflows.
#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    #[command(flatten)]
    postgres: postgres::Config,
}

/// `comanda workflow use`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
There is no --tenant: all tenants share the workflows, so the choice is for the orders of all. Orders under way keep the revision that they have. The choice stays until another `use`, or until a state-machine starts with a workflow file
of this name whose definition was never stored before. Restarts and `comanda migrate` do not change it.")]
pub struct UseArgs {
    #[command(flatten)]
    postgres: postgres::Config,
    /// The workflow.
    name: String,
    /// Its revision.
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    revision: i32,
}

/// `comanda workflow check`.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Shows, chooses or checks.
pub async fn run(verb: WorkflowVerb) -> Result<()> {
    match verb {
        WorkflowVerb::Choices(args) => show(&Operator::connect(&args.postgres)?).await,
        WorkflowVerb::Use(args) => choose(&Operator::connect(&args.postgres)?, &args.name, args.revision).await,
        WorkflowVerb::Check(args) => check(&args.files),
    }
}

async fn show(operator: &Operator) -> Result<()> {
    for current in operator.workflows().await? {
        let (revision, newest, changes) = (current.revision, current.newest, current.changes);
        println!(
            "{:<30} revision {revision} of {newest}, chosen by {}, changed {changes} times",
            current.name, current.chosen_by
        );
    }
    Ok(())
}

async fn choose(operator: &Operator, name: &str, revision: i32) -> Result<()> {
    match operator.use_workflow(name, revision).await? {
        Some(before) if before == revision => println!("new orders already follow {name} revision {revision}"),
        Some(before) => println!("new orders follow {name} revision {revision}; it was {before}"),
        None => {
            bail!("there is no workflow {name:?} revision {revision}; `comanda workflow choices` shows what there is")
        }
    }
    Ok(())
}

fn check(files: &[PathBuf]) -> Result<()> {
    for workflow in workflow::read_files(files)? {
        println!("{}: {} statuses, {} steps", workflow.name, workflow.statuses.len(), workflow.edges.len());
    }
    Ok(())
}

//! How far couriers come for rides that wait together, beside the best that could be had.

use anyhow::{Context, Result};
use indicatif::ProgressBar;

use super::{DispatchArgs, optimum, rides};
use crate::{
    map::Place,
    report::{Better, Run},
    stage::Stage,
};

pub(super) async fn measure(stage: &mut Stage, args: &DispatchArgs, bar: &ProgressBar, run: &mut Run) -> Result<()> {
    let (count, demand) = (args.rides(), args.demand()?);
    anyhow::ensure!(count <= args.couriers(), "each ride needs a courier: raise --couriers");
    let orders = rides::ask(stage, count, &demand, bar).await?;
    rides::couriers(&stage.sql, args.couriers(), &demand).await?;
    stage.start_role("dispatch", &[]).await?;
    rides::confirmed(&stage.sql, count, bar).await?;

    bar.set_message("looking for the best");
    let pickups: Vec<Place> = (0..count).map(|n| rides::trip(&demand, n).0).collect();
    let couriers: Vec<Place> = (0..args.couriers()).map(|n| rides::courier(&demand, n)).collect();
    let statement = "SELECT order_id::text, courier_id FROM dispatch.assignments WHERE ended_at IS NULL";
    let made: Vec<(String, String)> = sqlx::query_as(statement).fetch_all(&stage.sql).await?;
    let mut metres = 0.0;
    for (order_id, courier_id) in made {
        let ride = orders.get(&order_id).context("an assignment of an order that nobody asked for")?;
        let courier: usize = courier_id.trim_start_matches("courier-").parse()?;
        metres += pickups[*ride as usize].metres_to(couriers[courier]);
    }
    let (mean, greedy) = (metres / count as f64, optimum::greedy(&pickups, &couriers) / count as f64);
    let best = tokio::task::spawn_blocking(move || optimum::optimum(&pickups, &couriers)).await? / count as f64;
    run.figure("mean pickup distance", "m", mean, Better::Lower);
    run.figure("mean pickup distance / optimum", "x", mean / best, Better::Lower);
    run.figure("mean pickup distance / greedy", "x", mean / greedy, Better::Lower);
    run.figure("mean of the optimum", "m", best, Better::Neither);
    run.figure("mean of greedy", "m", greedy, Better::Neither);
    Ok(())
}

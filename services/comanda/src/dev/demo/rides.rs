//! A small city: couriers and rides, until every ride has ended.

use std::net::SocketAddr;

use anyhow::{Result, anyhow};
use comanda_kit::settings;
use tokio_util::sync::CancellationToken;

use crate::{Cli, Command};

/// Small and fast, so that there is something to see within a minute. Positions that would need more than 60 m/s are not believed.
const CITY: [&str; 12] =
    ["--couriers", "40", "--rides", "80", "--duration", "40", "--radius-km", "0.6", "--speed", "50", "--names", "city"];

/// Lets the city live.
pub async fn run(address: SocketAddr, stop: &CancellationToken) -> Result<()> {
    let address = address.to_string();
    let words = ["comanda", "load", "city", "--addr", &address].into_iter().chain(CITY);
    let Command::Load(args) = settings::try_parse_from::<Cli>(words)?.command else {
        return Err(anyhow!("the city has moved"));
    };
    tokio::select! {
        ended = comanda_load::command::run(*args) => ended?,
        () = stop.cancelled() => return Ok(()),
    }
    farewell(&address);
    Ok(())
}

fn farewell(address: &str) {
    println!(
        "\nEvery ride has ended. This server keeps running until Ctrl-C; be a courier yourself, in another terminal:"
    );
    println!("  export COMANDA_ADDR={address}");
    println!("  comanda courier register me --name 'Your Name' --vehicle 'red bicycle'");
    println!("  comanda courier status me available && comanda courier locate me -33.437,-70.651");
    println!("  comanda courier watch me                # shows the job, and what to type next");
    println!("and a rider, in a third:");
    println!("  comanda ride request --from -33.437,-70.651 --to -33.426,-70.613 --email you@example.com");
    println!("What happened:");
    println!("  comanda stats rates                     # and dwell, revenue, couriers, orders");
    println!("  comanda assignment list --limit 10");
    println!("  grpcurl -plaintext -d '{{\"pageSize\": 3}}' {address} comanda.v1.DispatchService/ListCouriers");
}

//! The load harness on a handful of orders: it runs, finds the truth, and says so in its files.

use std::{fs, path::Path};

use serde_json::Value;

use crate::harness::World;

#[tokio::test]
async fn a_short_load_passes_its_truth_check_and_tells_what_it_found() {
    let world = World::new().await;
    let output = world.mail_dir().with_file_name("load");
    let folder = output.to_str().expect("a plain name");
    world
        .run(&[
            "load",
            "lives",
            "--orders",
            "100",
            "--clients",
            "4",
            "--watch",
            "--partitions",
            "3",
            "--output",
            folder,
        ])
        .await;
    let run = read(&output)["runs"][0].clone();
    // Whether somebody else took the machine's time meanwhile is no matter here: it voids figures, not orders.
    let failed: Vec<_> = list(&run["checks"])
        .filter(|check| check["passed"] == false && !check["name"].to_string().contains("stolen"))
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(list(&run["checks"]).count() >= 8, "{run}");
    let figures: Vec<_> =
        list(&run["figures"]).map(|figure| (figure["name"].clone(), figure["value"].as_f64())).collect();
    assert!(figures.iter().all(|(_, value)| value.is_some_and(|value| value >= 0.0)), "{figures:?}");
    assert!(figures.iter().any(|(name, value)| name == "lives/s" && *value > Some(0.0)), "{figures:?}");
    let page = fs::read_to_string(output.join("report.html")).expect("a page");
    assert!(page.contains("<svg") && page.contains("lives/s"));
}

#[tokio::test]
async fn two_programs_run_in_turn_and_their_pairs_are_told() {
    let world = World::new().await;
    let output = world.mail_dir().with_file_name("pairs");
    let (folder, program) = (output.to_str().expect("a plain name"), env!("CARGO_BIN_EXE_comanda"));
    let pairs = ["load", "pairs", "--before", program, "--after", program, "--pairs", "2", "--output", folder, "--"];
    let workload = ["lives", "--orders", "40", "--clients", "4", "--partitions", "3"];
    let ended = world.run(&[&pairs[..], &workload[..]].concat()).await;
    let mut valid = 0;
    for pair in [1, 2] {
        let runs = ["before", "after"].map(|side| read(&output.join(format!("pair-{pair}-{side}")))["runs"][0].clone());
        // Somebody else may take the machine's time, which voids a run.
        valid += usize::from(runs.iter().all(|run| list(&run["checks"]).all(|check| check["passed"] == true)));
    }
    let told: Value =
        serde_json::from_str(&fs::read_to_string(output.join("pairs.json")).expect("a file")).expect("JSON");
    for figure in ["lives/s", "orders accepted p99", "CPU of postgres per 1000 orders", "WAL per order"] {
        let row = list(&told["rows"]).find(|row| row["figure"] == figure);
        let count = row.map_or(0, |row| list(&row["before"]).count());
        assert_eq!(count, valid, "{figure}: {told}");
    }
    assert_eq!(ended.code == Some(0), valid > 0, "{}", ended.err);
    assert!(fs::read_to_string(output.join("pairs.md")).expect("a file").contains("median of after/before"));
}

#[tokio::test]
async fn the_products_of_a_file_are_ordered_over_grpc_and_over_http() {
    let world = World::new().await;
    let output = world.mail_dir().with_file_name("experiment");
    let products = output.with_file_name("products.csv");
    fs::write(&products, "product_name,price\nPalo,1000\n\"Croissant, Raw\",10.4\n").expect("a file");
    let [folder, products] = [&output, &products].map(|path| path.to_str().expect("a plain name"));
    world
        .run(&["load", "experiment", "--products", products, "--orders", "20", "--clients", "4", "--output", folder])
        .await;
    let run = read(&output)["runs"][0].clone();
    let passed = |name: &str| list(&run["checks"]).any(|check| check["name"] == name && check["passed"] == true);
    // Also of the orders that warm up.
    for check in ["accepted = rows", "orders that did not go all the way", "GET /orders shows all as ended"] {
        assert!(passed(check), "{check}: {run}");
    }
    let figure = |name: &str| list(&run["figures"]).find(|figure| figure["name"] == name)?["value"].as_f64();
    for way in ["gRPC", "HTTP"] {
        assert_eq!(figure(&format!("20 orders over {way}: answered OK")), Some(20.0));
        assert!(figure(&format!("20 orders delivered, over {way}")) > Some(0.0));
    }
    assert!(output.join("experiment.svg").exists());
}

#[tokio::test]
async fn a_load_without_servers_says_how_to_start_them() {
    let world = World::new().await;
    let ended = world.run(&["load", "accept", "--database-url", "postgres://comanda@127.0.0.1:1/none"]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("scripts/postgres start"), "{}", ended.err);
}

fn read(output: &Path) -> Value {
    let text = fs::read_to_string(output.join("report.json")).expect("a report");
    serde_json::from_str(&text).expect("JSON")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

//! Workflows as files: those that are shipped, and those of a user. A workflow that comes out of here is one that every order can follow
//! to an end.

mod check;
mod dispatch;
mod edges;
mod file;
mod labels;
mod problems;

use anyhow::{Context, Result};
use comanda_proto::v1::Workflow;

pub use self::file::{parse, read_files};

const SHIPPED: [(&str, &str); 4] = [
    ("delivery.toml", include_str!("../workflows/delivery.toml")),
    ("delivery-finalizado.toml", include_str!("../workflows/delivery-finalizado.toml")),
    ("courier-delivery.toml", include_str!("../workflows/courier-delivery.toml")),
    ("ride.toml", include_str!("../workflows/ride.toml")),
];

/// The workflows that come with Comanda.
pub fn shipped() -> Result<Vec<Workflow>> {
    SHIPPED.iter().map(|(name, text)| parse(text).with_context(|| format!("in {name}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_workflows_are_valid() {
        let names: Vec<_> = shipped().expect("valid").into_iter().map(|workflow| workflow.name).collect();
        assert_eq!(names, ["delivery", "delivery-finalizado", "courier-delivery", "ride"]);
    }
}

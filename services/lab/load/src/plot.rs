//! The plots of a report, as SVG to stand inside a page.

mod axis;
mod chart;
mod colour;
mod coordinate;
mod costs;
mod grouped;
mod latency;
mod series;

pub use self::{axis::Scale, costs::costs, grouped::Grouped, latency::latencies, series::series};

/// Each once, in the order of their first.
pub(crate) fn distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.fold(Vec::new(), |mut all, item| {
        if !all.contains(&item) {
            all.push(item);
        }
        all
    })
}

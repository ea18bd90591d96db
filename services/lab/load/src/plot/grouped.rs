//! A line for each name over places at equal distances.

use super::{
    axis::{Axis, Scale},
    chart::{Chart, Line},
    colour::colour,
};

/// What [`Grouped::draw`] draws: for each name one line over the same places, such as variants over counts of orders.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Grouped {
    pub title: String,
    /// With its unit.
    pub x_label: String,
    /// With its unit.
    pub y_label: String,
    pub y_scale: Scale,
    /// The places along x, at equal distances.
    pub categories: Vec<String>,
    /// (name, a value for each place where there is one).
    pub lines: Vec<(String, Vec<Option<f64>>)>,
}

impl Grouped {
    /// The plot.
    pub fn draw(&self) -> String {
        let values = self.lines.iter().flat_map(|(_, values)| values.iter().copied().flatten());
        Chart {
            title: self.title.clone(),
            x: Axis::categories(&self.x_label, &self.categories),
            y: Axis::new(self.y_scale, &self.y_label, values),
            lines: self.lines.iter().enumerate().map(|(index, line)| self.line(index, line)).collect(),
            bars: Vec::new(),
        }
        .draw()
    }

    fn line(&self, index: usize, (label, values): &(String, Vec<Option<f64>>)) -> Line {
        let places = values.iter().enumerate();
        let positions = places.filter_map(|(place, value)| Some((place as f64, self.y_scale.position((*value)?)?)));
        Line { label: label.clone(), colour: colour(index), positions: positions.collect(), dots: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_without_a_value_has_no_point() {
        let plot = Grouped {
            categories: ["1,000", "10,000", "100,000"].map(String::from).to_vec(),
            lines: vec![("indexed".into(), vec![Some(1.0), None, Some(3.0)])],
            ..Grouped::default()
        };
        assert_eq!(plot.line(0, &plot.lines[0]).positions, [(0.0, 1.0), (2.0, 3.0)]);
        let svg = plot.draw();
        assert!(svg.contains("\n100,000\n") && svg.contains("\nindexed\n"));
        assert_eq!(svg.matches("<circle").count(), 2);
    }

    #[test]
    fn a_log_scale_places_by_ratios() {
        let plot = Grouped { y_scale: Scale::Log, ..Grouped::default() };
        assert_eq!(plot.line(0, &("a".into(), vec![Some(100.0), Some(0.0)])).positions, [(0.0, 2.0)]);
    }
}

//! Small plots of text.

/// From nothing to the most.
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The widest line of a plot.
const WIDTH: usize = 48;

/// One character for each value, or for a few together; a dot where there is nothing.
pub fn sparkline(values: &[f64]) -> String {
    let together = values.len().div_ceil(WIDTH).max(1);
    let values: Vec<_> = values.chunks(together).map(|part| part.iter().sum::<f64>() / part.len() as f64).collect();
    let most = values.iter().copied().fold(0.0, f64::max);
    values.iter().map(|value| step(*value, most)).collect()
}

fn step(value: f64, most: f64) -> char {
    if value <= 0.0 || most <= 0.0 {
        return '·';
    }
    let index = (value / most * STEPS.len() as f64).ceil() as usize;
    STEPS[index.clamp(1, STEPS.len()) - 1]
}

/// A bar, as long as its value is of the most; whatever is not nothing is to be seen.
pub fn bar(value: f64, most: f64) -> String {
    const LONGEST: f64 = 24.0;
    if value <= 0.0 || most <= 0.0 {
        return String::new();
    }
    "█".repeat(((value / most * LONGEST).round() as usize).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_shows_the_most_highest_and_nothing_as_a_dot() {
        assert_eq!(sparkline(&[0.0, 1.0, 4.0, 8.0]), "·▁▄█");
        assert_eq!(sparkline(&[0.0, 0.0]), "··");
        assert_eq!(sparkline(&[]), "");
    }

    #[test]
    fn a_long_line_is_drawn_together() {
        let many: Vec<_> = (0..366).map(f64::from).collect();
        let line: Vec<char> = sparkline(&many).chars().collect();
        assert!(line.len() <= WIDTH && line.last() == Some(&'█') && line.first() == Some(&'▁'), "{line:?}");
    }

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        assert_eq!(bar(5.0, 10.0).chars().count(), 12);
        assert_eq!(bar(0.001, 10.0).chars().count(), 1);
        assert_eq!((bar(0.0, 10.0), bar(0.0, 0.0)), (String::new(), String::new()));
    }
}

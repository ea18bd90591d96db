//! Prometheus' text format, as far as counters go. Pure.

/// The counters of a process: name, with labels, and value.
pub(super) fn counters(text: &str) -> Vec<(String, f64)> {
    let (mut counters, mut is_counter) = (Vec::new(), false);
    for line in text.lines() {
        match line.strip_prefix("# TYPE ") {
            Some(kind) => is_counter = kind.ends_with(" counter"),
            None if is_counter && !line.starts_with('#') => counters.extend(sample(line)),
            None => {}
        }
    }
    counters
}

fn sample(line: &str) -> Option<(String, f64)> {
    let (name, value) = line.rsplit_once(' ')?;
    Some((name.to_owned(), value.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_and_nothing_else() {
        let text = "# HELP a what\n# TYPE a counter\na{x=\"1 2\"} 3\na{x=\"2\"} 4\n\n# TYPE b gauge\nb 5\n\n# TYPE c counter\nc 6\n";
        let expected = [("a{x=\"1 2\"}".to_owned(), 3.0), ("a{x=\"2\"}".to_owned(), 4.0), ("c".to_owned(), 6.0)];
        assert_eq!(counters(text), expected);
    }
}

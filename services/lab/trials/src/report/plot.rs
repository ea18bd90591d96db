//! Accepted orders over time, with the faults below: an SVG of its own making.

use std::{collections::BTreeMap, fmt::Write};

use comanda_checker::history::{Line, What};

const WIDTH: f64 = 1200.0;
const HEIGHT: f64 = 240.0;
/// Of one row of faults.
const ROW: f64 = 14.0;
const LEFT: f64 = 50.0;

/// When each fault lasted, in seconds of the run.
pub fn faults(lines: &[Line]) -> Vec<(String, f64, f64)> {
    let (mut open, mut spans) = (BTreeMap::new(), Vec::new());
    for line in lines {
        let at = line.at_us as f64 / 1e6;
        match &line.what {
            What::Fault { fault, name, target } => _ = open.insert(*fault, (format!("{name} ({target})"), at)),
            What::Heal { fault, .. } => {
                spans.extend(open.remove(fault).map(|(name, from)| (name, from, at)));
            }
            _ => {}
        }
    }
    spans.sort_by(|one, other| one.1.total_cmp(&other.1));
    spans
}

/// The picture.
pub fn svg(goodput: &[u32], faults: &[(String, f64, f64)]) -> String {
    let seconds = goodput.len().max(1) as f64;
    let most = goodput.iter().copied().max().unwrap_or_default().max(1) as f64;
    let x = |second: f64| LEFT + second / seconds * WIDTH;
    let rows = rows(faults);
    let height = HEIGHT + 40.0 + ROW * rows.iter().max().map_or(0.0, |row| *row as f64 + 1.0);
    let mut svg = format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {} {height}' font-family='sans-serif' font-size='11'>\n\
         <rect width='100%' height='100%' fill='white'/>\n<text x='{LEFT}' y='14'>accepted orders a second (most: {most})</text>\n",
        LEFT + WIDTH + 10.0
    );
    let points = goodput.iter().enumerate().map(|(second, orders)| {
        format!("{:.1},{:.1}", x(second as f64), 20.0 + (HEIGHT - 20.0) * (1.0 - f64::from(*orders) / most))
    });
    let points = points.collect::<Vec<_>>().join(" ");
    // Writing to a String cannot fail.
    _ = writeln!(svg, "<polyline points='{points}' fill='none' stroke='#1f5fa8'/>");
    for minute in 0..=(seconds / 60.0) as u32 {
        let at = x(f64::from(minute) * 60.0);
        _ = writeln!(
            svg,
            "<path d='M{at:.1} {HEIGHT} v5' stroke='black'/><text x='{at:.1}' y='{}'>{minute} min</text>",
            HEIGHT + 16.0
        );
    }
    for ((name, from, to), row) in faults.iter().zip(rows) {
        let (left, width, top) = (x(*from), (x(*to) - x(*from)).max(1.0), HEIGHT + 24.0 + ROW * row as f64);
        let name = name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        _ = writeln!(
            svg,
            "<rect x='{left:.1}' y='{top:.1}' width='{width:.1}' height='10' fill='#c0392b' opacity='0.7'><title>{name}</title></rect>"
        );
    }
    svg + "</svg>\n"
}

/// For each fault the first row where no earlier one is in its way.
fn rows(faults: &[(String, f64, f64)]) -> Vec<usize> {
    let mut ends: Vec<f64> = Vec::new();
    let row = |(_, from, to): &(String, f64, f64)| {
        let free = ends.iter().position(|end| end <= from).unwrap_or(ends.len());
        ends.resize(ends.len().max(free + 1), 0.0);
        ends[free] = *to;
        free
    };
    faults.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_that_overlap_are_drawn_below_each_other() {
        let fault = |from, to| (String::from("a"), from, to);
        assert_eq!(rows(&[fault(0.0, 5.0), fault(1.0, 2.0), fault(3.0, 4.0), fault(6.0, 7.0)]), [0, 1, 1, 0]);
    }

    #[test]
    fn a_name_cannot_break_the_picture() {
        let svg = svg(&[1, 2], &[("ordering-0->postgres".into(), 0.0, 1.0)]);
        assert!(svg.contains("ordering-0-&gt;postgres"), "{svg}");
    }
}

//! How every plot is drawn: a title, a legend that covers nothing, axes, then lines or bars.

use std::io;

use plotters::{
    chart::ChartContext,
    coord::{Shift, cartesian::Cartesian2d},
    drawing::DrawingAreaErrorKind,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

use super::{
    axis::Axis,
    colour::{FAINT, colour},
    distinct,
};

const WIDTH: i32 = 640;
const HEIGHT: i32 = 320;
const LINE_HEIGHT: i32 = 18;
const FONT: (&str, u32) = ("sans-serif", 15);
/// About how wide a letter is: the page's reader has the font, the drawing has not.
const LETTER_WIDTH: i32 = 7;
const TEXT: RGBColor = RGBColor(51, 51, 51);
const GRID: RGBColor = RGBColor(221, 221, 221);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Context<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;
type Drawn = Result<(), DrawingAreaErrorKind<io::Error>>;

/// All that is in a plot.
pub(super) struct Chart {
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub lines: Vec<Line>,
    pub bars: Vec<Bar>,
}

/// Points that belong together. Lines of one label and colour share an entry of the legend.
pub(super) struct Line {
    pub label: String,
    pub colour: RGBColor,
    pub positions: Vec<(f64, f64)>,
    /// Whether each point is marked: where they are few, they are all that was measured.
    pub dots: bool,
}

/// A horizontal bar from zero.
pub(super) struct Bar {
    pub y: f64,
    pub length: f64,
    /// Written at its end.
    pub text: String,
}

impl Chart {
    /// The plot as an `svg` element that is as wide as what it stands in.
    pub fn draw(&self) -> String {
        let mut svg = String::new();
        self.draw_into(&mut svg).expect("a string takes whatever is drawn");
        svg.replacen(&format!("width=\"{WIDTH}\" height=\"{HEIGHT}\""), "role=\"img\"", 1)
    }

    fn draw_into(&self, svg: &mut String) -> Drawn {
        let root = SVGBackend::with_string(svg, (WIDTH as u32, HEIGHT as u32)).into_drawing_area();
        root.fill(&WHITE)?;
        let bottom = self.draw_head(&root)?;
        let (_, body) = root.split_vertically(bottom);
        let mut context = ChartBuilder::on(&body)
            .margin_left(6)
            .margin_right(24)
            .x_label_area_size(46)
            .y_label_area_size(self.y_label_width())
            .build_cartesian_2d(self.x.clone(), self.y.clone())?;
        self.draw_axes(&mut context)?;
        self.draw_lines(&mut context)?;
        self.draw_bars(&mut context)?;
        root.present()
    }

    /// The title and the legend; returns where they end.
    fn draw_head(&self, root: &Area) -> Result<i32, DrawingAreaErrorKind<io::Error>> {
        let bold = FONT.into_font().style(FontStyle::Bold).color(&TEXT);
        root.draw_text(&self.title, &bold, (8, 6))?;
        let (mut x, mut y) = (8, 6 + LINE_HEIGHT);
        for (label, colour) in self.legend() {
            let width = 30 + label.chars().count() as i32 * LETTER_WIDTH;
            if x > 8 && x + width > WIDTH {
                (x, y) = (8, y + LINE_HEIGHT);
            }
            root.draw(&Rectangle::new([(x, y + 5), (x + 14, y + 9)], colour.filled()))?;
            root.draw_text(label, &FONT.into_font().color(&TEXT), (x + 18, y))?;
            x += width;
        }
        Ok(y + LINE_HEIGHT + 6)
    }

    /// (label, colour), each once.
    fn legend(&self) -> Vec<(&str, RGBColor)> {
        distinct(self.lines.iter().map(|line| (line.label.as_str(), line.colour)))
    }

    /// Room for the longest text along the axis and for its label.
    fn y_label_width(&self) -> i32 {
        let longest = self.y.ticks.iter().map(|(_, text)| text.chars().count()).max().unwrap_or(0);
        longest as i32 * LETTER_WIDTH + 34
    }

    fn draw_axes(&self, context: &mut Context) -> Drawn {
        context
            .configure_mesh()
            .bold_line_style(GRID)
            .axis_style(TEXT)
            .label_style(FONT.into_font().color(&TEXT))
            .x_desc(&self.x.label)
            .y_desc(&self.y.label)
            .draw()
    }

    fn draw_lines(&self, context: &mut Context) -> Drawn {
        // What does not count is drawn first, so that it covers nothing that does.
        let (faint, plain): (Vec<&Line>, Vec<_>) = self.lines.iter().partition(|line| line.colour == FAINT);
        for line in faint.into_iter().chain(plain) {
            context.draw_series(LineSeries::new(line.positions.iter().copied(), line.colour.stroke_width(2)))?;
            let dots = line.positions.iter().filter(|_| line.dots);
            context.draw_series(dots.map(|position| Circle::new(*position, 3, line.colour.filled())))?;
        }
        Ok(())
    }

    fn draw_bars(&self, context: &mut Context) -> Drawn {
        let style = FONT.into_font().color(&TEXT).pos(Pos::new(HPos::Left, VPos::Center));
        for bar in &self.bars {
            let corners = [(0.0, bar.y - 0.35), (bar.length, bar.y + 0.35)];
            let text = Text::new(bar.text.clone(), (6, 0), style.clone());
            context.draw_series([Rectangle::new(corners, colour(0).filled())])?;
            context.draw_series([EmptyElement::at((bar.length, bar.y)) + text])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::axis::Scale, *};

    fn line(label: &str, colour: RGBColor) -> Line {
        Line { label: label.into(), colour, positions: vec![(0.0, 0.0), (1.0, 2.0)], dots: false }
    }

    fn chart(lines: Vec<Line>) -> Chart {
        let axis = |label| Axis::new(Scale::Linear, label, [2.0].into_iter());
        Chart { title: "Title".into(), x: axis("time in s"), y: axis("rate in 1/s"), lines, bars: Vec::new() }
    }

    #[test]
    fn a_plot_is_as_wide_as_its_place() {
        let svg = chart(Vec::new()).draw();
        assert!(svg.starts_with("<svg role=\"img\" viewBox=\"0 0 640 320\""), "{svg:.100}");
        assert!(svg.trim_end().ends_with("</svg>"));
    }

    #[test]
    fn what_an_axis_measures_is_written() {
        let svg = chart(Vec::new()).draw();
        assert!(svg.contains("Title") && svg.contains("time in s") && svg.contains("rate in 1/s"));
    }

    #[test]
    fn lines_of_one_label_share_an_entry_of_the_legend() {
        let svg = chart(vec![line("get", colour(0)), line("get", colour(0)), line("put", colour(1))]).draw();
        assert_eq!(svg.matches("\nget\n").count(), 1);
        assert_eq!(svg.matches("\nput\n").count(), 1);
    }

    #[test]
    fn a_long_legend_goes_on_in_the_next_row() {
        let labels: Vec<String> = (0..8).map(|index| format!("a rather long name {index}")).collect();
        let svg = chart(labels.iter().map(|label| line(label, colour(0))).collect()).draw();
        assert!(svg.contains(&format!("y=\"{}\"", 6 + 2 * LINE_HEIGHT)));
    }

    #[test]
    fn what_does_not_count_is_drawn_below_what_does() {
        let svg = chart(vec![line("get", colour(0)), line("void", FAINT)]).draw();
        let last = svg.rfind("<polyline").expect("lines are drawn");
        assert!(svg[last..].contains("#0072B2") && !svg[last..].contains("#BBBBBB"), "{}", &svg[last..]);
    }
}

//! The colours of lines and bars.

use plotters::style::RGBColor;

/// By Okabe and Ito: told apart by the colour-blind. Their yellow is left out, it is hard to see on white.
const PALETTE: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];
/// For what does not count.
pub(super) const FAINT: RGBColor = RGBColor(187, 187, 187);

/// The colour of the line of this index.
pub(super) fn colour(index: usize) -> RGBColor {
    PALETTE[index % PALETTE.len()]
}

//! A row of a file of products, which becomes an order.

use comanda_kit::text::has_visible;
use uuid::Uuid;

use super::{
    super::money::Price,
    header::{self, Header},
    identity::ImportId,
    price::Notation,
    records::{Cell, Record, Records},
    shown,
};

/// As the API has it, checked here so that a file is refused before its first row is sent.
const MAX_NAME_CHARS: usize = 256;

/// One order to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// From 1, counting neither the header nor blank rows.
    pub number: usize,
    /// How many equal rows came before it.
    pub repetition: usize,
    /// What is ordered.
    pub product_name: String,
    /// The price of one.
    pub price: Price,
}

impl Row {
    /// The same for the same content in the same import, so that importing twice creates nothing twice, also where other rows were added,
    /// removed or moved meanwhile.
    pub fn request_id(&self, import: &ImportId) -> Uuid {
        let Self { repetition, product_name, price, .. } = self;
        // No part but the last can hold a NUL, so no two rows make the same text.
        import.request_id(&format!("{repetition}\0{price}\0{product_name}"))
    }
}

/// The row of a record, or what is wrong with it and where.
pub fn parse(number: usize, record: &Record, header: &Header, notation: &Notation<'_>) -> Result<Row, String> {
    let at = |problem: String| format!("row {number}, line {}: {problem}", record.line);
    check_shape(record, header, notation).map_err(at)?;
    let cell = |index: usize| &record.cells[index];
    let in_column = |index| move |problem: String| at(format!("{}: {problem}", header.column(index)));
    let product_name = parse_name(&cell(header.product_name).text).map_err(in_column(header.product_name))?;
    let price = notation.price(cell(header.price)).map_err(in_column(header.price))?;
    Ok(Row { number, repetition: 0, product_name, price })
}

/// A row that is cut off, or in which quotes or delimiters are missing, is not what its author meant, even if both columns can be read.
fn check_shape(record: &Record, header: &Header, notation: &Notation<'_>) -> Result<(), String> {
    for (index, cell) in record.cells.iter().enumerate() {
        let in_column = |problem: &str| format!("{}: {problem}", header.column(index));
        if let Some(fault) = &cell.fault {
            return Err(in_column(&header::describe(fault)));
        }
        if holds_a_row(cell, header, notation) {
            return Err(in_column("its quotes hold a whole further row; does a quote close too late?"));
        }
    }
    let (found, width) = (record.cells.len(), header.width);
    let is_blank = |cell: &Cell| cell.text.is_empty();
    if found < width || !record.cells[width..].iter().all(is_blank) {
        let delimiter = shown(&header.delimiter.to_string());
        return Err(format!("has {found} columns instead of {width}; a cell that contains {delimiter} needs quotes"));
    }
    Ok(())
}

/// Whether one of the lines that a cell goes on with looks like a row: a forgotten closing quote takes in the rows up to the next quote.
fn holds_a_row(cell: &Cell, header: &Header, notation: &Notation<'_>) -> bool {
    let continued = cell.text.split(['\n', '\r']).skip(1).filter(|line| line.contains(header.delimiter));
    let mut records = continued.filter_map(|line| Records::new(line, 1, header.delimiter).next());
    records.any(|record| record.cells.len() >= header.width && notation.price(&record.cells[header.price]).is_ok())
}

fn parse_name(text: &str) -> Result<String, String> {
    let holds = |wanted: fn(char) -> bool| text.chars().any(wanted);
    let problem = match text.chars().count() {
        0 => "is empty",
        MAX_NAME_CHARS.. if text.chars().count() > MAX_NAME_CHARS => "is longer than 256 characters",
        _ if holds(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) => "contains a control character",
        _ if holds(|c| c == '\u{feff}') => "contains a byte order mark (U+FEFF)",
        _ if holds(|c| c == '\u{fffd}') => "contains U+FFFD, left by a program that could not read a character",
        _ if !has_visible(text) => "shows nothing",
        _ => return Ok(text.to_owned()),
    };
    Err(if text.is_empty() { problem.into() } else { format!("{} {problem}", shown(text)) })
}

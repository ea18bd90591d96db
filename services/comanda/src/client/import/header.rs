//! Where a file's columns are, and what divides them.

use super::{
    records::{Cell, Fault, Record, Records, is_blank},
    shown,
};

/// The columns that are read; all others are ignored.
pub const PRODUCT_NAME: &str = "product_name";
pub const PRICE: &str = "price";

/// What may divide columns where neither the file nor the user says so.
const DELIMITERS: [char; 4] = [',', ';', '\t', '|'];
/// More names than these are not shown.
const MAX_NAMES_SHOWN: usize = 20;

/// The header of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// What divides the cells of every record.
    pub delimiter: char,
    /// Cells of each row; further ones are blank.
    pub width: usize,
    /// The columns' places, from 0.
    pub product_name: usize,
    pub price: usize,
    names: Vec<String>,
}

impl Header {
    /// Finds the header and returns it with the records below it. Without a delimiter the one is taken under which both columns are there.
    pub fn find(text: &str, delimiter: Option<char>) -> Result<(Self, Records<'_>), String> {
        let (named, text, line) = without_sep_line(text)?;
        let candidates = delimiter.or(named).map_or(DELIMITERS.to_vec(), |one| vec![one]);
        let read = candidates.iter().filter_map(|delimiter| first_record(Records::new(text, line, *delimiter)));
        let read: Vec<_> = read.collect();
        let mut fitting = read.iter().filter(|(_, record)| [PRODUCT_NAME, PRICE].iter().all(|name| has(record, name)));
        match (fitting.next(), fitting.next()) {
            (Some((rows, record)), None) => Ok((Self::of(record, rows.delimiter())?, rows.clone())),
            (Some(_), Some(_)) => {
                Err("more than one delimiter divides the header into the columns: give --delimiter".into())
            }
            _ => Err(missing(&read)),
        }
    }

    fn of(record: &Record, delimiter: char) -> Result<Self, String> {
        if let Some((index, fault)) = first_fault(record) {
            return Err(format!("the header, line {}, column {}: {fault}", record.line, index + 1));
        }
        let width = record.cells.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
        Ok(Self {
            delimiter,
            width,
            product_name: place(record, PRODUCT_NAME)?,
            price: place(record, PRICE)?,
            names: record.cells[..width].iter().map(|cell| cell.text.clone()).collect(),
        })
    }

    /// A column as people find it.
    pub fn column(&self, index: usize) -> String {
        match self.names.get(index).filter(|name| !name.is_empty()) {
            Some(_) if index == self.product_name => format!("column {PRODUCT_NAME}"),
            Some(_) if index == self.price => format!("column {PRICE}"),
            Some(name) => format!("column {} ({})", index + 1, shown(name)),
            None => format!("column {}", index + 1),
        }
    }
}

/// The line `sep=;`, with which Excel names the delimiter: what it names, the rest of the text, and the line on which that begins.
fn without_sep_line(text: &str) -> Result<(Option<char>, &str, usize), String> {
    let end = text.find(['\n', '\r']).unwrap_or(text.len());
    let (line, rest) = text.split_at(end);
    let line = line.trim_matches('"');
    let Some(named) = line.get(..4).filter(|key| key.eq_ignore_ascii_case("sep=")).map(|_| &line[4..]) else {
        return Ok((None, text, 1));
    };
    let named = parse_delimiter(named).map_err(|error| format!("line 1: {error}"))?;
    let rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix(['\n', '\r'])).unwrap_or(rest);
    Ok((Some(named), rest, 2))
}

/// A delimiter: itself, or its name.
pub fn parse_delimiter(text: &str) -> Result<char, String> {
    let named = match text {
        "comma" => Some(','),
        "semicolon" => Some(';'),
        "tab" | "\\t" => Some('\t'),
        "pipe" => Some('|'),
        _ => None,
    };
    let mut chars = text.chars();
    let single = chars.next().filter(|_| chars.next().is_none());
    let divides = |c: &char| *c == '\t' || c.is_ascii_punctuation() && !matches!(c, '"' | '.' | '_' | '-');
    let one = named.or(single).filter(divides);
    one.ok_or_else(|| {
        format!("{} cannot divide columns: give comma, semicolon, tab, pipe or another sign", shown(text))
    })
}

/// The first record that says something, with the records below it.
fn first_record(mut records: Records<'_>) -> Option<(Records<'_>, Record)> {
    let record = records.find(|record| !record.is_blank())?;
    Some((records, record))
}

/// Names are compared as they look: without case, invisible characters and the kind of white space.
fn is_called(cell: &Cell, wanted: &str) -> bool {
    let words =
        cell.text.split(char::is_whitespace).map(|word| word.replace(is_blank, "")).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_").to_lowercase() == wanted
}

fn has(record: &Record, wanted: &str) -> bool {
    record.cells.iter().any(|cell| is_called(cell, wanted))
}

fn place(record: &Record, wanted: &str) -> Result<usize, String> {
    let places: Vec<_> = (0..record.cells.len()).filter(|index| is_called(&record.cells[*index], wanted)).collect();
    if let [one] = places[..] {
        return Ok(one);
    }
    let all: Vec<_> =
        places.iter().map(|index| format!("{} ({})", index + 1, shown(&record.cells[*index].text))).collect();
    Err(format!("the header has the column {wanted} more than once: columns {}", all.join(" and ")))
}

fn first_fault(record: &Record) -> Option<(usize, String)> {
    record.cells.iter().enumerate().find_map(|(index, cell)| Some((index, describe(cell.fault.as_ref()?))))
}

/// A fault as people understand it.
pub fn describe(fault: &Fault) -> String {
    match fault {
        Fault::Unclosed { line } => format!("a quote opens on line {line} and never closes"),
        Fault::TextBehind(text) => {
            format!("{} stands behind a closing quote; quotes inside a cell are doubled", shown(text))
        }
    }
}

/// What was found instead, under the delimiter that makes the most of it.
fn missing(read: &[(Records<'_>, Record)]) -> String {
    let Some((_, record)) = read.iter().max_by_key(|(_, record)| record.cells.len()) else {
        return format!("the file is empty: the header with {PRODUCT_NAME} and {PRICE} is missing");
    };
    let wanted: Vec<_> = [PRODUCT_NAME, PRICE].into_iter().filter(|name| !has(record, name)).collect();
    let mut names: Vec<_> = record.cells.iter().take(MAX_NAMES_SHOWN).map(|cell| shown(&cell.text)).collect();
    if record.cells.len() > names.len() {
        names.push("...".into());
    }
    let line = record.line;
    format!("the header, line {line}, has no column {}; it has: {}", wanted.join(" and no column "), names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str) -> Header {
        Header::find(text, None).expect(text).0
    }

    fn refused(text: &str) -> String {
        Header::find(text, None).expect_err(text)
    }

    #[test]
    fn the_delimiter_is_the_one_that_gives_the_columns() {
        for delimiter in DELIMITERS {
            let header = find(&format!("note, with a comma{delimiter}\"Price\"{delimiter} product_name\n"));
            let shift = usize::from(delimiter == ',');
            assert_eq!((header.delimiter, header.price, header.product_name), (delimiter, 1 + shift, 2 + shift));
        }
        assert!(refused("product_name price\n").contains("no column product_name and no column price"));
        let both = "product_name,price,a;price;product_name\n";
        assert!(refused(both).contains("give --delimiter"));
        assert_eq!(Header::find(both, Some(';')).expect("chosen").0.price, 1);
    }

    #[test]
    fn a_first_line_may_name_the_delimiter() {
        for (first, delimiter) in [("sep=;", ';'), ("SEP=|", '|'), ("\"sep=,\"", ','), ("sep=\t", '\t'), ("Sep=^", '^')]
        {
            let text = format!("{first}\r\nproduct_name{delimiter}price\r\nTé{delimiter}1\r\n");
            let (header, mut rows) = Header::find(&text, None).expect("found");
            assert_eq!((header.delimiter, rows.next().expect("a row").line), (delimiter, 3));
        }
        assert!(refused("sep=\nproduct_name;price\n").contains("line 1: \"\" cannot divide columns"));
        // What the user says counts more.
        assert_eq!(Header::find("sep=;\nprice,product_name", Some(',')).expect("found").0.delimiter, ',');
    }

    #[test]
    fn names_are_compared_as_they_look() {
        let header = find("\n , \n\u{feff}Product\u{a0}Name\u{a0},PRI\u{200b}CE\u{2003},,\n");
        assert_eq!((header.product_name, header.price, header.width), (0, 1, 2));
    }

    #[test]
    fn a_column_that_is_there_twice_is_named_with_both_places() {
        for second in ["Price", "price ", "\u{a0}PRICE\u{200b}", "\" price \""] {
            let message = refused(&format!("product_name,price,{second}\n"));
            assert!(message.contains("the column price more than once: columns 2 (\"price\") and 3 ("), "{message}");
        }
        assert!(refused("product name,price,product_name").contains("columns 1 (\"product name\") and 3"));
        // Others are ignored, so they do no harm.
        assert_eq!(find("note,product_name,price,Note").width, 4);
    }

    #[test]
    fn what_the_header_has_instead_is_shown_without_what_a_terminal_obeys() {
        let message = refused("pro\u{1b}[2Jduct,pre\u{200b}cio\u{7}\n");
        assert!(
            message.contains(
                r#"no column product_name and no column price; it has: "pro\u{1b}[2Jduct", "pre\u{200b}cio\u{7}""#
            ),
            "{message}"
        );
        assert!(refused("").contains("the file is empty"));
        assert!(
            refused("product_name,price,\"note\nTé,1,x\n")
                .contains("line 1, column 3: a quote opens on line 1 and never closes")
        );
    }
}

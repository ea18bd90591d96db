//! A strict reader of delimited text (RFC 4180). The crate `csv` never fails on a quote: it closes an open one at the end of the file, which
//! swallows rows, and glues text behind a closing quote to the cell. Both are faults here.

/// One record: a line, or several where a quoted cell has line breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The line of the file on which it begins, from 1.
    pub line: usize,
    /// At least one.
    pub cells: Vec<Cell>,
}

/// One cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Without quotes, and without blanks at its edges.
    pub text: String,
    /// Whether it stood in quotes.
    pub is_quoted: bool,
    /// What is wrong with its quotes.
    pub fault: Option<Fault>,
}

/// What can be wrong with quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The quote that opened on this line never closes.
    Unclosed { line: usize },
    /// This text stands between the closing quote and the next delimiter.
    TextBehind(String),
}

impl Record {
    /// Whether it says nothing, as an empty line or a spreadsheet's row of empty cells.
    pub fn is_blank(&self) -> bool {
        self.cells.iter().all(|cell| cell.text.is_empty() && cell.fault.is_none())
    }
}

/// The records of a text.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a str,
    line: usize,
    delimiter: char,
}

impl<'a> Records<'a> {
    /// Of a text that begins on this line of its file.
    pub fn new(text: &'a str, line: usize, delimiter: char) -> Self {
        Self { rest: text, line, delimiter }
    }

    /// What divides the cells.
    pub fn delimiter(&self) -> char {
        self.delimiter
    }

    fn cell(&mut self) -> Cell {
        let delimiter = self.delimiter;
        self.take_while(|c| is_blank(c) && c != delimiter && !is_line_end(c));
        if self.skip('"') { self.quoted() } else { self.plain() }
    }

    /// A quote inside is an ordinary character, as it is for spreadsheets.
    fn plain(&mut self) -> Cell {
        Cell { text: trim(self.up_to_end_of_cell()).to_owned(), ..Cell::default() }
    }

    fn quoted(&mut self) -> Cell {
        let line = self.line;
        let mut text = String::new();
        loop {
            text.push_str(self.take_while(|c| c != '"'));
            if !self.skip('"') {
                return Cell { text, is_quoted: true, fault: Some(Fault::Unclosed { line }) };
            }
            if !self.skip('"') {
                break;
            }
            text.push('"');
        }
        let behind = trim(self.up_to_end_of_cell());
        let fault = (!behind.is_empty()).then(|| Fault::TextBehind(behind.to_owned()));
        Cell { text: trim(&text).to_owned(), is_quoted: true, fault }
    }

    fn up_to_end_of_cell(&mut self) -> &'a str {
        let delimiter = self.delimiter;
        self.take_while(|c| c != delimiter && !is_line_end(c))
    }

    fn skip_line_end(&mut self) {
        // CR LF, LF or CR alone.
        self.skip('\r');
        self.skip('\n');
        self.line += 1;
    }

    fn skip(&mut self, c: char) -> bool {
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.line += line_ends(taken.as_bytes());
        taken
    }
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        if self.rest.is_empty() {
            return None;
        }
        let line = self.line;
        let mut cells = vec![self.cell()];
        while self.skip(self.delimiter) {
            cells.push(self.cell());
        }
        self.skip_line_end();
        Some(Record { line, cells })
    }
}

/// How many lines end in a text: with LF, CR LF or CR.
pub fn line_ends(text: &[u8]) -> usize {
    let both = text.windows(2).filter(|pair| pair == b"\r\n").count();
    text.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count() - both
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

/// Without blanks at its edges.
pub fn trim(text: &str) -> &str {
    text.trim_matches(is_blank)
}

/// White space as Unicode has it, and what has no width and joins nothing: byte order marks, zero width spaces, direction marks. The
/// zero width joiner is a part of words and emoji.
pub fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200b}' | '\u{200c}' | '\u{200e}' | '\u{200f}' | '\u{2060}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn read(text: &str) -> Vec<Record> {
        Records::new(text, 1, ',').collect()
    }

    fn texts(text: &str) -> Vec<Vec<String>> {
        let cells = |record: Record| record.cells.into_iter().map(|cell| cell.text).collect();
        read(text).into_iter().map(cells).collect()
    }

    fn faults(text: &str) -> Vec<(usize, usize, Fault)> {
        let of_record = |record: Record| {
            let cells = record.cells.into_iter().enumerate();
            cells.filter_map(move |(index, cell)| Some((record.line, index, cell.fault?)))
        };
        read(text).into_iter().flat_map(of_record).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_in_quotes_is_read_as_it_was(rows in vec(vec("[^\u{feff}]{0,12}", 1..5), 1..6), end in "\n|\r\n|\r") {
            let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
            let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(",") + &end;
            let expected: Vec<Vec<_>> = rows.iter().map(|row| row.iter().map(|cell| trim(cell).to_owned()).collect()).collect();
            prop_assert_eq!(texts(&rows.iter().map(line).collect::<String>()), expected);
        }

        #[test]
        fn every_character_of_any_text_is_in_a_cell_or_a_fault(text in "[a,;\"\n\r \u{a0}ñ]{0,40}") {
            let count = |text: &str| text.matches('a').count() + text.matches('ñ').count();
            let of_cell = |cell: &Cell| count(&cell.text) + match &cell.fault {
                Some(Fault::TextBehind(text)) => count(text),
                _ => 0,
            };
            let read = read(&text);
            prop_assert_eq!(read.iter().flat_map(|record| &record.cells).map(of_cell).sum::<usize>(), count(&text));
            let last = read.last().map_or(1, |record| record.line);
            prop_assert!(last <= 1 + line_ends(text.as_bytes()));
        }
    }

    #[test]
    fn lines_end_with_lf_crlf_or_cr_and_are_counted_inside_quotes() {
        let read = read("a\rb\r\n\"c\r\nd\",e\n\nf");
        let lines: Vec<_> = read.iter().map(|record| (record.line, &*record.cells[0].text)).collect();
        assert_eq!(lines, [(1, "a"), (2, "b"), (3, "c\r\nd"), (5, ""), (6, "f")]);
    }

    #[test]
    fn a_quote_may_stand_behind_blanks_and_inside_text() {
        assert_eq!(texts("3, \"Mole, grande\" ,\u{a0}\"x\"\u{a0}"), [["3", "Mole, grande", "x"]]);
        assert_eq!(texts("TV 50\",\"a \"\"b\"\" c\""), [["TV 50\"", "a \"b\" c"]]);
    }

    #[test]
    fn an_unclosed_quote_is_found_where_it_opens() {
        assert_eq!(faults("a,b\nc,\"d\ne,f\n"), [(2, 1, Fault::Unclosed { line: 2 })]);
        assert_eq!(faults("\"a\nb\",\"c"), [(1, 1, Fault::Unclosed { line: 2 })]);
        assert_eq!(faults("\""), [(1, 0, Fault::Unclosed { line: 1 })]);
    }

    #[test]
    fn text_behind_a_closing_quote_is_a_fault() {
        let behind = |text: &str| Fault::TextBehind(text.into());
        assert_eq!(faults("\"a\" b,c\n\"d\"\"e\",f\n\"g\"h,i"), [(1, 0, behind("b")), (3, 0, behind("h"))]);
        // A quote that was forgotten meets the next one.
        assert_eq!(faults("a,\"b\nc,\"d\"\n"), [(1, 1, behind("d\""))]);
        assert_eq!(faults("\"a \\\"b\\\"\",c")[0].2, behind("b\\\"\""));
    }

    #[test]
    fn edges_are_trimmed_as_unicode_says() {
        assert_eq!(texts("\u{feff}a\u{a0},\u{2003}b\u{200b}\t,c\u{200d}"), [["a", "b", "c\u{200d}"]]);
    }
}

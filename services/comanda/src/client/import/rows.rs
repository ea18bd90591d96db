//! The rows of a file of products: all of them valid, or a list of what is wrong. From bytes to rows without input and output.

use std::{collections::HashMap, fmt};

use comanda_kit::text::has_visible;
use uuid::Uuid;

use super::{
    super::money::Price,
    header::{self, Header},
    identity::ImportId,
    price::Notation,
    records::{Cell, Record, Records},
    shown, text,
};

/// More problems than these are only counted.
const MAX_PROBLEMS_SHOWN: usize = 20;
/// As the API has it, checked here so that a file is refused before its first row is sent.
const MAX_NAME_CHARS: usize = 256;

/// What the user says about a file.
#[derive(Clone, Debug)]
pub struct Format {
    /// Of all prices (ISO 4217).
    pub currency: String,
    /// How many decimals that currency has.
    pub decimals: usize,
    /// Whether prices have a decimal comma.
    pub decimal_comma: bool,
    /// What divides the columns; found by the header without it.
    pub delimiter: Option<char>,
}

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

/// What is wrong with a file: everything, up to a bound.
#[derive(Debug, Default)]
pub struct Problems {
    count: usize,
    first: Vec<String>,
}

impl Problems {
    fn add(&mut self, problem: String) {
        self.count += 1;
        if self.first.len() < MAX_PROBLEMS_SHOWN {
            self.first.push(problem);
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nothing was sent; problems in the file: {}", self.count)?;
        self.first.iter().try_for_each(|problem| write!(f, "\n  {problem}"))?;
        match self.count - self.first.len() {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl From<String> for Problems {
    fn from(problem: String) -> Self {
        Self { count: 1, first: vec![problem] }
    }
}

/// Reads a whole file, or says what is wrong with it.
pub fn read(bytes: &[u8], format: &Format) -> Result<Vec<Row>, Problems> {
    let (header, records) = Header::find(text::decode(bytes)?, format.delimiter)?;
    let Format { ref currency, decimals, decimal_comma, .. } = *format;
    let notation = Notation { currency, decimals, decimal_comma, delimiter: header.delimiter };
    let (mut rows, mut problems) = (Vec::new(), Problems::default());
    for (index, record) in records.filter(|record| !record.is_blank()).enumerate() {
        match parse(index + 1, &record, &header, &notation) {
            Ok(row) => rows.push(row),
            Err(problem) => problems.add(problem),
        }
    }
    if problems.count > 0 {
        return Err(problems);
    }
    count_repetitions(&mut rows);
    Ok(rows)
}

fn count_repetitions(rows: &mut [Row]) {
    let mut seen = HashMap::new();
    for row in rows {
        let count = seen.entry((row.product_name.clone(), row.price)).or_default();
        row.repetition = *count;
        *count += 1;
    }
}

fn parse(number: usize, record: &Record, header: &Header, notation: &Notation<'_>) -> Result<Row, String> {
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

#[cfg(test)]
mod tests {
    use comanda_kit::{access::Scope, testing::outside::damaged};
    use comanda_ordering::order::NewOrder;
    use comanda_proto::v1::{CreateOrderRequest, Customer, Item, Workflow};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn usd() -> Format {
        Format { currency: "USD".into(), decimals: 2, decimal_comma: false, delimiter: None }
    }

    /// A field as CSV has it.
    fn quoted(text: &str) -> String {
        format!("\"{}\"", text.replace('"', "\"\""))
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![9 => "[a-zñ🌮,\";' ]{1,20}", 1 => any::<String>(), 1 => (255..258_usize).prop_map(|count| "ñ".repeat(count))]
    }

    fn price() -> impl Strategy<Value = String> {
        prop_oneof![9 => "[0-9]{1,6}(\\.[0-9]{1,2})?", 1 => "[0-9.eE+-]{0,22}", 1 => any::<String>()]
    }

    /// Whether the service would take an order of the row.
    fn is_taken(row: &Row) -> bool {
        let unit_price = Some(row.price.in_currency("USD"));
        let item = Item { name: row.product_name.clone(), quantity: 1, unit_price, ..Item::default() };
        let customer = Some(Customer { customer_id: "c".into(), ..Customer::default() });
        let request_id = row.request_id(&ImportId::named("test")).to_string();
        let request = CreateOrderRequest { request_id, customer, items: vec![item], ..CreateOrderRequest::default() };
        let delivery = Workflow { name: "delivery".into(), revision: 1, ..Workflow::default() };
        NewOrder::parse(Scope::built_in(), request, Some(delivery.into())).is_ok()
    }

    proptest! {
        #[test]
        fn every_row_is_an_order_that_the_service_takes_or_nothing_is_sent(rows in vec((name(), price()), 1..8)) {
            let lines: Vec<_> = rows.iter().map(|(name, price)| format!("{},{}\n", quoted(name), quoted(price))).collect();
            match read(format!("product_name,price\n{}", lines.concat()).as_bytes(), &usd()) {
                Ok(read) => {
                    prop_assert_eq!(read.len(), rows.len());
                    prop_assert!(read.iter().all(is_taken), "{read:?}");
                    prop_assert!(read.iter().zip(&rows).all(|(row, (name, _))| name.contains(&row.product_name)));
                }
                Err(problems) => {
                    let message = problems.to_string();
                    prop_assert!(message.contains("row ") || message.contains("line "), "{message}");
                    prop_assert!(!message.contains(|c: char| c.is_control() && c != '\n'), "{message:?}");
                }
            }
        }

        #[test]
        fn a_damaged_file_is_refused_with_a_message_or_holds_orders(changes in vec(any::<(u16, u8)>(), 1..6)) {
            let file = "product_name,price\nPizza,12.50\n\"Mole, large\",3\nTé,0.5\n";
            match read(&damaged(file.as_bytes(), &changes), &usd()) {
                Ok(rows) => prop_assert!(rows.iter().all(is_taken), "{rows:?}"),
                Err(problems) => prop_assert!(problems.count > 0 && problems.to_string().len() > 10),
            }
        }

        #[test]
        fn a_file_of_any_kind_does_no_harm(bytes in vec(any::<u8>(), 0..200)) {
            if let Ok(rows) = read(&[b"price,product_name\n", &*bytes].concat(), &usd()) {
                prop_assert!(rows.iter().all(is_taken), "{rows:?}");
            }
        }

        #[test]
        fn rows_keep_their_request_ids_wherever_they_stand(prices in vec(1..4_u8, 1..12), gone in any::<prop::sample::Index>()) {
            let ids = |prices: &[u8]| -> Vec<_> {
                let lines: Vec<_> = prices.iter().map(|price| format!("A,{price}\n")).collect();
                let rows = read(format!("product_name,price\n{}", lines.concat()).as_bytes(), &usd()).expect("valid");
                rows.iter().map(|row| row.request_id(&ImportId::named("test"))).collect()
            };
            let before = ids(&prices);
            let mut rest = prices.clone();
            rest.remove(gone.index(prices.len()));
            rest.reverse();
            prop_assert!(ids(&rest).iter().all(|id| before.contains(id)));
            let different: std::collections::HashSet<_> = before.iter().collect();
            prop_assert_eq!(different.len(), before.len());
        }
    }

    fn problems(text: &[u8]) -> String {
        read(text, &usd()).expect_err("malformed").to_string()
    }

    fn has(text: &str, parts: &[&str]) {
        let message = problems(text.as_bytes());
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }

    fn row(text: &str) -> Row {
        read(format!("product_name,price\n{text}").as_bytes(), &usd()).expect("valid").remove(0)
    }

    #[test]
    fn rows_are_counted_from_the_first_below_the_header_without_blank_ones() {
        let text = "\u{feff}Price, product_name ,note\r\n12.5, \"Pizza, large\" ,x\r\n\r\n , ,\u{a0}\r\n\"\",,,,\r\n\u{feff} 3 ,Té\u{a0},\r\n,,\r\n\x1a";
        let rows = read(text.as_bytes(), &usd()).expect("valid");
        let seen: Vec<_> = rows.iter().map(|row| (row.number, &*row.product_name, row.price.to_string())).collect();
        assert_eq!(seen, [(1, "Pizza, large", "12.5".into()), (2, "Té", "3".into())]);
    }

    #[test]
    fn every_malformed_row_is_named_with_its_line_and_column() {
        let text = "product_name,price\n\nA,1\nB,x\n,2\nPizza, large,3\nC\nD\u{feff}E,1\n\"F\" G,1\n\u{ad},1\nH\u{fffd},1\nI\u{7},1\n";
        has(
            text,
            &[
                "problems in the file: 9",
                "row 2, line 4: column price: \"x\" is not a price",
                "row 3, line 5: column product_name: is empty",
                "row 4, line 6: has 3 columns instead of 2; a cell that contains \",\" needs quotes",
                "row 5, line 7: has 1 columns instead of 2",
                "row 6, line 8: column product_name: \"D\\u{feff}E\" contains a byte order mark",
                "row 7, line 9: column product_name: \"G\" stands behind a closing quote",
                "row 8, line 10: column product_name: \"\\u{ad}\" shows nothing",
                "row 9, line 11: column product_name: \"H\u{fffd}\" contains U+FFFD",
            ],
        );
        assert!(problems(b"product_name,price\nA\x1b[2J,1\n").contains(r#""A\u{1b}[2J" contains a control character"#));
    }

    #[test]
    fn a_quote_that_never_closes_refuses_the_file_also_in_a_column_that_is_ignored() {
        has(
            "product_name,price,note\nArepa,2,x\nTaco,3,\"sin ají\nTinto,1,\n",
            &["row 2, line 3: column 3 (\"note\"): a quote opens on line 3 and never closes"],
        );
        // It meets the quote of another row, or closes in one.
        has(
            "product_name,price,note\nArepa,2,\"x\nTaco,3,\"y\"\n",
            &["row 1, line 2: column 3 (\"note\"): \"y", "behind a closing quote"],
        );
        has(
            "product_name,price,note\nArepa,2,\"x\nTaco,3,\"\nTinto,1,z\n",
            &["row 1, line 2: column 3 (\"note\"): its quotes hold a whole further row"],
        );
        has("note,product_name,price\n\"x,Arepa,2\ny,Taco,3\n\"z\",Tinto,1\n", &["row 1, line 2"]);
        let text = "product_name,price,note\nArepa,2,\"one, two\nthree, four and more,\"\n";
        assert_eq!(read(text.as_bytes(), &usd()).expect("an ordinary note").len(), 1);
    }

    #[test]
    fn decimal_commas_are_never_read_as_something_else() {
        let text = "product_name;price\r\nArepa;12,50\r\nTaco;1.234,00\r\n";
        has(
            text,
            &[
                "row 1, line 2: column price: \"12,50\" is not",
                "row 2, line 3: column price: \"1.234,00\"",
                "--decimal-comma",
            ],
        );
        let format = Format { decimal_comma: true, ..usd() };
        let rows = read(text.as_bytes(), &format).expect("valid");
        assert_eq!(rows.iter().map(|row| row.price.to_string()).collect::<Vec<_>>(), ["12.5", "1234"]);
        has("product_name,price\nArepa,12,50\n", &["has 3 columns instead of 2"]);
        let bare = read(b"product_name,price,note\nArepa,12,50\n", &format).expect_err("ambiguous").to_string();
        assert!(bare.contains("needs quotes"), "{bare}");
    }

    #[test]
    fn many_problems_are_cut() {
        let message = problems(format!("product_name,price\n{}", "A,-1\n".repeat(25)).as_bytes());
        assert_eq!(message.lines().count(), 22);
        assert!(message.ends_with("and 5 more"), "{message}");
        let long = problems(format!("product_name,price\n{},1\n", "A".repeat(10_000)).as_bytes());
        assert!(long.len() < 300 && long.contains("longer than 256"), "{long}");
    }

    #[test]
    fn the_header_is_required() {
        assert!(
            problems(b"Pizza,12.50\n")
                .contains("no column product_name and no column price; it has: \"Pizza\", \"12.50\"")
        );
        assert!(problems(b"").contains("the file is empty"));
        assert_eq!(read(b"product_name,price\n", &usd()).expect("no rows"), []);
    }

    #[test]
    fn request_ids_are_stable() {
        // Known files would be imported once more if this one changed.
        let id = |text| row(text).request_id(&ImportId::named("monday")).to_string();
        assert_eq!(id("Pizza,12.5"), "9f02755d-f60c-54c0-8f98-b2e51b39cbdf");
        assert_eq!(id("Pizza,12.50"), id("Pizza,12.5"));
        assert!(["Pizza,12.51", "Pizz,12.5"].iter().all(|other| id(other) != id("Pizza,12.5")));
    }
}

//! The rows of a CSV file of products: all of them valid, or the list of what is wrong.

use std::io::Read;

use csv::{ByteRecord, ReaderBuilder, Trim};
use uuid::{Uuid, uuid};

use super::money::Price;
use crate::failure::Failure;

/// More problems than these are only counted.
const MAX_PROBLEMS_SHOWN: usize = 20;
/// As the API has it, checked here so that a file is refused before its first row is sent.
const MAX_NAME_CHARS: usize = 256;
/// Ours alone, so that request ids of imports never meet other UUIDs. Changing it would import known files once more.
const NAMESPACE: Uuid = uuid!("5d0c3c53-8a0e-4f0f-9a3b-2f1f5c1e7a64");

/// One order to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// From 1, counting neither the header nor empty lines.
    pub number: usize,
    /// What is ordered.
    pub product_name: String,
    /// The price of one.
    pub price: Price,
}

impl Row {
    /// The same for the same row of the same import, so that importing twice creates nothing twice. The price counts by its value:
    /// "1.5" written as "1.50" is the same row. No part can hold a NUL, so no two rows make the same text.
    pub fn request_id(&self, import_id: &str) -> Uuid {
        let Self { number, product_name, price } = self;
        Uuid::new_v5(&NAMESPACE, format!("{import_id}\0{number}\0{price}\0{product_name}").as_bytes())
    }
}

/// Reads the whole file, or says what is wrong with each row.
pub fn read(file: impl Read) -> Result<Vec<Row>, Failure> {
    let mut reader = ReaderBuilder::new().flexible(true).trim(Trim::All).from_reader(file);
    let header = Header::find(reader.byte_headers().map_err(unreadable)?)?;
    let (mut rows, mut problems) = (Vec::new(), Vec::new());
    for (index, record) in reader.byte_records().enumerate() {
        match header.row(index + 1, &record.map_err(unreadable)?) {
            Ok(row) => rows.push(row),
            Err(error) => problems.push(error),
        }
    }
    if problems.is_empty() { Ok(rows) } else { Err(refuse(&problems)) }
}

fn unreadable(error: csv::Error) -> Failure {
    Failure::refused(format!("cannot read the file: {error}"))
}

fn refuse(problems: &[String]) -> Failure {
    let mut lines = vec![format!("nothing was sent; malformed rows: {}", problems.len())];
    lines.extend(problems.iter().take(MAX_PROBLEMS_SHOWN).cloned());
    if problems.len() > MAX_PROBLEMS_SHOWN {
        lines.push(format!("and {} more", problems.len() - MAX_PROBLEMS_SHOWN));
    }
    Failure::refused(lines.join("\n  "))
}

/// Where the columns are.
struct Header {
    width: usize,
    product_name: usize,
    price: usize,
}

impl Header {
    fn find(names: &ByteRecord) -> Result<Self, Failure> {
        let names: Vec<_> = names.iter().map(|name| String::from_utf8_lossy(name).to_lowercase()).collect();
        let column = |wanted: &str| {
            let missing = || format!("the header has no column {wanted}; it has: {}", names.join(", "));
            names.iter().position(|name| name == wanted).ok_or_else(|| Failure::refused(missing()))
        };
        Ok(Self { width: names.len(), product_name: column("product_name")?, price: column("price")? })
    }

    fn row(&self, number: usize, record: &ByteRecord) -> Result<Row, String> {
        let at = |error: String| format!("row {number}: {error}");
        if record.len() != self.width {
            let (found, width) = (record.len(), self.width);
            return Err(at(format!("has {found} columns instead of {width}; a name with a comma needs quotes")));
        }
        let product_name = cell(record, self.product_name).and_then(parse_name);
        let price = cell(record, self.price).and_then(str::parse);
        Ok(Row {
            number,
            product_name: product_name.map_err(|error| at(format!("column product_name: {error}")))?,
            price: price.map_err(|error| at(format!("column price: {error}")))?,
        })
    }
}

fn cell(record: &ByteRecord, index: usize) -> Result<&str, String> {
    str::from_utf8(record.get(index).unwrap_or_default()).map_err(|_| "is not UTF-8".to_owned())
}

fn parse_name(text: &str) -> Result<String, String> {
    match text.chars().count() {
        0 => Err("is empty".into()),
        1..=MAX_NAME_CHARS if text.contains(char::is_control) => Err(format!("{text:?} holds a control character")),
        1..=MAX_NAME_CHARS => Ok(text.to_owned()),
        chars => Err(format!("has {chars} characters, at most {MAX_NAME_CHARS} are allowed")),
    }
}

#[cfg(test)]
mod tests {
    use comanda_kit::{access::Scope, testing::outside::damaged};
    use comanda_ordering::order::NewOrder;
    use comanda_proto::v1::{CreateOrderRequest, Customer, Item, Workflow};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// A field as CSV has it.
    fn quoted(text: &str) -> String {
        format!("\"{}\"", text.replace('"', "\"\""))
    }

    fn name() -> impl Strategy<Value = String> {
        prop_oneof![9 => "[a-zñ🌮,\";' ]{1,20}", 1 => any::<String>(), 1 => (255..258_usize).prop_map(|count| "ñ".repeat(count))]
    }

    fn price() -> impl Strategy<Value = String> {
        prop_oneof![9 => "[0-9]{1,6}(\\.[0-9]{1,9})?", 1 => "[0-9.eE+-]{0,22}", 1 => any::<String>()]
    }

    /// Whether the service would take an order of the row.
    fn is_taken(row: &Row) -> bool {
        let unit_price = Some(row.price.in_currency("USD"));
        let item = Item { name: row.product_name.clone(), quantity: 1, unit_price, ..Item::default() };
        let customer = Some(Customer { customer_id: "c".into(), ..Customer::default() });
        let request_id = row.request_id("").to_string();
        let request = CreateOrderRequest { request_id, customer, items: vec![item], ..CreateOrderRequest::default() };
        let delivery = Workflow { name: "delivery".into(), revision: 1, ..Workflow::default() };
        NewOrder::parse(Scope::built_in(), request, Some(delivery.into())).is_ok()
    }

    proptest! {
        #[test]
        fn every_row_is_an_order_that_the_service_takes_or_nothing_is_sent(rows in vec((name(), price()), 1..8)) {
            let lines: Vec<_> = rows.iter().map(|(name, price)| format!("{},{}\n", quoted(name), quoted(price))).collect();
            match read(format!("product_name,price\n{}", lines.concat()).as_bytes()) {
                Ok(read) => {
                    prop_assert_eq!(read.len(), rows.len());
                    prop_assert!(read.iter().all(is_taken), "{read:?}");
                    // Blanks round a cell do not count, and only ASCII's are taken for such.
                    prop_assert!(read.iter().zip(&rows).all(|(row, (name, _))| name.contains(&row.product_name)));
                }
                Err(failure) => prop_assert!(failure.message.contains("row "), "{}", failure.message),
            }
        }

        #[test]
        fn a_damaged_file_is_refused_with_a_message_or_holds_orders(changes in vec(any::<(u16, u8)>(), 1..6)) {
            let file = "product_name,price\nPizza,12.50\n\"Mole, large\",3\nTé,0.5\n";
            match read(&*damaged(file.as_bytes(), &changes)) {
                Ok(rows) => prop_assert!(rows.iter().all(is_taken), "{rows:?}"),
                Err(failure) => prop_assert!(failure.message.len() > 10),
            }
        }

        #[test]
        fn a_file_of_any_kind_does_no_harm(bytes in vec(any::<u8>(), 0..200)) {
            if let Ok(rows) = read(&*[b"price,product_name\n", &*bytes].concat()) {
                prop_assert!(rows.iter().all(is_taken), "{rows:?}");
            }
        }
    }

    fn problems(text: &[u8]) -> String {
        read(text).expect_err("malformed").message
    }

    fn row(text: &str) -> Row {
        read(format!("product_name,price\n{text}").as_bytes()).expect("valid").remove(0)
    }

    #[test]
    fn rows_are_counted_from_the_first_below_the_header() {
        let rows =
            read("\u{feff}Price, product_name ,note\n12.5,\"Pizza, large\",x\n\n 3 ,Té,\n".as_bytes()).expect("valid");
        let seen: Vec<_> = rows.iter().map(|row| (row.number, &*row.product_name, row.price.to_string())).collect();
        assert_eq!(seen, [(1, "Pizza, large", "12.50".into()), (2, "Té", "3.00".into())]);
    }

    #[test]
    fn every_malformed_row_is_named_with_its_column() {
        let message = problems(b"product_name,price\nA,1\nB,x\n,2\nPizza, large,3\nC\nD\xff,1\n");
        for part in [
            "malformed rows: 5",
            "row 2: column price: \"x\" is not a price",
            "row 3: column product_name: is empty",
            "row 4: has 3 columns instead of 2",
            "row 5: has 1 columns",
            "row 6: column product_name: is not UTF-8",
        ] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn many_problems_are_cut() {
        let message = problems(format!("product_name,price\n{}", "A,-1\n".repeat(25)).as_bytes());
        assert_eq!(message.lines().count(), 22);
        assert!(message.ends_with("and 5 more"), "{message}");
    }

    #[test]
    fn the_header_is_required() {
        assert!(problems(b"Pizza,12.50\n").contains("no column product_name; it has: pizza, 12.50"));
        assert!(problems(b"").contains("no column product_name"));
        assert_eq!(read(&b"product_name,price\n"[..]).expect("no rows"), []);
    }

    #[test]
    fn request_ids_are_stable() {
        // Known files would be imported once more if this one changed.
        let id = row("Pizza,12.5").request_id("").to_string();
        assert_eq!(id, "5b54b724-0e24-527f-b362-b09b8af874bd");
        assert_eq!(row("Pizza,12.50").request_id("").to_string(), id);
    }

    #[test]
    fn another_row_or_import_has_another_request_id() {
        let pizza = row("Pizza,12.5");
        let second = Row { number: 2, ..pizza.clone() };
        let others = [
            row("Pizza,12.51").request_id(""),
            row("Pizz,12.5").request_id(""),
            second.request_id(""),
            pizza.request_id("monday"),
        ];
        assert!(others.iter().all(|other| *other != pizza.request_id("")));
    }
}

//! The rows of a file of products: all of them valid, or a list of what is wrong. From bytes to rows without input and output.

use std::collections::HashMap;

use super::{
    header::Header,
    price::Notation,
    problems::Problems,
    row::{self, Row},
    text,
};

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

/// Reads a whole file, or says what is wrong with it.
pub fn read(bytes: &[u8], format: &Format) -> Result<Vec<Row>, Problems> {
    let (header, records) = Header::find(text::decode(bytes)?, format.delimiter)?;
    let Format { ref currency, decimals, decimal_comma, .. } = *format;
    let notation = Notation { currency, decimals, decimal_comma, delimiter: header.delimiter };
    let (mut rows, mut problems) = (Vec::new(), Problems::default());
    for (index, record) in records.filter(|record| !record.is_blank()).enumerate() {
        match row::parse(index + 1, &record, &header, &notation) {
            Ok(row) => rows.push(row),
            Err(problem) => problems.add(problem),
        }
    }
    if problems.count() > 0 {
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

#[cfg(test)]
mod tests {
    use comanda_kit::{access::Scope, testing::outside::damaged};
    use comanda_ordering::order::NewOrder;
    use comanda_proto::v1::{CreateOrderRequest, Customer, Item, Workflow};
    use proptest::{collection::vec, prelude::*};

    use super::{super::identity::ImportId, *};

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
                Err(problems) => prop_assert!(problems.count() > 0 && problems.to_string().len() > 10),
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

    fn one(text: &str) -> Row {
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
        let id = |text| one(text).request_id(&ImportId::named("monday")).to_string();
        assert_eq!(id("Pizza,12.5"), "9f02755d-f60c-54c0-8f98-b2e51b39cbdf");
        assert_eq!(id("Pizza,12.50"), id("Pizza,12.5"));
        assert!(["Pizza,12.51", "Pizz,12.5"].iter().all(|other| id(other) != id("Pizza,12.5")));
    }
}

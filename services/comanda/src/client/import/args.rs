//! What the user says about an import, and what follows from it for each row.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
};

use clap::Args;
use comanda_kit::currency;
use comanda_proto::v1::{CreateOrderRequest, Customer, Item};

use super::{
    super::{DEFAULT_CUSTOMER, batch::Pending, money::parse_currency},
    header::parse_delimiter,
    identity::ImportId,
    row::Row,
    rows::Format,
    shown,
};
use crate::failure::Failure;

/// The whole file is held in memory, since it is checked before the first row is sent.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Which file, and what its rows have in common.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
THE FILE
CSV in UTF-8, with a header that has the columns product_name and price; other columns are ignored. Each row becomes an order of one \
product. The delimiter is a comma, a semicolon, a tab or |, as the header shows, or the one of a first line such as sep=; or of \
--delimiter. Prices look like 12.50; with --decimal-comma like 12,50 or 1.234,50. They may have as many decimals as the currency has. \
Blank rows are skipped, and blanks round a cell do not count. Rows are counted from 1, without the header and blank rows.

The whole file is checked before the first row is sent. If anything is wrong with it, nothing is sent.

IMPORTING AGAIN
An import is known by --import-id, or else by the absolute path of the file. Within 7 days the same import creates only what is \
missing: a row is known by its product and price and by how many equal rows come before it, so rows may be added, removed \
and moved. A changed row is a new row. How many rows were there already is printed.

  * The same file was moved or renamed: name the import with --import-id both times.
  * Other orders are in a file of the same path, such as the next day's: give --import-id, for example the date.
  * Two files with the same --import-id are one import.

The same rows under another currency, customer, mail address, locale or workflow are refused (IDEMPOTENCY_MISMATCH): choose \
another --import-id for those.

Examples:
  comanda order import products.csv
  comanda order import menu.csv --currency CLP --decimal-comma --locale es-CL
  comanda order import products.csv --import-id 2026-11-22")]
pub struct ImportArgs {
    /// The CSV file, in UTF-8.
    file: PathBuf,
    /// The name of the import [default: the absolute path of the file].
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    import_id: String,
    /// What divides the columns: comma, semicolon, tab, pipe, or another sign [default: found by the header].
    #[arg(long, value_name = "SIGN", value_parser = parse_delimiter)]
    delimiter: Option<char>,
    /// Prices have a decimal comma, and may have dots between thousands: 12,50 or 1.234,50.
    #[arg(long)]
    decimal_comma: bool,
    /// Your key for the customer of every order.
    #[arg(long, value_name = "ID", default_value = DEFAULT_CUSTOMER)]
    customer: String,
    /// Where the mails of every order go; no mails without it.
    #[arg(long, default_value = "", hide_default_value = true)]
    email: String,
    /// The currency of all prices (ISO 4217).
    #[arg(long, default_value = "USD", value_parser = parse_currency)]
    currency: String,
    /// The language of the mails, such as es, en or es-MX; the server's default without it.
    #[arg(long, default_value = "", hide_default_value = true)]
    locale: String,
    /// The workflow to follow; the server's default without it.
    #[arg(long, default_value = "", hide_default_value = true)]
    workflow: String,
    /// Orders in each call.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub batch_size: u16,
    /// Calls at a time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub concurrency: u16,
}

impl ImportArgs {
    /// By which the rows of this import are known.
    pub fn import_id(&self) -> Result<ImportId, Failure> {
        if self.import_id.is_empty() { ImportId::of_file(&self.file) } else { Ok(ImportId::named(&self.import_id)) }
    }

    /// The content of the file.
    pub fn bytes(&self) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let read = File::open(&self.file).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes));
        let too_large = || io::Error::other(format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20));
        let read = read.and_then(|read| if read as u64 > MAX_FILE_BYTES { Err(too_large()) } else { Ok(()) });
        let failed = |error| Failure::refused(format!("cannot read {}: {error}", shown(&self.file.to_string_lossy())));
        read.map(|()| bytes).map_err(failed)
    }

    /// How the file is to be read.
    pub fn format(&self) -> Result<Format, Failure> {
        let unknown = || Failure::refused(format!("{} is not a currency of ISO 4217", self.currency));
        let decimals = currency::decimals(&self.currency).ok_or_else(unknown)? as usize;
        let Self { currency, decimal_comma, delimiter, .. } = self.clone();
        Ok(Format { currency, decimals, decimal_comma, delimiter })
    }

    /// The order of a row, to be sent.
    pub fn pending(&self, row: &Row, import: &ImportId) -> Pending {
        Pending { number: row.number, request: self.request(row, import) }
    }

    fn request(&self, row: &Row, import: &ImportId) -> CreateOrderRequest {
        CreateOrderRequest {
            request_id: row.request_id(import).to_string(),
            customer: Some(self.customer()),
            items: vec![self.item(row)],
            workflow: self.workflow.clone(),
            ..CreateOrderRequest::default()
        }
    }

    fn customer(&self) -> Customer {
        Customer {
            customer_id: self.customer.clone(),
            email: self.email.clone(),
            locale: self.locale.clone(),
            ..Customer::default()
        }
    }

    fn item(&self, row: &Row) -> Item {
        Item {
            name: row.product_name.clone(),
            quantity: 1,
            unit_price: Some(row.price.in_currency(&self.currency)),
            ..Item::default()
        }
    }
}

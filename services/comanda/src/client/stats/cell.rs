//! One value of a table: as a person reads it, and as a program does.

use std::borrow::Cow;

use comanda_proto::Money;
use prost_types::Duration;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A name; somebody else wrote it.
    Text(String),
    /// How many.
    Count(i64),
    /// How long.
    Time(Option<Duration>),
    /// So many of so many.
    Share(i64, i64),
    /// An amount, without its currency.
    Amount(Option<Money>),
}

impl Cell {
    /// As a person reads it.
    pub fn human(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Count(count) => count.to_string(),
            Self::Time(duration) => time(duration.unwrap_or_default()),
            Self::Share(_, 0) => "-".into(),
            Self::Share(part, whole) => format!("{:.1} %", *part as f64 * 100.0 / *whole as f64),
            Self::Amount(money) => amount(money.as_ref()),
        }
    }

    /// As a program reads it: durations in seconds, shares from 0 to 1. A name is quoted where it must be (RFC 4180).
    pub fn csv(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => quoted(text),
            Self::Count(count) => count.to_string().into(),
            Self::Time(duration) => seconds(duration.unwrap_or_default()).to_string().into(),
            Self::Share(_, 0) => "".into(),
            Self::Share(part, whole) => (*part as f64 / *whole as f64).to_string().into(),
            Self::Amount(money) => amount(money.as_ref()).into(),
        }
    }

    /// Its height in a plot.
    pub fn height(&self) -> f64 {
        match self {
            Self::Text(_) => 0.0,
            Self::Count(count) => *count as f64,
            Self::Time(duration) => seconds(duration.unwrap_or_default()),
            Self::Share(part, whole) => *part as f64 / (*whole).max(1) as f64,
            Self::Amount(money) => {
                money.as_ref().map_or(0.0, |money| money.units as f64 + f64::from(money.nanos) / 1e9)
            }
        }
    }

    /// Whether it stands on the left of its column.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }
}

/// A text of a CSV file.
pub fn quoted(text: &str) -> Cow<'_, str> {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")).into(),
        false => text.into(),
    }
}

fn seconds(duration: Duration) -> f64 {
    duration.seconds as f64 + f64::from(duration.nanos) / 1e9
}

/// The two largest units that it has.
fn time(duration: Duration) -> String {
    let all = duration.seconds;
    let (days, hours, minutes, rest) = (all / 86_400, all / 3600 % 24, all / 60 % 60, all % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if all < 10 => format!("{:.1} s", seconds(duration)),
        (0, 0, 0) => format!("{rest} s"),
        (0, 0, _) => format!("{minutes} min {rest:02} s"),
        (0, ..) => format!("{hours} h {minutes:02} min"),
        _ => format!("{days} d {hours:02} h"),
    }
}

/// Two decimals at least, and no zeros behind them.
fn amount(money: Option<&Money>) -> String {
    let Some(Money { units, nanos, .. }) = money else { return String::new() };
    let sign = if *units < 0 || *nanos < 0 { "-" } else { "" };
    let nanos = format!("{:09}", nanos.unsigned_abs());
    let decimals = nanos.trim_end_matches('0').len().max(2);
    format!("{sign}{}.{}", units.unsigned_abs(), &nanos[..decimals])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lasting(seconds: i64, nanos: i32) -> String {
        Cell::Time(Some(Duration { seconds, nanos })).human()
    }

    #[test]
    fn a_duration_shows_its_two_largest_units() {
        assert_eq!(lasting(0, 250_000_000), "0.2 s");
        assert_eq!(lasting(42, 0), "42 s");
        assert_eq!(lasting(12 * 60 + 5, 0), "12 min 05 s");
        assert_eq!(lasting(3 * 3600 + 60, 0), "3 h 01 min");
        assert_eq!(lasting(50 * 3600, 0), "2 d 02 h");
    }

    #[test]
    fn programs_get_seconds_shares_and_quoted_names() {
        assert_eq!(Cell::Time(Some(Duration { seconds: 90, nanos: 500_000_000 })).csv(), "90.5");
        assert_eq!((Cell::Share(1, 8).csv(), Cell::Share(0, 0).csv()), ("0.125".into(), "".into()));
        assert_eq!(Cell::Text("a,\"b\"".into()).csv(), "\"a,\"\"b\"\"\"");
        assert_eq!((Cell::Share(1, 8).human(), Cell::Share(0, 0).human()), ("12.5 %".to_owned(), "-".to_owned()));
    }

    #[test]
    fn amounts_have_two_decimals_or_more() {
        let shown = |units, nanos| Cell::Amount(Some(Money { currency_code: "UYU".into(), units, nanos })).human();
        assert_eq!(shown(1250, 0), "1250.00");
        assert_eq!(shown(0, 1), "0.000000001");
        assert_eq!(shown(-3, -500_000_000), "-3.50");
    }
}

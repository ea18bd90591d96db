//! Which time and which orders, as flags.

use clap::{Args, ValueEnum};
use comanda_proto::v1::{Bucket, ReportFilter};
use prost_types::Timestamp;

use super::super::moment::parse_moment;

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

/// Which time and which orders.
#[derive(Args, Clone, Debug)]
pub struct FilterArgs {
    /// From this time on: 2026-11-01T00:00:00-03:00, or so long ago: 36h, 7d [default: a day before --to].
    #[arg(long, value_name = "TIME", value_parser = parse_when, global = true)]
    from: Option<When>,
    /// Before this time, written as --from [default: the end of this hour].
    #[arg(long, value_name = "TIME", value_parser = parse_when, global = true)]
    to: Option<When>,
    /// A row for each hour or day of UTC, or one for the whole time.
    #[arg(long, value_enum, default_value_t = BucketArg::Total, global = true)]
    bucket: BucketArg,
    /// Only orders of this workflow.
    #[arg(long, default_value = "", hide_default_value = true, global = true)]
    workflow: String,
}

/// Into what a time is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BucketArg {
    Total,
    Hour,
    Day,
}

/// A time, or how long ago it was.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    At(Timestamp),
    /// Seconds.
    Ago(i64),
}

impl When {
    fn seconds(self, now: i64) -> i64 {
        match self {
            Self::At(time) => time.seconds,
            Self::Ago(seconds) => now - seconds,
        }
    }
}

impl FilterArgs {
    /// As the API takes it: with both times, so that every call of a command is about the same. `now` is in seconds since 1970.
    pub fn filter(&self, now: i64) -> ReportFilter {
        let full_hour = |seconds: i64| seconds - seconds.rem_euclid(HOUR);
        let before = self.to.map_or(full_hour(now) + HOUR, |to| full_hour(to.seconds(now)));
        let from = self.from.map_or(before - DAY, |from| full_hour(from.seconds(now)));
        let bucket = match self.bucket {
            BucketArg::Total => Bucket::Total,
            BucketArg::Hour => Bucket::Hour,
            BucketArg::Day => Bucket::Day,
        };
        let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
        ReportFilter {
            from_time: time(from),
            before_time: time(before),
            workflow: self.workflow.clone(),
            bucket: bucket.into(),
        }
    }
}

/// The same time in the buckets that a line of text can show, and the beginning of each.
pub fn trend(filter: &ReportFilter) -> (ReportFilter, Vec<i64>) {
    let (from, before) = (seconds(filter.from_time), seconds(filter.before_time));
    let (bucket, step) = if before - from <= 2 * DAY { (Bucket::Hour, HOUR) } else { (Bucket::Day, DAY) };
    let first = from - from.rem_euclid(step);
    let starts = (0..).map(|index| first + index * step).take_while(|start| *start < before);
    (ReportFilter { bucket: bucket.into(), ..filter.clone() }, starts.collect())
}

fn seconds(time: Option<Timestamp>) -> i64 {
    time.unwrap_or_default().seconds
}

/// A time with an offset, or hours or days ago.
fn parse_when(text: &str) -> Result<When, String> {
    let ago = |digits: &str, unit| digits.parse::<u32>().ok().map(|count| When::Ago(i64::from(count) * unit));
    let parsed = match text.strip_suffix(['h', 'd']) {
        Some(digits) if text.ends_with('h') => ago(digits, HOUR),
        Some(digits) => ago(digits, DAY),
        None => None,
    };
    match parsed {
        Some(when) => Ok(when),
        None => parse_moment(text).map(When::At).map_err(|error| format!("{error}; or so long ago: 36h, 7d")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        filter: FilterArgs,
    }

    const NOW: i64 = 1_793_502_000 + 20 * 60;

    fn filter(args: &[&str]) -> ReportFilter {
        Cli::parse_from([&["stats"], args].concat()).filter.filter(NOW)
    }

    #[test]
    fn without_flags_it_is_the_last_day_up_to_the_end_of_this_hour() {
        let filter = filter(&[]);
        assert_eq!(seconds(filter.before_time), 1_793_502_000 + HOUR);
        assert_eq!(seconds(filter.from_time), 1_793_502_000 + HOUR - DAY);
        assert_eq!(filter.bucket(), Bucket::Total);
        assert_eq!(trend(&filter).1.len(), 24);
    }

    #[test]
    fn a_time_is_a_moment_or_so_long_ago() {
        let filter =
            filter(&["--from", "7d", "--to", "2026-11-01T00:00:00-03:00", "--bucket", "day", "--workflow", "ride"]);
        assert_eq!(seconds(filter.from_time), 1_793_502_000 - 7 * DAY);
        assert_eq!(seconds(filter.before_time), 1_793_502_000);
        assert_eq!((filter.bucket(), &*filter.workflow), (Bucket::Day, "ride"));
        let (shown, starts) = trend(&filter);
        assert_eq!((shown.bucket(), starts.len()), (Bucket::Day, 8), "seven days that do not begin at midnight");
        for wrong in ["yesterday", "h", "-3h", "3", "99999999999d"] {
            let error = parse_when(wrong).expect_err(wrong);
            assert!(error.contains("36h"), "{error}");
        }
    }
}

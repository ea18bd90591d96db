//! Histories as files, and violations as text.

use comanda_checker::{explain::explain, history::*, read};

use crate::{
    alter::{fault, is_shown, verdict},
    story::calm,
};

fn text() -> String {
    calm().iter().map(|line| serde_json::to_string(line).expect("a line") + "\n").collect()
}

#[test]
fn a_history_is_read_as_it_was_written() {
    let lines: Vec<Line> = read::lines(text().as_bytes()).map(|line| line.expect("a line")).collect();
    assert_eq!(lines, calm());
}

#[test]
fn a_last_line_that_was_cut_is_left_out_and_any_other_is_named() {
    let mut cut = text();
    cut.truncate(cut.len() - 5);
    assert_eq!(read::lines(cut.as_bytes()).filter_map(Result::ok).count(), calm().len() - 1);
    let broken = text().replacen("\"kind\":\"invoke\"", "\"kind\":\"unheard of\"", 1);
    let error = read::lines(broken.as_bytes()).find_map(Result::err).expect("a line that is none");
    assert!(error.to_string().starts_with("line "), "{error}");
}

#[test]
fn a_violation_is_told_with_the_order_s_lines_and_the_faults() {
    let mut lines = calm();
    fault(&mut lines, "postgres frozen", "postgres", 1_000_000, 3_000_000);
    lines.retain(|line| !is_shown(&line.what, 901, "order-2", 3));
    let text = verdict(lines).violations.iter().map(explain).collect::<String>();
    for part in [
        "C7 watch: stream 901: version 4 comes with a hole after 2",
        "order order-2",
        "faults: postgres frozen on postgres",
        ">    3.713 s stream 901: version 4",
        "at the end history: version 3 \"preparing\" -> \"dispatched\" by advance",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

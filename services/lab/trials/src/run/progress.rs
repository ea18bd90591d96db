//! What a run shows while it lasts.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};

use crate::recorder::Recorder;

/// A line on a terminal that changes, or where there is no terminal one line for each phase.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Shows nothing yet.
    pub fn start() -> Self {
        let style = ProgressStyle::with_template("{spinner} {elapsed_precise} {prefix}: {wide_msg}");
        let bar = ProgressBar::new_spinner().with_style(style.expect("a template that is well formed"));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// Says what is done from now on.
    pub fn phase(&self, phase: &str) {
        self.bar.set_prefix(phase.to_owned());
        self.bar.set_message("");
        if self.bar.is_hidden() {
            eprintln!("{phase}");
        }
    }

    /// Shows how far the run is.
    pub fn show(&self, recorder: &Recorder, more: &str) {
        let tally = recorder.tally();
        let [accepted, refused, events, mails, faults, alarms] =
            [&tally.accepted, &tally.refused, &tally.events, &tally.mails, &tally.faults, &tally.alarms]
                .map(|count| count.load(Relaxed));
        let alarms = if alarms > 0 { format!(", {alarms} ALARMS") } else { String::new() };
        let text = format!(
            "{accepted} orders, {refused} refusals, {events} events, {mails} mails, {faults} faults{alarms} {more}"
        );
        self.bar.set_message(text);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

//! The bugs that the trials plant are in no program but the trials' own.

use std::process::Command;

use comanda_kit::planted::NAMES;

#[test]
fn the_program_knows_none_of_the_bugs_that_can_be_planted() {
    for name in NAMES.into_iter().chain(["COMANDA_PLANTED"]) {
        assert!(!holds(name), "{name} is in a program that was built without the feature `planted`");
    }
    assert!(holds("COMANDA_TOPIC_PREFIX"), "what is in the program is found");
}

/// Whether the program holds a text.
fn holds(text: &str) -> bool {
    let mut grep = Command::new("grep");
    grep.args(["--quiet", "--text", "--fixed-strings", "--", text, env!("CARGO_BIN_EXE_comanda")]);
    let status = grep.status().expect("grep is where a shell is");
    assert!(status.code().is_some_and(|code| code < 2), "grep cannot read the program");
    status.success()
}

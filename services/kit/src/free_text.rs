//! Options whose value is any text, also one that begins with a hyphen.

use std::{collections::HashSet, ffi::OsString};

use clap::{Arg, Command, ValueHint};

/// Joins each option of free text (marked by [`ValueHint::Other`]) with the word after it, where that begins with a hyphen:
/// `--reason '-no stock'` is `--reason=-no stock`. A word that is itself an option stays apart: then the text was forgotten, and the parser
/// says so.
pub fn join(command: &Command, words: impl IntoIterator<Item = impl Into<OsString>>) -> Vec<OsString> {
    let (mut texts, mut all) =
        (HashSet::new(), HashSet::from(["--", "--help", "-h", "--version", "-V"].map(str::to_owned)));
    collect(command, &mut texts, &mut all);
    let mut joined: Vec<OsString> = Vec::new();
    for word in words.into_iter().map(Into::into) {
        match joined.last_mut().filter(|last| last.to_str().is_some_and(|last| texts.contains(last))) {
            Some(option) if is_text(&word, &all) => {
                option.push("=");
                option.push(word);
            }
            _ => joined.push(word),
        }
    }
    joined
}

fn is_text(word: &OsString, options: &HashSet<String>) -> bool {
    let word = word.to_string_lossy();
    word.starts_with('-') && !options.contains(word.split('=').next().unwrap_or_default())
}

fn collect(command: &Command, texts: &mut HashSet<String>, all: &mut HashSet<String>) {
    let names = |arg: &Arg| {
        arg.get_long()
            .map(|long| format!("--{long}"))
            .into_iter()
            .chain(arg.get_short().map(|short| format!("-{short}")))
    };
    all.extend(command.get_arguments().flat_map(names));
    texts
        .extend(command.get_arguments().filter(|arg| matches!(arg.get_value_hint(), ValueHint::Other)).flat_map(names));
    command.get_subcommands().for_each(|command| collect(command, texts, all));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(words: &[&str]) -> Vec<OsString> {
        let reason = Arg::new("reason").long("reason").value_hint(ValueHint::Other);
        let cancel = Command::new("cancel").arg(reason).arg(Arg::new("version").long("expected-version"));
        join(&Command::new("comanda").arg(Arg::new("count").long("count").short('c')).subcommand(cancel), words)
    }

    #[test]
    fn a_text_may_begin_with_a_hyphen() {
        assert_eq!(joined(&["--reason", "-no stock", "7"]), ["--reason=-no stock", "7"]);
        assert_eq!(joined(&["--reason", "--reasonable"]), ["--reason=--reasonable"]);
        assert_eq!(joined(&["--reason", "-1", "--reason", "-x"]), ["--reason=-1", "--reason=-x"]);
    }

    #[test]
    fn an_option_is_no_text_and_other_words_stay_as_they_are() {
        for words in [
            &["--reason", "--expected-version", "2"][..],
            &["--reason", "--expected-version=2"],
            &["--reason", "-c"],
            &["--reason", "--help"],
            &["--reason", "--", "-x"],
            &["--reason", "none", "-c"],
            &["--reason=-x", "-y"],
            &["--count", "-1"],
            &["--reason"],
        ] {
            assert_eq!(joined(words), words);
        }
    }
}

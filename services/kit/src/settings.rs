//! A command line and the environment, read together by the same rules everywhere:
//!
//! * An empty variable is no setting.
//! * A switch takes 1/0, yes/no, true/false and on/off from its variable. False is the same as not given, so it conflicts with nothing.
//! * A free text (marked by [`clap::ValueHint::Other`]) may begin with a hyphen.
//! * No message shows the value of a variable that may hold a secret (one with `hide_env_values`).

use std::ffi::{OsStr, OsString};

use clap::{
    Arg, ArgAction, Command, Error, Parser,
    builder::{BoolishValueParser, Resettable, TypedValueParser},
    error::{ContextKind, ContextValue},
};

use crate::free_text;

/// Reads the command line of this process; ends it after `--help`, and with code 2 after wrong usage.
pub fn parse<C: Parser>() -> C {
    try_parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// Reads a command line; the first word is the name of the program.
pub fn try_parse_from<C: Parser>(words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<C, Error> {
    let mut command = with_variables(C::command(), &|name| std::env::var_os(name));
    let words = free_text::join(&command, words);
    let parsed = command.try_get_matches_from_mut(words).and_then(|mut matches| C::from_arg_matches_mut(&mut matches));
    parsed.map_err(|error| without_secrets(error.format(&mut command), &command))
}

/// The value of a variable that is no argument; an empty one is no value.
pub fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !is_empty(value))
}

/// Takes the variables away that say nothing, as `value_of` gives their values.
pub fn with_variables(command: Command, value_of: &dyn Fn(&OsStr) -> Option<OsString>) -> Command {
    command
        .mut_args(|arg| with_variable(arg, value_of))
        .mut_subcommands(|subcommand| with_variables(subcommand, value_of))
}

fn with_variable(arg: Arg, value_of: &dyn Fn(&OsStr) -> Option<OsString>) -> Arg {
    let Some(value) = arg.get_env().and_then(value_of) else { return arg };
    let is_switch = is_switch(&arg);
    let says_nothing = is_empty(&value) || is_switch && is_false(&value);
    match (says_nothing, is_switch) {
        (true, _) => arg.env(Resettable::Reset),
        (false, true) => arg.value_parser(BoolishValueParser::new()),
        (false, false) => arg,
    }
}

/// Whether an argument is given or not, and has no value on the command line.
pub fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

fn is_empty(value: &OsStr) -> bool {
    value.to_str().is_some_and(|text| text.trim().is_empty())
}

fn is_false(value: &OsStr) -> bool {
    matches!(BoolishValueParser::new().parse_ref(&Command::new(""), None, value), Ok(false))
}

fn without_secrets(mut error: Error, command: &Command) -> Error {
    let Some(ContextValue::String(invalid)) = error.get(ContextKind::InvalidArg) else { return error };
    let flag = invalid.split([' ', '=']).next().unwrap_or_default();
    if may_hold_secret(command, flag) {
        error.insert(ContextKind::InvalidValue, ContextValue::String("(not shown)".into()));
    }
    error
}

fn may_hold_secret(command: &Command, flag: &str) -> bool {
    let is_meant = |arg: &Arg| arg.get_long().is_some_and(|long| flag.strip_prefix("--") == Some(long));
    command.get_arguments().any(|arg| arg.is_hide_env_values_set() && is_meant(arg))
        || command.get_subcommands().any(|subcommand| may_hold_secret(subcommand, flag))
}

#[cfg(test)]
mod tests {
    use std::process;

    use clap::{Args, Subcommand};

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[arg(long, env = "TEST_GLOBAL", global = true)]
        global: Option<u8>,
        #[command(subcommand)]
        verb: Verb,
    }

    #[derive(Debug, Subcommand)]
    enum Verb {
        Serve(ServeArgs),
    }

    #[derive(Args, Debug)]
    struct ServeArgs {
        #[arg(long, env = "TEST_QUIET", conflicts_with = "folder")]
        quiet: bool,
        #[arg(long, env = "TEST_FOLDER")]
        folder: Option<String>,
        #[arg(long, env = "TEST_COUNT", default_value_t = 7)]
        count: u8,
        #[arg(long, env = "TEST_SECRET", hide_env_values = true, value_parser = refuse)]
        secret: Option<String>,
    }

    fn refuse(_: &str) -> Result<String, String> {
        Err("not a secret".into())
    }

    const ENVIRONMENT: [&str; 5] = ["TEST_GLOBAL", "TEST_QUIET", "TEST_FOLDER", "TEST_COUNT", "TEST_SECRET"];

    /// What a process with these variables understands. The environment of this one cannot be changed safely.
    fn read(variables: &[(&str, &str)]) -> String {
        let mut child = process::Command::new(std::env::current_exe().expect("a test"));
        for name in ENVIRONMENT {
            child.env_remove(name);
        }
        child.args(["--exact", "settings::tests::child", "--ignored", "--nocapture"]).envs(variables.iter().copied());
        let output = child.output().expect("runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[test]
    #[ignore = "the other tests run it with an environment"]
    fn child() {
        match try_parse_from::<Cli>(["test", "serve"]) {
            Ok(Cli { global, verb: Verb::Serve(ServeArgs { quiet, folder, count, .. }) }) => {
                println!("global {global:?} quiet {quiet} folder {folder:?} count {count}");
            }
            Err(error) => println!("{error}"),
        }
    }

    #[test]
    fn an_empty_variable_is_no_setting() {
        let nothing = "global None quiet false folder None count 7";
        assert!(read(&[]).contains(nothing));
        let empty = ENVIRONMENT.map(|name| (name, ""));
        assert!(read(&empty).contains(nothing), "{}", read(&empty));
        assert!(read(&[("TEST_QUIET", "yes"), ("TEST_FOLDER", " ")]).contains("quiet true folder None"));
    }

    #[test]
    fn a_switch_takes_every_word_for_yes_and_no() {
        for yes in ["1", "yes", "true", "on", "TRUE", "y"] {
            assert!(read(&[("TEST_QUIET", yes)]).contains("quiet true"), "{yes}");
        }
        for no in ["0", "no", "false", "off", "False"] {
            let read = read(&[("TEST_QUIET", no), ("TEST_FOLDER", "here")]);
            assert!(read.contains("quiet false folder Some(\"here\")"), "{no}: {read}");
        }
        let perhaps = read(&[("TEST_QUIET", "perhaps")]);
        assert!(perhaps.contains("invalid value 'perhaps' for '--quiet'"), "{perhaps}");
        assert!(read(&[("TEST_QUIET", "1"), ("TEST_FOLDER", "here")]).contains("cannot be used with"));
    }

    #[test]
    fn no_message_shows_what_may_be_secret() {
        let read = read(&[("TEST_SECRET", "hunter2")]);
        assert!(read.contains("'--secret <SECRET>': not a secret") && !read.contains("hunter2"), "{read}");
        let error = try_parse_from::<Cli>(["test", "serve", "--secret", "hunter2"]).expect_err("refused").to_string();
        assert!(error.contains("not a secret") && !error.contains("hunter2"), "{error}");
    }
}

//! What a command knows of the terminal and the files around it.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use crate::stop::Stop;

/// Read once by the binary; a test makes its own. The default is a pipe without any files.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an independent fact about one stream"
)]
pub struct Surroundings {
    /// Where the person's own settings are, `$XDG_CONFIG_HOME/posthaste`.
    pub user_directory: Option<PathBuf>,
    /// Where the project's settings are, `./.posthaste`.
    pub project_directory: Option<PathBuf>,
    /// Standard input is a person.
    pub in_is_terminal: bool,
    /// Standard output is a person.
    pub out_is_terminal: bool,
    /// Standard error is a person.
    pub err_is_terminal: bool,
    /// Colour is wanted, as far as the environment says.
    pub colour: bool,
    /// Reads a variable of the environment, where a file refers to one.
    pub variable: Option<fn(&str) -> Option<String>>,
    /// When the person wants the command to end.
    pub(crate) stop: Stop,
}

impl Surroundings {
    /// Asks the process and its environment.
    ///
    /// `variable` reads a variable of the environment.
    pub fn of_process(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let directory = given("XDG_CONFIG_HOME").map(PathBuf::from);
        // A relative one is to be ignored, as that convention says.
        let directory = directory.filter(|path| path.is_absolute());
        let home = || given("HOME").map(|home| PathBuf::from(home).join(".config"));
        let out_is_terminal = std::io::stdout().is_terminal();
        let forced = given("CLICOLOR_FORCE").is_some_and(|value| value != "0");
        let unwanted = given("NO_COLOR").is_some()
            || variable("CLICOLOR").is_some_and(|value| value == "0")
            || variable("TERM").is_some_and(|value| value == "dumb");
        Self {
            user_directory: directory.or_else(home).map(|path| path.join("posthaste")),
            project_directory: Some(PathBuf::from(".posthaste")),
            in_is_terminal: std::io::stdin().is_terminal(),
            out_is_terminal,
            err_is_terminal: std::io::stderr().is_terminal(),
            colour: forced || (out_is_terminal && !unwanted),
            variable: None,
            stop: Stop::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Surroundings {
        let variables = variables.to_vec();
        Surroundings::of_process(move |name| {
            let found = variables.iter().find(|(given, _)| *given == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn settings_of_a_person_lie_where_that_convention_says() {
        let directory = |variables| of(variables).user_directory.unwrap();

        assert_eq!(
            directory(&[("HOME", "/h")]),
            PathBuf::from("/h/.config/posthaste")
        );
        assert_eq!(
            directory(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]),
            PathBuf::from("/x/posthaste")
        );
        assert_eq!(
            directory(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "x")]),
            PathBuf::from("/h/.config/posthaste")
        );
        assert_eq!(of(&[]).user_directory, None);
    }

    #[test]
    fn colour_can_be_forced_into_a_pipe() {
        assert!(of(&[("CLICOLOR_FORCE", "1")]).colour);
        assert!(!of(&[("CLICOLOR_FORCE", "0"), ("NO_COLOR", "1")]).colour);
    }
}

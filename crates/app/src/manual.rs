//! Manual pages, written from the commands themselves.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use clap::{Command, CommandFactory as _};

use crate::commands::{Arguments, say};

/// Writes a page for each command and says how many there are.
pub(crate) fn write(dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let pages = pages()?;
    for (name, page) in &pages {
        let path = dir.join(format!("{name}.1"));
        fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    say(&format!("Wrote {} pages to {}", pages.len(), dir.display()))
}

/// Each page with its name, such as `posthaste-app-ls`.
fn pages() -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut root = Arguments::command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    add(&root, "posthaste", &mut pages)?;
    Ok(pages)
}

fn add(command: &Command, name: &str, pages: &mut Vec<(String, Vec<u8>)>) -> anyhow::Result<()> {
    let mut page = Vec::new();
    let titled = command.clone().display_name(name.to_owned());
    clap_mangen::Man::new(titled).render(&mut page)?;
    pages.push((name.to_owned(), page));
    let verbs = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    for verb in verbs.filter(|verb| name == "posthaste" || verb.get_name() != "help") {
        add(verb, &format!("{name}-{}", verb.get_name()), pages)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_under_its_name() {
        let pages = pages().unwrap();

        let page = |wanted: &str| {
            let (_, page) = pages.iter().find(|(name, _)| name == wanted).unwrap();
            String::from_utf8(page.clone()).unwrap()
        };
        assert!(page("posthaste").contains("posthaste\\-serve(1)"));
        assert!(page("posthaste-message-export").contains("oldest first"));
        assert!(page("posthaste-endpoint-secret-rotate").contains(".SH SYNOPSIS"));
        let mut names: Vec<_> = pages.iter().map(|(name, _)| name).collect();
        let count = names.len();
        names.dedup();
        assert!(names.len() == count && count > 60, "{count} pages");
    }
}

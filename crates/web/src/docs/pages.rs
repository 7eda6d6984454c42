//! The pages that the program carries.

/// Every page of `docs/`: its path without the ending, and its text.
const PAGES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// One page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Document {
    /// Its path below `docs/`, without the ending.
    pub(super) name: &'static str,
    /// Its Markdown.
    pub(super) text: &'static str,
}

impl Document {
    const fn new((name, text): (&'static str, &'static str)) -> Self {
        Self { name, text }
    }

    /// The first heading.
    pub(super) fn title(&self) -> String {
        let first = self.text.lines().next().unwrap_or(self.name);
        first.trim_start_matches('#').trim().replace('`', "")
    }

    /// The first sentence after the heading, as plain text.
    pub(super) fn summary(&self) -> String {
        let paragraph: Vec<&str> = self
            .text
            .lines()
            .skip(1)
            .skip_while(|line| line.is_empty())
            .take_while(|line| !line.is_empty())
            .collect();
        let text = super::markdown::plain(&paragraph.join(" "));
        let end = text.find(". ").map_or(text.len(), |at| at + 1);
        text[..end].to_owned()
    }

    fn section(&self) -> Option<Section> {
        match self.name.split_once('/') {
            None => Some(match self.name {
                "configuration" => Section::Reference,
                "benchmarks" | "reliability" => Section::Measured,
                _ => Section::Start,
            }),
            Some(("guides", _)) => Some(Section::Guides),
            Some(("reference", _)) => Some(Section::Reference),
            Some(("decisions", _)) => Some(Section::Decisions),
            // Each error's page is listed by the reference of errors.
            Some(_) => None,
        }
    }
}

/// A group of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Start,
    Guides,
    Reference,
    Measured,
    Decisions,
}

impl Section {
    pub(super) const ALL: [Self; 5] = [
        Self::Start,
        Self::Guides,
        Self::Reference,
        Self::Measured,
        Self::Decisions,
    ];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Start => "Start here",
            Self::Guides => "Guides",
            Self::Reference => "Reference",
            Self::Measured => "Measured",
            Self::Decisions => "Decisions",
        }
    }
}

/// Returns the pages of a section; what a newcomer reads first comes first.
pub(super) fn of(section: Section) -> Vec<Document> {
    let mut pages: Vec<Document> = all()
        .filter(|document| document.section() == Some(section))
        .collect();
    pages.sort_by_key(|document| (document.name != "quick-start", document.name));
    pages
}

/// Returns the page of a name.
pub(super) fn find(name: &str) -> Option<&'static Document> {
    static ALL: std::sync::LazyLock<Vec<Document>> = std::sync::LazyLock::new(|| all().collect());
    ALL.iter().find(|document| document.name == name)
}

/// Returns every page.
pub(super) fn all() -> impl Iterator<Item = Document> {
    PAGES.iter().copied().map(Document::new)
}

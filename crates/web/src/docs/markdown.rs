//! From the pages' Markdown to HTML.

use maud::{Markup, PreEscaped};
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

use super::pages::Document;

fn parser(text: &str) -> Parser<'_> {
    Parser::new_ext(text, Options::ENABLE_TABLES)
}

/// Renders a page. Links between pages lead to the pages as they are served, headings can be
/// linked to, and HTML in the text is shown as text.
pub(super) fn render(document: &Document) -> Markup {
    let events: Vec<Event<'_>> = parser(document.text).collect();
    let mut anchors = headings(&events).into_iter();
    let events = events.into_iter().map(|event| match event {
        Event::Start(Tag::Link {
            link_type,
            dest_url,
            title,
            id,
        }) => Event::Start(Tag::Link {
            link_type,
            dest_url: served(document.name, &dest_url),
            title,
            id,
        }),
        Event::Start(Tag::Heading {
            level,
            classes,
            attrs,
            ..
        }) => Event::Start(Tag::Heading {
            level,
            id: anchors.next().map(CowStr::from),
            classes,
            attrs,
        }),
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        event => event,
    });
    let mut page = String::new();
    html::push_html(&mut page, events);
    // A wide table scrolls by itself instead of widening the page.
    let page = page
        .replace("<table>", "<div class=\"table\"><table>")
        .replace("</table>", "</table></div>");
    PreEscaped(page)
}

/// The anchor of each heading: its text in lower case, with hyphens.
fn headings(events: &[Event<'_>]) -> Vec<String> {
    let mut found = Vec::new();
    let mut current: Option<String> = None;
    for event in events {
        match event {
            Event::Start(Tag::Heading { .. }) => current = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => found.extend(current.take().map(|text| slug(&text))),
            Event::Text(text) | Event::Code(text) => {
                if let Some(current) = &mut current {
                    current.push_str(text);
                }
            }
            _ => {}
        }
    }
    found
}

pub(super) fn slug(text: &str) -> String {
    let kept = text.chars().filter_map(|char| match char {
        ' ' => Some('-'),
        char if char.is_alphanumeric() || char == '-' || char == '_' => {
            Some(char.to_ascii_lowercase())
        }
        _ => None,
    });
    kept.collect()
}

/// Where a link of a page leads as pages are served: `../errors/x.md` becomes `/docs/errors/x`.
fn served<'a>(page: &str, link: &str) -> CowStr<'a> {
    if link.contains("://") || link.starts_with(['#', '/']) {
        return link.to_owned().into();
    }
    let (path, anchor) = link
        .split_once('#')
        .map_or((link, String::new()), |(path, anchor)| {
            (path, format!("#{anchor}"))
        });
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    let name = parts.join("/");
    let name = name.strip_suffix(".md").unwrap_or(&name);
    format!("/docs/{name}{anchor}").into()
}

/// The text alone.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut level = None;
    for event in parser(text) {
        match event {
            Event::Start(Tag::Heading { level: found, .. }) => level = Some(found),
            Event::End(TagEnd::Heading(_)) => level = None,
            Event::Text(text) | Event::Code(text) if level.is_none_or(|l| l > HeadingLevel::H1) => {
                plain.push_str(&text);
            }
            Event::SoftBreak => plain.push(' '),
            _ => {}
        }
    }
    plain
}

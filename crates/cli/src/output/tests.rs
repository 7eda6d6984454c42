use serde_json::value::RawValue;

use super::*;

const KIND: Kind = Kind {
    plural: "things",
    id: "id",
    columns: &[
        cell("ID", |thing, look| text(&thing["id"], look)),
        cell("STATE", |thing, _| {
            Cell::state(thing["state"].as_str().unwrap_or("-"))
        }),
        cell("AT", |thing, look| time(&thing["at"], look)),
        cell("NOTE", |thing, look| text(&thing["note"], look)).wide(),
    ],
};

const FIRST: &str = r#"{"id":"a","state":"success","at":"2026-01-31T12:00:00.25Z","n":1e400}"#;
const SECOND: &str = r#"{"id":"bcd","state":"fail","at":null,"note":"a\u001b[2Jb"}"#;

fn look(format: Format) -> Look {
    Look {
        format,
        quiet: false,
        colour: false,
        relative: false,
        now: at("2026-01-31T12:05:00Z"),
    }
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

fn listed(look: Look, pages: &[&[&str]]) -> (String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut streams = Streams {
        input: &mut std::io::empty(),
        out: &mut out,
        err: &mut err,
        around: crate::Surroundings::default(),
    };
    let mut many = Many::new(look, &KIND);
    for page in pages {
        let page: Vec<_> = page.iter().map(|text| raw(text)).collect();
        many.page(&page, streams.out).unwrap();
    }
    many.finish(&mut streams).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(out), text(err))
}

fn shown_one(format: Format, thing: &str) -> String {
    let mut out = Vec::new();
    one(&look(format), &KIND, &raw(thing), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_table_is_aligned_and_its_heading_stands_once() {
    let (out, err) = listed(look(Format::Table), &[&[FIRST], &[SECOND]]);

    assert_eq!(
        out,
        "ID  STATE    AT\na   success  2026-01-31T12:00:00Z\nbcd  fail     -\n"
    );
    assert_eq!(err, "");
}

#[test]
fn a_person_sees_how_long_ago_it_was() {
    let relative = Look {
        relative: true,
        quiet: true,
        ..look(Format::Table)
    };

    assert_eq!(listed(relative, &[&[FIRST]]).0, "a  success  4m ago\n");
}

#[test]
fn a_wide_table_has_more_columns_and_nothing_in_it_moves_the_cursor() {
    let (out, _) = listed(look(Format::Wide), &[&[SECOND]]);

    assert_eq!(out, "ID   STATE  AT  NOTE\nbcd  fail   -   a [2Jb\n");
}

#[test]
fn colour_goes_around_the_words_and_not_around_the_blanks() {
    let coloured = Look {
        colour: true,
        quiet: true,
        ..look(Format::Table)
    };

    let (out, _) = listed(coloured, &[&[FIRST]]);

    assert_eq!(out, "a  \u{1b}[32msuccess\u{1b}[0m  2026-01-31T12:00:00Z\n");
}

#[test]
fn json_of_a_list_is_one_array_over_all_pages_with_every_digit() {
    let (out, _) = listed(look(Format::Json), &[&[FIRST], &[SECOND]]);

    assert_eq!(out, format!("[\n  {FIRST},\n  {SECOND}\n]\n"));
    assert_eq!(listed(look(Format::Json), &[]).0, "[]\n");
}

#[test]
fn ndjson_is_a_line_each_and_ids_are_alone() {
    let pages: &[&[&str]] = &[&[FIRST, SECOND]];

    assert_eq!(
        listed(look(Format::Ndjson), pages).0,
        format!("{FIRST}\n{SECOND}\n")
    );
    assert_eq!(listed(look(Format::Id), pages).0, "a\nbcd\n");
}

#[test]
fn an_empty_table_says_so_beside_the_data() {
    let (out, err) = listed(look(Format::Table), &[&[]]);

    assert_eq!((out.as_str(), err.as_str()), ("", "There are no things.\n"));
}

#[test]
fn one_thing_is_shown_field_by_field_in_the_servers_order() {
    let thing = r#"{"id":"a","eventTypes":["x","y"],"n":1e400,"o":{"b":1,"a":2}}"#;

    assert_eq!(
        shown_one(Format::Table, thing),
        "id          a\neventTypes  x, y\nn           1e400\no           {\"b\":1,\"a\":2}\n"
    );
}

#[test]
fn yaml_reads_back_as_what_it_was() {
    let thing = r#"{"id":"a","no":"yes","empty":[],"list":[1,{"b":"x: y","a":[true]},[2]],"z":{}}"#;

    assert_eq!(
        shown_one(Format::Yaml, thing),
        "id: a\n\
         \"no\": \"yes\"\n\
         empty: []\n\
         list:\n\
         \x20 - 1\n\
         \x20 - b: \"x: y\"\n\
         \x20   a:\n\
         \x20     - true\n\
         \x20 -\n\
         \x20   - 2\n\
         z: {}\n"
    );
}

#[test]
fn yaml_of_something_very_deep_ends() {
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));

    let out = shown_one(Format::Yaml, &deep);

    assert_eq!(out.lines().count(), yaml::DEPTH_MAX + 1, "{out}");
}

#[test]
fn times_lie_behind_and_before() {
    let now = at("2026-01-31T12:00:00Z");
    let ago = |text: &str| cell::ago(at(text), now);

    assert_eq!(ago("2026-01-31T11:59:58Z"), "2s ago");
    assert_eq!(ago("2026-01-31T10:30:00Z"), "1h ago");
    assert_eq!(ago("2025-01-31T12:00:00Z"), "365d ago");
    assert_eq!(ago("2026-01-31T12:10:00Z"), "in 10m");
}

/// E9: YAML is for people too, and a message of a server is told on a terminal.
#[test]
fn texts_for_a_terminal_are_written_with_escapes() {
    const EVIL: &str = "a\u{1b}[2J\u{9b}31m\u{202e}b\u{2028}";
    let json = serde_json::to_string(&serde_json::json!({ "note": EVIL })).unwrap();

    for format in [Format::Table, Format::Wide, Format::Yaml] {
        let mut out = Vec::new();
        one(&look(format), &KIND, &raw(&json), &mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let acting = out.trim_end().chars().find(|c| crate::text::is_acting(*c));
        assert_eq!(acting, None, "{out:?}");
        if format == Format::Yaml {
            let value = out.trim_end().strip_prefix("note: ").unwrap();
            assert_eq!(serde_json::from_str::<String>(value).unwrap(), EVIL);
        }
    }
    let body = serde_json::to_vec(&serde_json::json!({ "detail": EVIL })).unwrap();
    let failure = Failure::answered(http::StatusCode::BAD_GATEWAY, None, &body);
    assert!(!failure.message().chars().any(crate::text::is_acting));
}

//! Events in each of the three packings, and what is none.

use super::*;

const JSON: &str = "application/cloudevents+json; charset=utf-8";
const EVENT: &str = r#"{"specversion":"1.0","id":"A234","source":"/shop","type":"order.paid",
 "subject":"o-1","time":"2026-01-31T12:00:00Z","traceparent":"00-a-b-01","count":3,"gone":null,
 "data":{"total": 12.50}}"#;

fn read_from<'a>(
    headers: &'a [(&'a str, &'a [u8])],
    body: &'a [u8],
) -> Result<Vec<Event<'a>>, InvalidEvents> {
    read(&Request {
        method: "POST",
        url: None,
        headers,
        body,
        fetched: None,
    })
}

fn structured_from(body: &str) -> Result<Event<'_>, Fault> {
    const HEADERS: [(&str, &[u8]); 1] = [("Content-Type", JSON.as_bytes())];
    let read = read_from(&HEADERS, body.as_bytes());
    match read {
        Ok(mut events) => Ok(events.remove(0)),
        Err(InvalidEvents::Event { index: 0, fault }) => Err(fault),
        Err(other) => panic!("{other}"),
    }
}

fn binary_from(more: &[(&str, &str)]) -> Result<String, InvalidEvents> {
    let known = [
        ("CE-Id", "1"),
        ("ce-SpecVersion", "1.0"),
        ("ce-source", "/s"),
        ("ce-type", "a.b"),
        ("Content-Type", "text/csv"),
    ];
    let kept = known
        .iter()
        .filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
    let headers: Vec<_> = kept
        .chain(more)
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    read_from(&headers, b"a,b\n").map(|events| format!("{:?}", events[0]))
}

#[test]
fn a_structured_event_is_read_and_its_bytes_are_kept() {
    let event = structured_from(EVENT).unwrap();

    assert_eq!(
        (event.id.as_str(), event.source.as_str()),
        ("A234", "/shop")
    );
    assert_eq!(event.kind, "order.paid");
    assert_eq!(event.subject.as_deref(), Some("o-1"));
    assert_eq!(event.time.as_deref(), Some("2026-01-31T12:00:00Z"));
    assert_eq!(event.data_content_type.as_deref(), Some("application/json"));
    assert_eq!(event.extensions["traceparent"], "00-a-b-01");
    assert_eq!(event.extensions["count"], "3");
    assert!(!event.extensions.contains_key("gone"));
    assert_eq!((event.bytes, event.is_structured), (EVENT.as_bytes(), true));
}

#[test]
fn a_binary_event_is_its_headers_and_its_body() {
    let headers: [(&str, &[u8]); 6] = [
        ("CE-ID", b"1"),
        ("ce-specversion", b"1.0"),
        ("ce-source", b"/s%C3%A9/100%"),
        ("ce-type", b"a.b"),
        ("ce-traceparent", b"00-a-b-01"),
        ("Content-Type", b"text/csv"),
    ];

    let events = read_from(&headers, b"a,b\n").unwrap();

    assert_eq!(events[0].source, "/s\u{e9}/100%");
    assert_eq!(events[0].data_content_type.as_deref(), Some("text/csv"));
    assert_eq!(events[0].extensions["traceparent"], "00-a-b-01");
    assert_eq!(
        (events[0].bytes, events[0].is_structured),
        (&b"a,b\n"[..], false)
    );
}

#[test]
fn a_batch_is_many_events_each_the_slice_that_it_stands_in() {
    let other = r#"{"specversion":"1.0","id":"2","source":"/s","type":"b","data_base64":"AA=="}"#;
    let batch = format!("[ {EVENT} ,\n{other}]");
    let headers = [("content-type", &b"application/cloudevents-batch+json"[..])];

    let events = read_from(&headers, batch.as_bytes()).unwrap();

    assert_eq!(events.len(), 2);
    assert_eq!(events[0].bytes, EVENT.as_bytes());
    assert_eq!(
        (events[1].bytes, events[1].id.as_str()),
        (other.as_bytes(), "2")
    );
    assert_eq!(read_from(&headers, b"[]"), Ok(Vec::new()));
    let many = format!("[{}]", vec![other; BATCH_MAX + 1].join(","));
    assert_eq!(
        read_from(&headers, many.as_bytes()),
        Err(InvalidEvents::TooMany)
    );
}

#[test]
fn one_bad_event_is_named_by_its_place_in_the_batch() {
    let batch = format!(r#"[{EVENT},{{"specversion":"1.0","id":"2","source":"/s"}}]"#);
    let headers = [("content-type", &b"application/cloudevents-batch+json"[..])];

    let refused = read_from(&headers, batch.as_bytes()).unwrap_err();

    assert_eq!(refused.to_string(), "event 1: `type` is missing or empty");
}

#[test]
fn what_an_event_must_have_is_asked_for() {
    let with = |from: &str, to: &str| structured_from(&EVENT.replace(from, to)).map(|_| ());

    assert_eq!(with(r#""id":"A234","#, ""), Err(Fault::Missing("id")));
    assert_eq!(with("A234", ""), Err(Fault::Missing("id")));
    assert_eq!(with("/shop", ""), Err(Fault::Missing("source")));
    assert_eq!(with("order.paid", ""), Err(Fault::Missing("type")));
    assert_eq!(with("\"1.0\"", "\"0.3\""), Err(Fault::Version));
    assert_eq!(
        with("\"1.0\"", "1.0"),
        Ok(()),
        "some senders write a number"
    );
    assert_eq!(
        with("A234", &"a".repeat(257)),
        Err(Fault::TooLong("id".into()))
    );
    assert_eq!(
        with("o-1", &"a".repeat(2_049)),
        Err(Fault::TooLong("subject".into()))
    );
    assert_eq!(
        with("o-1", "a\\nb"),
        Err(Fault::Malformed("subject".into()))
    );
    assert_eq!(
        with("\"count\"", "\"Count\""),
        Err(Fault::Malformed("Count".into()))
    );
    assert_eq!(with("3", "[3]"), Err(Fault::Malformed("count".into())));
    let twice = r#""id":"A234","id":"B","#;
    assert_eq!(
        with(r#""id":"A234","#, twice),
        Err(Fault::Repeated("id".into()))
    );
    let both = r#""data_base64":"AA==","data""#;
    assert_eq!(with("\"data\"", both), Err(Fault::TwoData));
}

#[test]
fn bad_headers_are_refused() {
    assert!(binary_from(&[]).is_ok());
    for (header, words) in [
        (("ce-source", ""), "`source` is missing"),
        (("ce-specversion", "1.1"), "not 1.0"),
        (("ce-id", "2"), "`id` comes more than once"),
        (("ce-a_b", "x"), "`a_b` is not"),
        (("ce-subject", "a%00b"), "`subject` is not"),
        (("ce-subject", "%ff"), "`subject` is not"),
    ] {
        let refused = match header {
            // Replaced, not repeated.
            ("ce-specversion", value) => binary_from(&[("ce-SpecVersion", value)]),
            header => binary_from(&[header]),
        };
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(words), "{header:?}: {refused}");
    }
}

#[test]
fn what_is_no_event_is_told_from_a_bad_one() {
    let read = |content_type: &'static str, body: &'static str| {
        read_from(
            &[("Content-Type", content_type.as_bytes())],
            body.as_bytes(),
        )
        .unwrap_err()
    };

    assert_eq!(
        read("application/json", "{}"),
        InvalidEvents::NotCloudEvents
    );
    assert_eq!(
        read("application/cloudevents+avro", ""),
        InvalidEvents::Format
    );
    assert!(read("application/json", "{}").is_content_type());
    assert!(matches!(read(STRUCTURED, "{"), InvalidEvents::Json(_)));
    assert!(matches!(read(BATCH, "{}"), InvalidEvents::Json(_)));
    assert!(matches!(
        read(STRUCTURED, "[]"),
        InvalidEvents::Event { .. }
    ));
    let deep: &'static str = "[".repeat(100_000).leak();
    assert!(matches!(read(BATCH, deep), InvalidEvents::Json(_)));
}

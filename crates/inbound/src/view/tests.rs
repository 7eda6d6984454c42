//! Bodies of every kind, whole and broken.

use super::*;

fn read(content_type: &str, text: impl AsRef<[u8]>) -> (Kind, Value) {
    let Body { kind, value } = body(Some(content_type), text.as_ref());
    (kind, value)
}

#[test]
fn json_is_what_it_says() {
    let expected = (Kind::Json, json!({"a": [1, null]}));
    for content_type in [
        "application/json",
        "Application/CloudEvents+JSON; a=b",
        "text/plain",
        "",
    ] {
        assert_eq!(
            read(content_type, r#"{"a":[1,null]}"#),
            expected,
            "{content_type}"
        );
    }
    assert_eq!(read("application/json", "17"), (Kind::Json, json!(17)));
    assert_eq!(read("text/plain", "17"), (Kind::Text, json!("17")));
    assert_eq!(read("text/csv", "[1]"), (Kind::Text, json!("[1]")));
}

#[test]
fn what_cannot_be_read_is_kept_as_text_or_as_bytes() {
    assert_eq!(read("application/json", "{"), (Kind::Text, json!("{")));
    let deep = "[".repeat(100_000);
    assert_eq!(read("application/json", &deep).0, Kind::Text);
    assert_eq!(read("application/xml", "<a>"), (Kind::Text, json!("<a>")));
    let bytes = [0, 255, 1];
    let expected = json!({"size": 3, "base64": "AP8B"});
    assert_eq!(read("image/png", bytes), (Kind::Binary, expected));
    let large = vec![255; BINARY_SHOWN_MAX + 1];
    let expected = json!({"size": BINARY_SHOWN_MAX + 1});
    assert_eq!(read("image/png", large), (Kind::Binary, expected));
    assert_eq!(read("application/json", ""), (Kind::Empty, Value::Null));
}

#[test]
fn a_body_that_is_too_long_to_take_apart_is_shown_as_it_is() {
    let text = format!("[{}1]", "1,".repeat(PARSED_MAX / 2));
    assert_eq!(
        read("application/json", &text),
        (Kind::Text, Value::from(text))
    );
}

#[test]
fn forms_have_texts_and_arrays_where_a_name_comes_again() {
    let (kind, value) = read("application/x-www-form-urlencoded", "a=1&b=%C3%A9+x&a=2&c");

    assert_eq!(kind, Kind::Form);
    assert_eq!(value, json!({"a": ["1", "2"], "b": "\u{e9} x", "c": ""}));
    let many = "a=1&".repeat(FIELDS_MAX + 1);
    assert_eq!(
        read("application/x-www-form-urlencoded", many).0,
        Kind::Text
    );
}

#[test]
fn multipart_has_fields_and_files() {
    let body = "preamble\r\n--x y\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
        --x y \r\ncontent-disposition: form-data; filename=\"b \\\"c\\\".txt\"; name=f\r\n\
        Content-Type: text/plain\r\n\r\nfile\r\n\r\n--x y\r\n\r\nbare\r\n--x y--\r\nepilogue";

    let (kind, value) = read("multipart/form-data; charset=utf-8; boundary=\"x y\"", body);

    assert_eq!(kind, Kind::Multipart);
    let file = json!({
        "size": 6, "base64": "ZmlsZQ0K", "filename": "b \"c\".txt", "contentType": "text/plain",
    });
    assert_eq!(value, json!({"a": "1", "f": file, "": "bare"}));
}

#[test]
fn multipart_that_is_broken_is_text() {
    let is_text = |content_type: &str, body: &str| {
        assert_eq!(
            read(content_type, body).0,
            Kind::Text,
            "{content_type} {body:?}"
        );
    };

    is_text("multipart/form-data", "--x\r\n\r\n1\r\n--x--");
    is_text("multipart/form-data; boundary=x", "--x\r\n\r\n1\r\n");
    is_text("multipart/form-data; boundary=x", "--x");
    is_text("multipart/form-data; boundary=x", "--xy\r\n\r\n1\r\n--x--");
    is_text("multipart/form-data; boundary=\"x", "--x\r\n\r\n1\r\n--x--");
    let many = format!("{}--x--", "--x\r\n\r\n1\r\n".repeat(PARTS_MAX + 1));
    is_text("multipart/form-data; boundary=x", &many);
}

#[test]
fn xml_has_elements_attributes_and_text() {
    let document = "\u{feff}<?xml version=\"1.0\"?><!-- c --><feed a=\"1 &amp; 2\">\
        <entry>one</entry><entry>t&lt;w&#111;</entry><empty/>\
        <mixed x='y'>text<![CDATA[<raw>]]></mixed>\
        </feed>";

    let (kind, value) = read("application/atom+xml", document);

    assert_eq!(kind, Kind::Xml);
    let expected = json!({"feed": {
        "@a": "1 & 2", "entry": ["one", "t<wo"], "empty": "",
        "mixed": {"@x": "y", "#text": "text<raw>"},
    }});
    assert_eq!(value, expected);
}

/// A document cannot make us read a file, call anybody, or grow.
#[test]
fn xml_knows_no_entities_of_its_own_and_no_end_of_depth() {
    for document in [
        "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>",
        "<!DOCTYPE a [<!ENTITY b \"bb\"><!ENTITY c \"&b;&b;\">]><a>&c;</a>",
        "<a>&unknown;</a>",
        "<a>&#0;</a>",
        "<a/><b/>",
        "<a></b>",
        "text<a/>",
        "",
        " ",
    ] {
        assert!(xml::parse(document.as_bytes()).is_none(), "{document}");
    }
    let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert!(xml::parse(nested(DEPTH_MAX).as_bytes()).is_some());
    assert!(xml::parse(nested(DEPTH_MAX + 1).as_bytes()).is_none());
    let wide = |count: usize| format!("<r>{}</r>", "<a/>".repeat(count));
    assert!(xml::parse(wide(ELEMENTS_MAX - 1).as_bytes()).is_some());
    assert!(xml::parse(wide(ELEMENTS_MAX).as_bytes()).is_none());
    let attributes = |count: usize| format!("<a {}/>", "b='' ".repeat(count));
    assert!(xml::parse(attributes(ATTRIBUTES_MAX).as_bytes()).is_some());
    assert!(xml::parse(attributes(ATTRIBUTES_MAX + 1).as_bytes()).is_none());
}

#[test]
fn a_view_has_everything_of_the_request() {
    let headers: [(&str, &[u8]); 4] = [
        ("Content-Type", b"application/json"),
        ("X-Twice", b"a"),
        ("x-twice", b"b"),
        ("X-Odd", &[0xff]),
    ];
    let request = Request {
        method: "POST",
        url: None,
        headers: &headers,
        body: b"{\"id\":1}",
        fetched: None,
    };

    let view = view(&request, "/in/x?a=1&a=2&b=c%20d");

    let expected = json!({
        "method": "POST",
        "path": "/in/x",
        "query": {"a": ["1", "2"], "b": "c d"},
        "headers": {"content-type": "application/json", "x-twice": "a, b", "x-odd": "\u{fffd}"},
        "body": {"id": 1},
        "bodyKind": "json",
    });
    assert_eq!(view, expected);
}

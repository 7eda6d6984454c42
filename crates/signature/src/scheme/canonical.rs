//! What a few providers sign that is not simply a part of the request.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::{constant_time, digest};

use super::encoding::decode_hex;
use super::location::Location;
use super::refused::Refused;
use super::request::{Request, View};

/// The most fields of a form that are sorted.
const FIELDS_MAX: usize = 1_000;
/// The most headers that a header may list.
const LISTED_MAX: usize = 64;

/// The fields of a form sorted by name, each name followed by its values, with nothing between.
///
/// Values of one name are sorted and each counts once, which is what the provider's own libraries
/// do with them.
pub(super) fn form(body: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut fields = BTreeMap::<_, BTreeSet<_>>::new();
    for (count, (name, value)) in form_urlencoded::parse(body).enumerate() {
        if count >= FIELDS_MAX {
            return Err(Refused::TooManyFields);
        }
        fields.entry(name).or_default().insert(value);
    }
    let mut signed = Vec::new();
    for (name, values) in fields {
        for value in values {
            signed.extend_from_slice(name.as_bytes());
            signed.extend_from_slice(value.as_bytes());
        }
    }
    Ok(signed)
}

/// Twilio: the fields of a form; of another body nothing, where the signed URL has its hash.
pub(super) fn twilio_form(request: Request<'_>) -> Result<Vec<u8>, Refused> {
    let query = request.query().unwrap_or_default();
    let mut hashes = form_urlencoded::parse(query.as_bytes())
        .filter(|(name, _)| name == "bodySHA256")
        .map(|(_, value)| value);
    let hash = hashes.next();
    let is_form = request.is_form().unwrap_or(hash.is_none());
    match hash {
        _ if is_form || request.body.is_empty() => form(request.body),
        None => Err(Refused::BodyNotCovered {
            why: "it is no form, and the URL has no `bodySHA256`",
        }),
        Some(hash) => {
            let expected = decode_hex(&hash).unwrap_or_default();
            let found = digest::digest(&digest::SHA256, request.body);
            constant_time::verify_slices_are_equal(found.as_ref(), &expected)
                .map(|()| Vec::new())
                .map_err(|_| Refused::BodyNotCovered {
                    why: "its hash is not the `bodySHA256` of the URL",
                })
        }
    }
}

/// Twilio: the URL without its port, or with the port that its scheme has by default.
pub(super) fn twilio_url(url: &str, variant: usize) -> Cow<'_, str> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Cow::Borrowed(url);
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    let default = if scheme == "http" { "80" } else { "443" };
    let port = host.rsplit_once(':').filter(|(_, port)| {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        !port.is_empty() && digits
    });
    match (port, variant) {
        (Some((host, _)), 1) => Cow::Owned(format!("{scheme}://{host}{path}")),
        (None, 1) => Cow::Owned(format!("{scheme}://{host}:{default}{path}")),
        _ => Cow::Borrowed(url),
    }
}

/// HubSpot: the URL with these escapes, and no others, undone.
pub(super) fn hubspot_url(url: &str) -> String {
    const ESCAPES: [(&str, &str); 13] = [
        ("%3A", ":"),
        ("%2F", "/"),
        ("%3F", "?"),
        ("%40", "@"),
        ("%21", "!"),
        ("%24", "$"),
        ("%27", "'"),
        ("%28", "("),
        ("%29", ")"),
        ("%2A", "*"),
        ("%2C", ","),
        ("%3B", ";"),
        ("%7E", "~"),
    ];
    let mut out = String::with_capacity(url.len());
    let mut rest = url;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let escape = rest.get(..3).and_then(|found| {
            let mut escapes = ESCAPES.iter();
            escapes.find(|(escape, _)| escape.eq_ignore_ascii_case(found))
        });
        let (taken, text) = escape.map_or((1, "%"), |(_, text)| (3, text));
        out.push_str(text);
        rest = &rest[taken..];
    }
    out + rest
}

/// Contentful: `encodeURI(path + '?' + escape(query))`, so that a query is escaped twice.
pub(super) fn contentful_uri(request: Request<'_>) -> Result<String, Refused> {
    const URI: &[u8] = b"-_.!~*'();/?:@&=+$,#";
    const COMPONENT: &[u8] = b"-_.!~*'()";
    let whole = request.path_and_query().ok_or(Refused::UrlUnknown)?;
    let uri = match whole.split_once('?') {
        Some((path, query)) if !query.is_empty() => {
            format!("{path}?{}", escaped(query, COMPONENT))
        }
        Some((path, _)) => path.to_owned(),
        None => whole.to_owned(),
    };
    Ok(escaped(&uri, URI))
}

fn escaped(text: &str, kept: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&super::encoding::encode_hex(&[byte]).to_ascii_uppercase());
        }
    }
    out
}

/// The headers that another header lists, sorted, as `name:value;name:value`.
pub(super) fn listed_headers(list: &str, request: Request<'_>) -> Result<String, Refused> {
    let missing = |name: &str| Refused::PartMissing {
        place: Location::Header(name.into()).to_string(),
    };
    let names = request.only(list)?.ok_or_else(|| missing(list))?;
    let names: BTreeSet<_> = names
        .split(',')
        .map(|name| name.trim_ascii().to_ascii_lowercase())
        .collect();
    if names.len() > LISTED_MAX {
        return Err(Refused::HeaderTooLong { name: list.into() });
    }
    let mut signed = Vec::with_capacity(names.len());
    for name in names {
        let value = request.only(&name)?.ok_or_else(|| missing(&name))?;
        signed.push(format!("{name}:{value}"));
    }
    Ok(signed.join(";"))
}

/// Amazon SNS: fields of the body, one name and one value a line.
///
/// The documentation and the provider's own library disagree on what is signed of an
/// `UnsubscribeConfirmation`; either is accepted.
pub(super) fn sns(view: &View<'_>, variant: usize) -> Result<String, Refused> {
    const NOTIFICATION: [&str; 7] = [
        "Message",
        "MessageId",
        "Subject",
        "SubscribeURL",
        "Timestamp",
        "TopicArn",
        "Type",
    ];
    const CONFIRMATION: [&str; 7] = [
        "Message",
        "MessageId",
        "SubscribeURL",
        "Timestamp",
        "Token",
        "TopicArn",
        "Type",
    ];
    let missing = |name: &str| Refused::PartMissing {
        place: Location::Json(name.into()).to_string(),
    };
    let body = view.json().and_then(|body| body.as_object());
    let body = body.ok_or_else(|| missing("Type"))?;
    let text = |name: &str| body.get(name).and_then(|value| value.as_str());
    let names = match text("Type") {
        Some("SubscriptionConfirmation") => CONFIRMATION,
        Some("UnsubscribeConfirmation") if variant == 0 => CONFIRMATION,
        Some("Notification" | "UnsubscribeConfirmation") => NOTIFICATION,
        _ => return Err(missing("Type")),
    };
    let mut signed = String::new();
    for name in names {
        match text(name) {
            Some(value) => {
                signed.push_str(name);
                signed.push('\n');
                signed.push_str(value);
                signed.push('\n');
            }
            None if matches!(name, "Subject" | "SubscribeURL" | "Token") => {}
            None => return Err(missing(name)),
        }
    }
    Ok(signed)
}

/// What Adyen signs of a notification, in this order.
const ADYEN_FIELDS: [&str; 8] = [
    "pspReference",
    "originalReference",
    "merchantAccountCode",
    "merchantReference",
    "amount.value",
    "amount.currency",
    "eventCode",
    "success",
];

/// Says whether a path in the body is one of what Adyen signs.
pub(super) fn adyen_signs(path: &str) -> bool {
    let field = path.strip_prefix("notificationItems.0.NotificationRequestItem.");
    field.is_some_and(|field| ADYEN_FIELDS.contains(&field))
}

/// Adyen: a few fields of the one notification that the body holds, with colons between.
///
/// Every notification has a signature of its own, and only the first one's is looked at: a body
/// with more of them is refused, so that none gets in beside one that is signed.
pub(super) fn adyen(view: &View<'_>) -> Result<String, Refused> {
    let missing = || Refused::PartMissing {
        place: Location::Json("notificationItems.0.NotificationRequestItem".into()).to_string(),
    };
    let items = view.json().and_then(|body| body.get("notificationItems"));
    let items = items.and_then(|items| items.as_array());
    match items.ok_or_else(missing)?.as_slice() {
        [item] => {
            let item = item.get("NotificationRequestItem").ok_or_else(missing)?;
            let fields = ADYEN_FIELDS.map(|path| Location::in_json(path, item).unwrap_or_default());
            Ok(fields.join(":"))
        }
        [] => Err(missing()),
        _ => Err(Refused::BodyNotCovered {
            why: "it has more than one notification, and one signature counts for one",
        }),
    }
}

/// The body as a string of JSON, escaped as JavaScript does.
pub(super) fn json_string(body: &[u8]) -> Result<String, Refused> {
    let text = str::from_utf8(body).map_err(|_| Refused::BodyNotCovered {
        why: "it is not UTF-8",
    })?;
    Ok(serde_json::to_string(text).expect("every text is a string of JSON"))
}

/// CRC-32 as in gzip.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        let crc = crc ^ u32::from(*byte);
        (0..8).fold(crc, |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    };
    !bytes.iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(url: &str) -> Request<'_> {
        Request {
            method: "POST",
            url: Some(url),
            headers: &[],
            body: b"",
            fetched: None,
        }
    }

    #[test]
    fn crc32_gives_the_well_known_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn form_fields_are_sorted_and_their_values_count_once() {
        let signed = form(b"b=2&a=z&a=y&a=z&c=x+y%21").unwrap();

        assert_eq!(String::from_utf8(signed).unwrap(), "ayazb2cx y!");
        let many = "a=1&".repeat(FIELDS_MAX + 1);
        assert_eq!(form(many.as_bytes()), Err(Refused::TooManyFields));
    }

    #[test]
    fn a_url_is_tried_with_and_without_its_port() {
        for (url, other) in [
            ("https://a.example/x?y=1:2", "https://a.example:443/x?y=1:2"),
            ("http://a.example", "http://a.example:80"),
            ("https://a.example:443/x", "https://a.example/x"),
            ("http://a.example:1234/x", "http://a.example/x"),
        ] {
            assert_eq!(twilio_url(url, 0), url);
            assert_eq!(twilio_url(url, 1), other);
        }
    }

    #[test]
    fn hubspot_undoes_some_escapes_only() {
        assert_eq!(
            hubspot_url("https://a.example/%7e%3Fx%20%?y=%2f%"),
            "https://a.example/~?x%20%?y=/%"
        );
    }

    #[test]
    fn contentful_escapes_a_query_twice() {
        let uri = |url| contentful_uri(request(url)).unwrap();

        assert_eq!(uri("https://a.example"), "/");
        assert_eq!(uri("https://a.example/hook"), "/hook");
        assert_eq!(uri("https://a.example/a%20b"), "/a%2520b");
        assert_eq!(uri("https://a.example/h?a=1&b=2"), "/h?a%253D1%2526b%253D2");
    }
}

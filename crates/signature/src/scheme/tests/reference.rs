//! The page about providers is written from the presets.

use std::fmt::Write as _;

use super::*;
use crate::scheme::preset::{FILES, read};

const PAGE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../docs/reference/providers.md"
);

const INTRODUCTION: &str = "\
# Providers

How the requests of each provider are verified. A name in `code` is what `--scheme` of
`posthaste verify` takes and what a source has as its provider.

- Verification is over the bytes as they came, before anything is decoded, and refuses whatever is
  missing, comes twice or is not as it must be.
- Any of a source's secrets may have signed, so a secret can be changed without a gap.
- A time that is signed must be within the tolerance on both sides; a source can set another.
- An id that the signature does not cover can be changed by whoever repeats a request.
- **Unconfirmed** means that nothing of the provider's own was compared. Try such a provider with a
  request that you know to be good (`posthaste verify --scheme NAME …`) before you rely on it.
- Where to click is what it was when this was written; providers move it now and then.

For a provider that is not here, write a [scheme of your own](#a-scheme-of-your-own).
";

const CUSTOM: &str = "\
## A scheme of your own

`posthaste verify --scheme custom --scheme-file FILE` reads a scheme in TOML or JSON; a source
takes the same as its `scheme`.

```toml
# What is signed: text, and parts of the request in braces.
signed = \"{timestamp}.{body}\"
# hmac-sha1, hmac-sha256, hmac-sha384, hmac-sha512, sha256-concat, ed25519, ecdsa-p256, rsa-sha1,
# rsa-sha256; or token, where the secret itself is sent and nothing is signed.
algorithm = \"hmac-sha256\"
# How the signature is written: hex, base64, base64-url (without padding) or text.
encoding = \"hex\"
# Where ids to deduplicate by are, the best first, and the parts of the event type.
ids = [\"header:X-Delivery\", \"json:id\"]
event = [\"json:type\"]

[signature]
# Any of these places may hold it. With `separator` and `key` it is in `t=1,v1=…`; with `separator`
# and `prefix` in a list; with `prefix` alone behind it; with `auth` behind the name of an HTTP
# authentication scheme; with none of these it stands alone.
from = [\"header:X-Signature\"]
separator = \",\"
key = \"v1\"

[key]
# How the secret or public key is written: utf8 (as it stands), base64, hex or spki.
encoding = \"utf8\"

[timestamp]
from = [\"signature:t\"]
# seconds, milliseconds, rfc3339 or rfc1123; the tolerance in seconds.
unit = \"seconds\"
tolerance = 300
```

A place is `header:NAME`, `json:PATH` (keys and indices joined by full stops), `form:NAME`,
`query:NAME`, or `signature:KEY` for another entry of the signature header. `header:NAME-*` in
`from` is every header whose name goes on with a number.

| In `signed` | Is |
|---|---|
| `{body}` | the body, byte for byte |
| `{timestamp}`, `{id}` | the timestamp and the first id, as they are spelled |
| `{method}`, `{url}`, `{path}` | the method; the public URL; its path and query |
| `{secret}` | the secret, for `sha256-concat` |
| `{header:X}`, `{json:a.b}`, … | the text at a place; with `?` at its end: or nothing |
| `{form}` | the fields of a form sorted by name, each name followed by its values |
| `{headers:X}` | the headers that header X lists, as `name:value;name:value` |
| `{body.crc32}` | the body's CRC-32 in decimal |
| `{body.json-string}` | the body as a string of JSON |
| `{{`, `}}` | a brace |
";

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("\n| Name | Provider | Rests on |\n|---|---|---|\n");
    for (_, text) in FILES {
        for preset in read(text) {
            let (name, title) = (&preset.name, &preset.title);
            let rests = preset.confirmation.title();
            writeln!(page, "| [`{name}`](#{name}) | {title} | {rests} |").unwrap();
        }
    }
    for (heading, text) in FILES {
        write!(page, "\n## {heading}\n").unwrap();
        for preset in read(text) {
            section(&preset, &mut page);
        }
    }
    page.push('\n');
    page.push_str(CUSTOM);
    page
}

fn section(preset: &Preset, page: &mut String) {
    let scheme = &preset.scheme;
    let mut line = |text: String| writeln!(page, "{text}").unwrap();
    line(format!("\n### {}\n", preset.name));
    line(format!(
        "{}. Rests on {}.\n",
        preset.title,
        preset.confirmation.title()
    ));
    line(format!("- **Set up**: {}", preset.setup));
    line(format!("- **Secret**: {}", preset.secret));
    let signature = scheme.signature();
    let pattern = signature.pattern(scheme.encoding());
    line(format!(
        "- **Signature**: {}, as `{pattern}`",
        signature.places()
    ));
    let algorithm = scheme.algorithm().title();
    if scheme.algorithm() == Algorithm::Token {
        line("- **Verified**: that the secret is sent. Nothing of the request is signed.".into());
    } else {
        let signed = scheme.signed().as_str().replace('\n', "\\n");
        let key = scheme.key_form();
        let without = key.prefix.iter().map(|prefix| format!(" after `{prefix}`"));
        let reads = format!("{}{}", key.encoding.title(), without.collect::<String>());
        line(format!(
            "- **Signed**: `{signed}` with {algorithm}; the key is read as {reads}"
        ));
    }
    if let Some(rule) = scheme.timestamp() {
        let unit = rule.unit.title();
        let places: Vec<_> = rule.from.iter().map(Location::to_string).collect();
        let tolerance = rule
            .tolerance
            .map_or("any age is accepted".into(), |seconds| {
                format!("at most {seconds} s off")
            });
        line(format!(
            "- **Time**: {}: {unit}; {tolerance}",
            places.join(" or ")
        ));
    }
    let covered = |place: &Location| match (scheme.algorithm(), scheme.covers(place)) {
        (Algorithm::Token, _) | (_, false) => format!("{place} (not signed)"),
        (_, true) => format!("{place} (signed)"),
    };
    let ids: Vec<_> = scheme.ids().iter().map(covered).collect();
    let ids = if ids.is_empty() {
        "none".into()
    } else {
        ids.join(", then ")
    };
    let each = if preset.split {
        "; of each item of the body"
    } else {
        ""
    };
    line(format!("- **Id**: {ids}{each}"));
    if !scheme.event().is_empty() {
        let event: Vec<_> = scheme.event().iter().map(Location::to_string).collect();
        line(format!("- **Event type**: {}{each}", event.join(" and ")));
    }
    for handshake in &preset.handshakes {
        line(format!("- **Handshake**: {}", handshake.title()));
    }
    if !preset.notes.is_empty() {
        line(format!("- {}", preset.notes));
    }
}

#[test]
fn the_page_about_providers_says_what_the_presets_say() {
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();

    let hint = "write it anew: cargo test -p posthaste-signature write_the_page -- --ignored";
    assert!(
        written == page(),
        "docs/reference/providers.md is out of step; {hint}"
    );
}

/// Writes the page: `cargo test -p posthaste-signature write_the_page -- --ignored`
#[test]
#[ignore = "writes a file"]
fn write_the_page() {
    std::fs::write(PAGE, page()).unwrap();
}

#[test]
fn the_example_of_a_scheme_is_one() {
    let example = CUSTOM.split("```").nth(1).unwrap();
    let example = example.strip_prefix("toml\n").unwrap();

    assert!(
        Scheme::parse(example).is_ok(),
        "{:?}",
        Scheme::parse(example)
    );
}

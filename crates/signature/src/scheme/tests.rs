//! Requests for the tests of schemes, and how they end.

use super::*;

mod causes;
mod certificates;
mod reference;
mod round_trips;
mod security;
mod vectors;

use domain::Timestamp;

/// A request that a test can take apart.
#[derive(Clone, Debug, Default)]
struct Sent {
    method: String,
    url: Option<String>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    fetched: Option<(String, Vec<u8>)>,
}

impl Sent {
    fn post(body: impl AsRef<[u8]>) -> Self {
        Self {
            method: "POST".into(),
            body: body.as_ref().to_vec(),
            ..Self::default()
        }
    }

    fn to(mut self, url: &str) -> Self {
        self.url = Some(url.into());
        self
    }

    fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn header(&mut self, name: &str) -> Option<&mut String> {
        let mut headers = self.headers.iter_mut();
        headers
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Hands the request as the engine wants it to a function.
    fn as_request<T>(&self, f: impl FnOnce(&Request<'_>) -> T) -> T {
        let headers = self.headers.iter();
        let headers: Vec<_> = headers
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        f(&Request {
            method: &self.method,
            url: self.url.as_deref(),
            headers: &headers,
            body: &self.body,
            fetched: self
                .fetched
                .as_ref()
                .map(|(url, bytes)| Fetched { url, bytes }),
        })
    }

    fn verdict(&self, scheme: &Scheme, secrets: &[&str], now: i64) -> Verdict {
        let keys = secrets.iter().map(|secret| Key::parse(scheme, secret));
        let keys: Vec<_> = keys.map(|key| key.expect("a test's secret")).collect();
        let now = Timestamp::from_unix_seconds(now);
        self.as_request(|request| scheme.verify(request, &keys, now))
    }

    fn refused(&self, scheme: &Scheme, secrets: &[&str], now: i64) -> Refused {
        match self.verdict(scheme, secrets, now) {
            Verdict::Refused(refused) => refused,
            other => panic!("not refused: {other:?}"),
        }
    }

    fn verified(&self, scheme: &Scheme, secrets: &[&str], now: i64) -> Verified {
        match self.verdict(scheme, secrets, now) {
            Verdict::Verified(verified) => verified,
            other => panic!("not verified: {other:?}"),
        }
    }
}

fn scheme(name: &str) -> &'static Scheme {
    &preset(name)
        .unwrap_or_else(|| panic!("no preset {name}"))
        .scheme
}

#[test]
fn presets_have_names_of_their_own_in_lower_case() {
    let mut names: Vec<_> = presets()
        .iter()
        .map(|preset| preset.name.as_str())
        .collect();
    assert!(names.len() > 60, "{}", names.len());
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    assert!(
        names.iter().all(|name| name.chars().all(plain)),
        "{names:?}"
    );
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count, "a name comes twice");
    assert!(!names.contains(&"custom"));
}

#[test]
fn a_scheme_of_ones_own_is_read_from_toml_and_from_json() {
    let toml = "
        signed = \"{timestamp}.{body}\"
        algorithm = \"hmac-sha256\"
        encoding = \"hex\"
        [signature]
        from = [\"header:X-Sig\"]
        separator = \",\"
        key = \"v1\"
        [timestamp]
        from = [\"signature:t\"]
        unit = \"seconds\"
        tolerance = 60
    ";
    let json = r#"{
        "signature": {"from": ["header:X-Sig"], "separator": ",", "key": "v1"},
        "signed": "{timestamp}.{body}", "algorithm": "hmac-sha256", "encoding": "hex",
        "timestamp": {"from": ["signature:t"], "unit": "seconds", "tolerance": 60}
    }"#;

    assert_eq!(Scheme::parse(toml), Scheme::parse(json));
    assert!(Scheme::parse(toml).is_ok());
}

#[test]
fn schemes_that_would_trust_anybody_are_refused() {
    let parse = |signed: &str, algorithm: &str, more: &str| {
        let text = format!(
            "signature = {{ from = [\"header:X\"] }}\nsigned = \"{signed}\"\n\
             algorithm = \"{algorithm}\"\nencoding = \"hex\"\n{more}"
        );
        Scheme::parse(&text)
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let says = |result: Result<(), String>, words: &str| {
        let error = result.expect_err(words);
        assert!(error.contains(words), "{error}");
    };

    assert_eq!(parse("{body}", "hmac-sha256", ""), Ok(()));
    says(parse("", "hmac-sha256", ""), "is empty");
    says(parse("v1", "hmac-sha256", ""), "is empty");
    says(parse("{body}", "sha256-concat", ""), "no `{secret}`");
    says(parse("{body}", "token", ""), "must be empty");
    says(
        parse("{timestamp}{body}", "hmac-sha256", ""),
        "no `timestamp`",
    );
    says(
        parse("{id}{body}", "hmac-sha256", ""),
        "does not start with a header",
    );
    says(parse("{body}", "ed25519", ""), "does not suit");
    says(
        parse("{body}{signature:t}", "hmac-sha256", ""),
        "`key=value` pairs",
    );
    says(parse("{body", "hmac-sha256", ""), "brace");
    says(parse("{nobody}", "hmac-sha256", ""), "no part `nobody`");
    says(parse("{body}", "none", ""), "unknown variant");
    says(
        parse("{body}", "hmac-sha256", "tolerance = 5"),
        "unknown field",
    );
    says(
        parse("{body}", "hmac-sha256", "ids = [\"body\"]"),
        "no place in a request",
    );
}

#[test]
fn a_signature_header_of_two_forms_is_refused() {
    for signature in [
        "from = []",
        "from = [\"signature:t\"]",
        "from = [\"header:X\"], separator = \",\"",
        "from = [\"header:X\"], separator = \",\", key = \"a\", prefix = \"b\"",
        "from = [\"header:X\"], auth = \"Basic\", prefix = \"b\"",
    ] {
        let text = format!(
            "signature = {{ {signature} }}\nsigned = \"{{body}}\"\n\
             algorithm = \"hmac-sha256\"\nencoding = \"hex\""
        );
        assert!(Scheme::parse(&text).is_err(), "{signature}");
    }
}

#[test]
fn keys_are_read_as_the_scheme_has_them_and_never_shown() {
    let parse = |name, text: &str| Key::parse(scheme(name), text).map(|_| ());

    assert_eq!(parse("github", ""), Err(InvalidSecret::Empty));
    assert_eq!(parse("github", "  "), Err(InvalidSecret::Empty));
    assert_eq!(parse("svix", "whsec_"), Err(InvalidSecret::Empty));
    assert_eq!(
        parse("svix", "whsec_hunter2!"),
        Err(InvalidSecret::NotBase64)
    );
    assert_eq!(parse("onfleet", "xyz"), Err(InvalidSecret::NotHex));
    assert_eq!(parse("discord", "00ff"), Err(InvalidSecret::NotPublicKey));
    // The neutral element: anybody can sign for it.
    let weak = format!("01{}", "00".repeat(31));
    assert_eq!(parse("discord", &weak), Err(InvalidSecret::NotPublicKey));
    assert_eq!(parse("sendgrid", "AAAA"), Err(InvalidSecret::NotPublicKey));
    let long = "a".repeat(SECRET_LEN_MAX + 1);
    assert_eq!(parse("github", &long), Err(InvalidSecret::TooLong));
    assert_eq!(
        format!("{:?}", Key::parse(scheme("github"), "hunter2").unwrap()),
        "***"
    );
}

/// Found by a fuzzer: a key of thirty thousand parts ran the stack out.
#[test]
fn a_description_beyond_reason_is_refused() {
    let deep = format!("{}a = 1", "a.".repeat(SCHEME_LEN_MAX / 4));
    let long = "#".repeat(SCHEME_LEN_MAX + 1);

    assert!(matches!(
        Scheme::parse(&deep),
        Err(InvalidScheme::Syntax(_))
    ));
    assert_eq!(Scheme::parse(&long), Err(InvalidScheme::TooLong));
}

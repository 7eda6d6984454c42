//! What of a request that a source received is passed on to the endpoints of its messages.
//!
//! A request comes with headers that belong to its own connection, with credentials that were
//! meant for us, and with what proxies wrote on the way. None of these leaves again, whatever an
//! endpoint asks for.

/// How often a message may have been caused by a delivery before it is taken for a loop.
pub const HOPS_MAX: u64 = 3;

/// In which form an endpoint gets what a source received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeliverAs {
    /// As a message like all others, signed by us, with the headers of the request beside it.
    #[default]
    Message,
    /// As the request came: method, path, query, headers and body.
    Request,
}

impl DeliverAs {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Message, Self::Request];

    /// Returns its name.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Request => "request",
        }
    }

    /// Reads back a name.
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.slug() == slug)
    }
}

/// The headers of requests that an endpoint wants: names, or beginnings of names and `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderFilter(Vec<Box<str>>); // Invariant: passed `HeaderFilter::parse`.

impl HeaderFilter {
    /// The longest name.
    pub const NAME_LEN_MAX: usize = 128;
    /// The most names.
    pub const NAMES_MAX: usize = 64;

    /// Parses names of headers, each of which may end in `*`.
    pub fn parse<T: AsRef<str>>(names: &[T]) -> Result<Self, InvalidHeaderFilter> {
        if names.len() > Self::NAMES_MAX {
            return Err(InvalidHeaderFilter::TooMany(names.len()));
        }
        let parse = |name: &T| {
            let name = name.as_ref();
            let bare = name.strip_suffix('*').unwrap_or(name);
            let is_name = bare.bytes().all(is_name_byte);
            if name.is_empty() || name.len() > Self::NAME_LEN_MAX || !is_name {
                return Err(InvalidHeaderFilter::Name(name.escape_debug().to_string()));
            }
            Ok(name.to_ascii_lowercase().into_boxed_str())
        };
        let names = names.iter().map(parse);
        Ok(Self(names.collect::<Result<_, _>>()?))
    }

    /// Returns the names, in lower case.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|name| &**name)
    }

    /// Says whether a header, whose name is in lower case, is wanted.
    pub fn allows(&self, name: &str) -> bool {
        self.names().any(|wanted| match wanted.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == wanted,
        })
    }
}

/// What may stand in the name of a header.
const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'!' | b'+')
}

/// Why names of headers were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeaderFilter {
    /// There are too many.
    #[error("has {0} names; at most {max} are allowed", max = HeaderFilter::NAMES_MAX)]
    TooMany(usize),
    /// One of them is none.
    #[error("`{0}` is neither the name of a header nor the beginning of one and `*`")]
    Name(String),
}

/// Headers that belong to a connection (RFC 9110, 7.6.1), or to the framing of one request.
const HOP_BY_HOP: [&str; 14] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "webhook-hops",
];

/// Headers that are credentials wherever they come.
const CREDENTIALS: [&str; 14] = [
    "api-key",
    "authentication",
    "authorization",
    "cookie",
    "set-cookie",
    "x-access-token",
    "x-amz-security-token",
    "x-api-key",
    "x-api-token",
    "x-auth-token",
    "x-csrf-token",
    "x-hook-secret",
    "x-secret",
    "x-xsrf-token",
];

/// What proxies write of whom a request came from. Anybody else can have written it too.
const OF_PROXIES: [&str; 6] = [
    "cf-connecting-ip",
    "fastly-client-ip",
    "forwarded",
    "true-client-ip",
    "via",
    "x-real-ip",
];

/// Says whether a header of a request, whose name is in lower case, may be passed on at all.
///
/// `connection` has the values of its `Connection` headers, which name others of the kind.
pub fn may_pass_on(name: &str, connection: &[&[u8]]) -> bool {
    let beginning = |text: &str| name.starts_with(text);
    !HOP_BY_HOP.contains(&name)
        && !CREDENTIALS.contains(&name)
        && !OF_PROXIES.contains(&name)
        && !beginning("proxy-")
        && !beginning("x-forwarded-")
        // Ours alone: whoever could write them could speak for us.
        && !beginning("posthaste-")
        && !is_named(name, connection)
}

fn is_named(name: &str, connection: &[&[u8]]) -> bool {
    let mut named = connection
        .iter()
        .flat_map(|value| value.split(|byte| *byte == b','));
    named.any(|one| one.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
}

/// Says whether what follows an inbound URL in a request's path is passed on: it begins with `/`
/// and has nothing in it that could lead anywhere but further down.
pub fn is_plain_suffix(suffix: &str) -> bool {
    let lower = suffix.to_ascii_lowercase();
    let climbs = |segment: &str| matches!(segment.replace("%2e", ".").as_str(), "." | "..");
    let visible = suffix.bytes().all(|byte| byte.is_ascii_graphic());
    suffix.is_empty()
        || suffix.starts_with('/')
            && visible
            && !suffix.contains(['\\', '?', '#'])
            && !lower.contains("%2f")
            && !lower.contains("%5c")
            && !lower.contains("%00")
            && !lower.split('/').any(climbs)
            && !lower.contains("//")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_a_connection_is_not_passed_on() {
        let connection: [&[u8]; 2] = [b"close, X-Internal", b"x-other"];
        for name in [
            "connection",
            "te",
            "keep-alive",
            "proxy-authorization",
            "proxy-connection",
            "upgrade",
            "transfer-encoding",
            "host",
            "x-internal",
            "x-other",
        ] {
            assert!(!may_pass_on(name, &connection), "{name}");
        }
        assert!(may_pass_on("x-internal", &[b"close"]));
    }

    #[test]
    fn credentials_and_what_proxies_say_are_not_passed_on() {
        for name in [
            "authorization",
            "cookie",
            "x-api-key",
            "x-hook-secret",
            "x-forwarded-for",
            "x-forwarded-host",
            "forwarded",
            "x-real-ip",
            "posthaste-id",
            "webhook-hops",
        ] {
            assert!(!may_pass_on(name, &[]), "{name}");
        }
        for name in ["x-github-event", "stripe-signature", "content-type"] {
            assert!(may_pass_on(name, &[]), "{name}");
        }
    }

    #[test]
    fn a_filter_has_names_and_beginnings() {
        let filter = HeaderFilter::parse(&["X-GitHub-*", "content-type"]).unwrap();

        for (name, wanted) in [
            ("x-github-event", true),
            ("content-type", true),
            ("content-types", false),
            ("x-git", false),
        ] {
            assert_eq!(filter.allows(name), wanted, "{name}");
        }
        assert!(!HeaderFilter::parse::<&str>(&[]).unwrap().allows("a"));
    }

    #[test]
    fn what_is_no_name_of_a_header_is_refused() {
        for bad in ["", "a b", "a:b", "a\r\nb", "*a", "ä", &"a".repeat(129)] {
            assert!(HeaderFilter::parse(&[bad]).is_err(), "{bad}");
        }
        assert!(HeaderFilter::parse(&["*"]).is_ok());
        let many = vec!["a"; HeaderFilter::NAMES_MAX + 1];
        let refused = HeaderFilter::parse(&many).unwrap_err();
        assert_eq!(refused, InvalidHeaderFilter::TooMany(65));
    }

    #[test]
    fn a_suffix_leads_down_and_nowhere_else() {
        for good in ["", "/", "/a", "/a/b.c", "/a/b%20c", "/...", "/a/"] {
            assert!(is_plain_suffix(good), "{good}");
        }
        for bad in [
            "a",
            "/..",
            "/a/../b",
            "/./a",
            "/%2e%2E/a",
            "/.%2e",
            "//a",
            "/a\\b",
            "/a%2fb",
            "/a%5Cb",
            "/a b",
            "/a\u{e9}",
            "/a%00",
            "/a?b",
            "/a#b",
        ] {
            assert!(!is_plain_suffix(bad), "{bad}");
        }
    }
}

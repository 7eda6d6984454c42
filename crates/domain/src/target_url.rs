//! URLs that messages are sent to, parsed once.
//!
//! Lenient parsing is how requests reach addresses that nobody meant to allow: URL parsers repair
//! back slashes, drop tabs, and read `0177.1` and `①②⑦.⓪.⓪.①` as `127.0.0.1`. So a URL is parsed
//! here and nowhere else, everything a parser would have to repair is refused, and what is kept
//! are the parts that a connection needs. No other parser ever sees the text.
//!
//! Whether the host may be called is not decided here but by [`crate::AddressPolicy`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A URL of a destination that speaks HTTP.
///
/// Starts with `http://` or `https://`, and has neither user information nor a fragment. The host
/// is a name of plain labels, or an address in a spelling that only one address has.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TargetUrl {
    text: Box<str>,
    scheme: UrlScheme,
    host: TargetHost,
    port: u16,
    path_and_query: Box<str>,
    host_header: Box<str>,
}

/// How a destination is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UrlScheme {
    /// In plain text.
    Http,
    /// Over TLS.
    Https,
}

/// The host of a [`TargetUrl`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TargetHost {
    /// A name in lower-case ASCII (Punycode where it was not ASCII), as given with or without
    /// a full stop at its end.
    Name(Box<str>),
    /// An address.
    Ip(IpAddr),
}

/// Why a text is no [`TargetUrl`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTargetUrl {
    /// Longer than [`TargetUrl::LEN_MAX`], as given or once non-ASCII characters are encoded.
    #[error("is longer than {} bytes", TargetUrl::LEN_MAX)]
    TooLong,
    /// A character that URL parsers drop or repair.
    #[error("has U+{:04X}, which is white space, a control or a back slash", u32::from(*.found))]
    BadCharacter {
        /// The first such character.
        found: char,
    },
    /// Not `http://` or `https://`.
    #[error("does not start with https:// or http://")]
    UnsupportedScheme,
    /// Nothing between the scheme and the path.
    #[error("has no host")]
    MissingHost,
    /// A user name or password; they belong into a header.
    #[error("has a user name or password")]
    UserInfo,
    /// A fragment; it is never sent, so it would be lost silently.
    #[error("has a fragment")]
    Fragment,
    /// Port 0.
    #[error("has port 0")]
    PortZero,
    /// A name that is too long, or has an empty or badly formed label.
    #[error("has a host name that is not made of letters, digits, hyphens and underscores")]
    BadHostName,
    /// An address in a form that programs read differently.
    #[error("has an address in an ambiguous form; write it as {plain}")]
    AmbiguousAddress {
        /// The address that it was read as.
        plain: IpAddr,
    },
    /// Anything else that keeps it from being a URL.
    #[error("is not a URL: {reason}")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
}

impl TargetUrl {
    /// The most bytes of a URL.
    pub const LEN_MAX: usize = 8_192;

    /// Parses a URL, and refuses what a lenient parser would repair.
    pub fn parse(text: &str) -> Result<Self, InvalidTargetUrl> {
        if text.len() > Self::LEN_MAX {
            return Err(InvalidTargetUrl::TooLong);
        }
        if let Some(found) = text.chars().find(|&c| is_repaired_by_parsers(c)) {
            return Err(InvalidTargetUrl::BadCharacter { found });
        }
        let (scheme, rest) = split_scheme(text).ok_or(InvalidTargetUrl::UnsupportedScheme)?;
        let written_host = written_host(rest)?;
        if rest.contains('#') {
            return Err(InvalidTargetUrl::Fragment);
        }
        let url = url::Url::parse(text).map_err(|error| InvalidTargetUrl::Malformed {
            reason: error.to_string(),
        })?;
        if url.port() == Some(0) {
            return Err(InvalidTargetUrl::PortZero);
        }
        let host = match url.host().ok_or(InvalidTargetUrl::MissingHost)? {
            url::Host::Domain(name) if is_host_name(name) => TargetHost::Name(name.into()),
            url::Host::Domain(_) => return Err(InvalidTargetUrl::BadHostName),
            url::Host::Ipv4(ip) => TargetHost::Ip(unambiguous(written_host, ip.into())?),
            url::Host::Ipv6(ip) => TargetHost::Ip(unambiguous(written_host, ip.into())?),
        };
        let path_and_query = &url[url::Position::BeforePath..url::Position::AfterQuery];
        if path_and_query.len() > Self::LEN_MAX {
            return Err(InvalidTargetUrl::TooLong);
        }
        Ok(Self {
            text: text.into(),
            scheme,
            host,
            port: url
                .port_or_known_default()
                .expect("http and https have one"),
            path_and_query: path_and_query.into(),
            host_header: url[url::Position::BeforeHost..url::Position::AfterPort].into(),
        })
    }

    /// Returns the text as given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the scheme.
    pub const fn scheme(&self) -> UrlScheme {
        self.scheme
    }

    /// Returns the host.
    pub const fn host(&self) -> &TargetHost {
        &self.host
    }

    /// Returns the port, the scheme's own where none was given.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns the path and the query as they go into a request line: ASCII, with a leading `/`.
    pub fn path_and_query(&self) -> &str {
        &self.path_and_query
    }

    /// Returns the value of the `Host` header: the host, and the port unless it is the scheme's.
    pub fn host_header(&self) -> &str {
        &self.host_header
    }

    /// Says whether requests to both may go over the same connection.
    pub fn same_origin(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.port == other.port && self.host == other.host
    }
}

/// Shows the URL without its query, which often carries a secret.
impl fmt::Debug for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let without_query = self.text.split('?').next().unwrap_or_default();
        f.debug_tuple("TargetUrl").field(&without_query).finish()
    }
}

/// Says whether URL parsers drop this character or take it for another one.
fn is_repaired_by_parsers(c: char) -> bool {
    c.is_control() || c.is_whitespace() || c == '\\'
}

/// Splits off `http://` or `https://` in any case.
///
/// The slashes are demanded: parsers take `http:host`, `http:/host` and `http:////host` for the
/// same as `http://host`.
fn split_scheme(text: &str) -> Option<(UrlScheme, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    if scheme.eq_ignore_ascii_case("https") {
        Some((UrlScheme::Https, rest))
    } else if scheme.eq_ignore_ascii_case("http") {
        Some((UrlScheme::Http, rest))
    } else {
        None
    }
}

/// Returns the host as it was written, without its port.
fn written_host(rest: &str) -> Result<&str, InvalidTargetUrl> {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(InvalidTargetUrl::UserInfo);
    }
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next(),
        None => authority.split(':').next(),
    };
    match host {
        Some(host) if !host.is_empty() => Ok(host),
        _ => Err(InvalidTargetUrl::MissingHost),
    }
}

/// Passes an address that was written in the one form that everybody reads the same.
///
/// The standard library's parser knows neither octal nor hexadecimal nor short forms nor other
/// scripts' digits. What it reads as the same address is plain.
fn unambiguous(written: &str, ip: IpAddr) -> Result<IpAddr, InvalidTargetUrl> {
    let plain = match ip {
        IpAddr::V4(ip) => written.parse::<Ipv4Addr>() == Ok(ip),
        IpAddr::V6(ip) => written.parse::<Ipv6Addr>() == Ok(ip),
    };
    if plain {
        Ok(ip)
    } else {
        Err(InvalidTargetUrl::AmbiguousAddress { plain: ip })
    }
}

/// Says whether a name that the parser has already lower-cased and encoded can be looked up.
fn is_host_name(name: &str) -> bool {
    const NAME_LEN_MAX: usize = 253;
    let name = name.strip_suffix('.').unwrap_or(name);
    name.len() <= NAME_LEN_MAX && name.split('.').all(is_label)
}

/// Underscores are no part of host names by the book, but container networks use them.
fn is_label(label: &str) -> bool {
    const LABEL_LEN_MAX: usize = 63;
    let of_known_characters = label
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    of_known_characters
        && (1..=LABEL_LEN_MAX).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().any(|byte| byte != b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> TargetUrl {
        TargetUrl::parse(text).unwrap()
    }

    fn refused(text: &str) -> InvalidTargetUrl {
        TargetUrl::parse(text).unwrap_err()
    }

    #[test]
    fn a_plain_url_is_taken_apart_and_its_text_kept() {
        let url = parsed("https://Example.com/Hooks?a=b%20c&d");

        assert_eq!(url.as_str(), "https://Example.com/Hooks?a=b%20c&d");
        assert_eq!(url.scheme(), UrlScheme::Https);
        assert_eq!(url.host(), &TargetHost::Name("example.com".into()));
        assert_eq!(url.port(), 443);
        assert_eq!(url.path_and_query(), "/Hooks?a=b%20c&d");
        assert_eq!(url.host_header(), "example.com");
    }

    #[test]
    fn a_port_that_is_not_the_schemes_own_is_in_the_host_header() {
        assert_eq!(
            parsed("http://a.example:8080").host_header(),
            "a.example:8080"
        );
        assert_eq!(
            parsed("http://a.example:443/").host_header(),
            "a.example:443"
        );
        assert_eq!(parsed("https://a.example:443/").host_header(), "a.example");
        assert_eq!(
            parsed("http://[2001:db8::1]:81/").host_header(),
            "[2001:db8::1]:81"
        );
    }

    #[test]
    fn a_missing_path_is_a_slash_and_a_bare_query_gets_one() {
        assert_eq!(parsed("https://a.example").path_and_query(), "/");
        assert_eq!(parsed("https://a.example?x=1").path_and_query(), "/?x=1");
    }

    #[test]
    fn a_name_in_another_script_is_encoded() {
        let url = parsed("https://bücher.example/ä");
        assert_eq!(url.host_header(), "xn--bcher-kva.example");
        assert_eq!(url.path_and_query(), "/%C3%A4");
    }

    #[test]
    fn underscores_and_a_full_stop_at_the_end_are_fine() {
        parsed("http://my_service:8080/");
        parsed("https://_dmarc.example.com/");
        parsed("https://example.com./");
    }

    #[test]
    fn the_scheme_is_http_or_https_with_two_slashes_in_any_case() {
        parsed("HTTPS://example.com/");
        for text in [
            "ftp://127.0.0.1/",
            "file:///etc/passwd",
            "gopher://127.0.0.1:6379/_X",
            "data:,x",
            "javascript:alert(1)",
            "unix:/var/run/x.sock",
            "http+unix://%2fvar%2frun/",
            "http:127.0.0.1",
            "http:/127.0.0.1/",
            "//example.com/",
            "",
        ] {
            assert_eq!(refused(text), InvalidTargetUrl::UnsupportedScheme, "{text}");
        }
    }

    #[test]
    fn what_parsers_drop_is_refused() {
        for (text, found) in [
            ("http://exa\tmple.com/", '\t'),
            ("http://example.com\r\nX: y/", '\r'),
            ("  http://127.0.0.1/  ", ' '),
            ("http:\\\\127.0.0.1\\", '\\'),
            ("http://127.0.0.1\\@example.com/", '\\'),
            ("http://example.com/a b", ' '),
            ("http://example.com/\0", '\0'),
            ("http://example.com/\u{3000}", '\u{3000}'),
            ("http://example.com/\u{85}", '\u{85}'),
        ] {
            assert_eq!(
                refused(text),
                InvalidTargetUrl::BadCharacter { found },
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_host_is_needed() {
        for text in [
            "http:///x",
            "http:////127.0.0.1/",
            "https://",
            "https://:80/",
            "http://?x",
        ] {
            assert_eq!(refused(text), InvalidTargetUrl::MissingHost, "{text}");
        }
    }

    #[test]
    fn user_information_is_refused() {
        for text in [
            "http://user:pass@example.com/",
            "http://example.com@127.0.0.1/",
            "https://example.com:443@169.254.169.254/",
            "http://@example.com/",
        ] {
            assert_eq!(refused(text), InvalidTargetUrl::UserInfo, "{text}");
        }
        parsed("https://example.com/@user?to=a@b");
    }

    #[test]
    fn a_fragment_is_refused() {
        assert_eq!(refused("https://example.com/#"), InvalidTargetUrl::Fragment);
        assert_eq!(
            refused("http://127.0.0.1#@example.com/"),
            InvalidTargetUrl::Fragment
        );
    }

    #[test]
    fn port_zero_and_ports_that_are_none_are_refused() {
        assert_eq!(refused("http://127.0.0.1:0/"), InvalidTargetUrl::PortZero);
        for text in [
            "http://127.0.0.1:65536/",
            "http://127.0.0.1:80:80/",
            "http://a.example:x/",
        ] {
            assert!(
                matches!(refused(text), InvalidTargetUrl::Malformed { .. }),
                "{text}"
            );
        }
    }

    #[test]
    fn bad_labels_are_refused() {
        let long_label = format!("http://{}.com/", "a".repeat(64));
        let long_name = format!("http://{}com/", "abcdefg.".repeat(32));
        for text in [
            "http://a..b/",
            "http://.a.com/",
            "http://-a.com/",
            "http://a-.com/",
            "http://_/",
            "http://a.__.com/",
            "http://a.com../",
            "http://a,b.com/",
            "http://a$b.com/",
            long_label.as_str(),
            long_name.as_str(),
        ] {
            assert_eq!(refused(text), InvalidTargetUrl::BadHostName, "{text}");
        }
    }

    #[test]
    fn an_address_in_another_than_the_plain_form_is_refused_with_the_plain_form() {
        let error = refused("http://0x08.8.8.8/");

        assert_eq!(
            error,
            InvalidTargetUrl::AmbiguousAddress {
                plain: Ipv4Addr::new(8, 8, 8, 8).into()
            }
        );
        assert!(error.to_string().ends_with("write it as 8.8.8.8"));
        parsed("http://8.8.8.8/");
        parsed("http://[2606:4700:4700:0:0:0:0:1111]/");
    }

    #[test]
    fn the_length_is_limited_as_given_and_as_encoded() {
        let fits = format!("https://a.example/{}", "x".repeat(TargetUrl::LEN_MAX - 18));
        parsed(&fits);
        assert_eq!(refused(&format!("{fits}x")), InvalidTargetUrl::TooLong);
        let grows = format!("https://a.example/{}", "ä".repeat(2_000));
        assert_eq!(refused(&grows), InvalidTargetUrl::TooLong);
    }

    #[test]
    fn debug_output_has_no_query() {
        let shown = format!("{:?}", parsed("https://a.example/x?token=secret"));
        assert_eq!(shown, "TargetUrl(\"https://a.example/x\")");
    }
}

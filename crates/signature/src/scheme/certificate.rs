//! Certificates that have to be fetched: which URLs may be asked, and the key inside.
//!
//! That the certificate is the provider's is vouched for by where it comes from: an `https` URL on
//! one of the provider's own hosts. Its chain is not looked at.

use serde::Deserialize;

use super::key::unarmored;
use super::location::Location;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The longest URL of a certificate, and the largest certificate.
const URL_LEN_MAX: usize = 512;
const CERTIFICATE_LEN_MAX: usize = 64 << 10;

/// Where the URL of the certificate is, and which URLs are the provider's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateRule {
    /// Where the URL is.
    pub from: Location,
    /// The provider's hosts; `*` is one label of letters, digits and hyphens.
    pub hosts: Vec<String>,
    /// What the path ends with.
    #[serde(default)]
    pub suffix: String,
}

impl CertificateRule {
    /// Says whether a URL may be asked: `https`, one of the hosts, nothing but a plain path.
    pub fn allows(&self, url: &str) -> bool {
        let Some(rest) = url.strip_prefix("https://") else {
            return false;
        };
        let Some((host, path)) = rest.split_once('/') else {
            return false;
        };
        // Nothing that any reader of URLs takes for something else: no port, no user, no query.
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
        url.len() <= URL_LEN_MAX
            && path.bytes().all(plain)
            && path.ends_with(&self.suffix)
            && self.hosts.iter().any(|pattern| is_host(host, pattern))
    }

    /// Says whether a URL is on one of the provider's hosts by `https`, whatever comes after.
    pub(super) fn allows_host(&self, url: &str) -> bool {
        let rest = url.strip_prefix("https://").unwrap_or_default();
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        // A reader that takes a backslash for a slash, or a hash for something else, would still
        // see the same host: nothing but a label's characters is in one that matches.
        self.hosts.iter().any(|pattern| is_host(host, pattern))
    }
}

fn is_host(host: &str, pattern: &str) -> bool {
    let label = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let mut labels = host.split('.');
    let fits = pattern.split('.').all(|wanted| {
        labels.next().is_some_and(|found| match wanted {
            "*" => found.len() >= 3 && found.bytes().all(label),
            _ => found == wanted,
        })
    });
    fits && labels.next().is_none()
}

/// Returns the public key of a certificate, in DER or PEM, as a SubjectPublicKeyInfo.
pub(super) fn public_key(bytes: &[u8]) -> Option<Vec<u8>> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";

    if bytes.len() > CERTIFICATE_LEN_MAX {
        return None;
    }
    let pem = str::from_utf8(bytes).ok().and_then(|text| {
        let (_, text) = text.split_once(BEGIN)?;
        // The first certificate of a chain is the one that signs.
        STANDARD
            .decode(unarmored(text.split_once(END)?.0).as_str())
            .ok()
    });
    let der = pem.as_deref().unwrap_or(bytes);
    subject_public_key_info(der).map(<[u8]>::to_vec)
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const VERSION: u8 = 0xa0;

/// Walks to the key: version, serial, algorithm, issuer, validity and subject come before it.
fn subject_public_key_info(der: &[u8]) -> Option<&[u8]> {
    let (certificate, rest) = element(der, SEQUENCE)?;
    if !rest.is_empty() {
        return None;
    }
    let (mut tbs, _) = element(certificate.content, SEQUENCE)?;
    if let Some((_, rest)) = element(tbs.content, VERSION) {
        tbs.content = rest;
    }
    let (_, mut rest) = element(tbs.content, INTEGER)?;
    for _ in ["algorithm", "issuer", "validity", "subject"] {
        rest = element(rest, SEQUENCE)?.1;
    }
    Some(element(rest, SEQUENCE)?.0.whole)
}

struct Element<'a> {
    whole: &'a [u8],
    content: &'a [u8],
}

/// Takes one element of DER with this tag off the front.
fn element(der: &[u8], tag: u8) -> Option<(Element<'_>, &[u8])> {
    let [found, first, rest @ ..] = der else {
        return None;
    };
    let (len, header) = match first {
        0..=0x7f => (usize::from(*first), 2),
        0x81 => (usize::from(*rest.first()?), 3),
        0x82 => {
            let [high, low, ..] = rest else { return None };
            (usize::from(u16::from_be_bytes([*high, *low])), 4)
        }
        _ => return None, // Longer than any certificate that is read.
    };
    let (whole, after) = der.split_at_checked(header + len)?;
    let content = &whole[header..];
    (*found == tag).then_some((Element { whole, content }, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(hosts: &[&str], suffix: &str) -> CertificateRule {
        CertificateRule {
            from: Location::Json("SigningCertURL".into()),
            hosts: hosts.iter().map(ToString::to_string).collect(),
            suffix: suffix.into(),
        }
    }

    #[test]
    fn only_the_providers_own_urls_are_fetched() {
        let sns = rule(&["sns.*.amazonaws.com", "sns.*.amazonaws.com.cn"], ".pem");

        assert!(sns.allows("https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem"));
        assert!(sns.allows("https://sns.cn-north-1.amazonaws.com.cn/x.pem"));
        for url in [
            "http://sns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com.evil.example/x.pem",
            "https://sns.eu.west.amazonaws.com/x.pem",
            "https://evil.example/sns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com:444/x.pem",
            "https://a@sns.eu-west-1.amazonaws.com/x.pem",
            "https://evil.example#sns.eu-west-1.amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com/x.pem?y",
            "https://sns.eu-west-1.amazonaws.com/x.txt",
            "https://sns.eu-west-1.amazonaws.com/%2e.pem",
            "https://sns.eu_west.amazonaws.com/x.pem",
            "https://SNS.eu-west-1.amazonaws.com/x.pem",
            "https://sns..amazonaws.com/x.pem",
            "https://sns.eu-west-1.amazonaws.com",
            "",
        ] {
            assert!(!sns.allows(url), "{url}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_key() {
        for bytes in [
            b"".as_slice(),
            b"\x30",
            b"\x30\x82\xff\xff",
            b"\x30\x03\x30\x01\x02",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
            b"<html>",
        ] {
            assert_eq!(public_key(bytes), None);
        }
    }
}

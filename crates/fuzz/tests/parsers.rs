//! What reads bytes from outside and is public: addresses, names, signatures.
#![allow(clippy::unwrap_used, reason = "the helpers of a test are a test too")]

use std::time::Duration;

use domain::{AddressPolicy, Channel, Cidr, EventId, EventType, Tag, TargetUrl, Timestamp, Uid};
use posthaste_fuzz::run;
use signature::{Received, Secret, Verifier, VerifyingKey};

/// Whatever is allowed can be written down and read again as the same, and is allowed again.
#[test]
fn urls_and_addresses() {
    let policy = AddressPolicy {
        allow_http: true,
        ..AddressPolicy::default()
    };
    run("url", |input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return;
        };
        if let Ok(url) = TargetUrl::parse(text) {
            let verdict = policy.check_url(&url);
            let again = TargetUrl::parse(url.as_str()).expect("what was read is read again");
            assert_eq!(policy.check_url(&again), verdict, "{text}");
            assert!(again.same_origin(&url), "{text}");
            assert!(
                !url.host_header().contains(['\r', '\n', ' ', '@']),
                "{text}"
            );
        }
        if let Ok(network) = text.parse::<Cidr>() {
            let listed = AddressPolicy {
                allow: vec![network],
                ..AddressPolicy::default()
            };
            let inside = "8.8.8.8".parse().unwrap();
            assert_eq!(listed.check_ip(inside), Ok(()), "a list takes nothing away");
        }
    });
}

/// Names that are taken are written as they were given, and hold nothing that moves a terminal.
#[test]
fn names() {
    run("name", |input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return;
        };
        let taken = [
            EventType::parse(text)
                .map(|name| name.as_str().to_owned())
                .ok(),
            Channel::parse(text)
                .map(|name| name.as_str().to_owned())
                .ok(),
            Tag::parse(text).map(|name| name.as_str().to_owned()).ok(),
            Uid::parse(text).map(|name| name.as_str().to_owned()).ok(),
            EventId::parse(text)
                .map(|name| name.as_str().to_owned())
                .ok(),
        ];
        for name in taken.into_iter().flatten() {
            assert_eq!(name, text);
            assert!(!name.is_empty() && name.len() <= 256, "{name}");
            assert!(!name.contains(char::is_control), "{name:?}");
        }
        if let Ok(at) = Timestamp::parse(text) {
            assert_eq!(Timestamp::parse(&at.to_string()), Ok(at), "{text}");
        }
    });
}

/// Three lines are a request's headers, the rest its body; nobody without the secret gets through.
#[test]
fn signatures() {
    let key = VerifyingKey::parse("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").unwrap();
    let verifier = Verifier::new([key]);
    let now = Timestamp::from_unix_seconds(1_700_000_000);
    run("signature", |input| {
        let mut parts = input.splitn(4, |byte| *byte == b'\n');
        let mut next = || parts.next();
        let headers = [next(), next(), next()];
        let [id, timestamp, signatures] =
            headers.map(|line| line.and_then(|line| std::str::from_utf8(line).ok()));
        let body = next().unwrap_or_default();
        let signatures = signatures.unwrap_or_default();
        let received = Received {
            id,
            timestamp,
            signatures: &[signatures],
            body,
        };
        let verdict = verifier.verify(&received, now, Duration::from_mins(5));
        assert!(verdict.is_err(), "a forgery was taken");
        if let Ok(text) = std::str::from_utf8(input) {
            let _ = Secret::parse(text);
            let _ = VerifyingKey::parse(text);
        }
    });
}

//! Rows D1 to D14 of what must hold for requests that come in, as far as they are about signatures.

use super::round_trips::{NOW, shared};
use super::*;

const SVIX: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn standard(body: &str) -> Sent {
    shared("standard-webhooks", SVIX, &Sent::post(body))
}

/// The same request with another value of a header.
fn with(sent: &Sent, name: &str, value: &str) -> Sent {
    let mut sent = sent.clone();
    value.clone_into(sent.header(name).expect("the request has the header"));
    sent
}

fn standard_refused(sent: &Sent) -> Refused {
    sent.refused(scheme("standard-webhooks"), &[SVIX], NOW)
}

fn standard_accepts(sent: &Sent) -> bool {
    let verdict = sent.verdict(scheme("standard-webhooks"), &[SVIX], NOW);
    matches!(verdict, Verdict::Verified(_))
}

/// D1
#[test]
fn signatures_that_are_missing_empty_or_cut_short_are_refused() {
    let sent = standard("{}");
    let good = sent.clone().header("webhook-signature").unwrap().clone();
    for value in [
        "",
        " ",
        "v1,",
        "v1",
        ",",
        &good[..8],
        &good[..good.len() - 1],
        &good[..24],
    ] {
        standard_refused(&with(&sent, "webhook-signature", value));
    }
    let mut without = sent.clone();
    without
        .headers
        .retain(|(name, _)| name != "webhook-signature");

    let refused = standard_refused(&without);
    assert_eq!(refused.reason(), "signature_missing");
}

/// D1: a valid spelling of fewer bytes must not match their beginning.
#[test]
fn the_beginning_of_the_right_signature_does_not_match() {
    let sent = shared("github", "a secret", &Sent::post("{}"));
    let good = sent.clone().header("x-hub-signature-256").unwrap().clone();
    let prefix = "sha256=".len();
    for len in (0..64).step_by(2) {
        let cut = with(&sent, "X-Hub-Signature-256", &good[..prefix + len]);
        cut.refused(scheme("github"), &["a secret"], NOW);
    }
    let doubled = format!("{good}{}", &good[prefix..]);
    with(&sent, "X-Hub-Signature-256", &doubled).refused(scheme("github"), &["a secret"], NOW);
}

/// D2 and D3
#[test]
fn without_a_secret_nothing_is_trusted_and_an_empty_one_is_none() {
    let sent = standard("{}");

    assert_eq!(
        sent.refused(scheme("standard-webhooks"), &[], NOW),
        Refused::NoKey
    );
    for preset in presets() {
        let key = Key::parse(&preset.scheme, "");
        assert_eq!(
            key.map(|_| ()),
            Err(InvalidSecret::Empty),
            "{}",
            preset.name
        );
        let refused = sent.refused(&preset.scheme, &[], NOW);
        assert_eq!(refused, Refused::NoKey, "{}", preset.name);
    }
}

/// D4
#[test]
fn a_signature_has_one_spelling() {
    let sent = standard("{\"n\":3}");
    let good = sent.clone().header("webhook-signature").unwrap().clone();
    let bare = &good["v1,".len()..];
    let url_safe = bare.replace('+', "-").replace('/', "_");
    for value in [
        format!("V1,{bare}"),
        format!("v1,{bare},x"),
        format!("v1,!{bare}"),
        format!("v1,{}!{}", &bare[..4], &bare[4..]),
        format!("v1,{}", bare.trim_end_matches('=')),
        format!("v1,{}", url_safe.trim_end_matches('=')),
        format!("v1, {bare}"),
        format!("v1{bare}"),
        bare.to_owned(),
        format!("v2,{bare}"),
    ] {
        standard_refused(&with(&sent, "webhook-signature", &value));
    }
}

/// D5
#[test]
fn a_timestamp_is_a_plain_number() {
    let sent = standard("{}");
    let n = NOW;
    for value in [
        format!("{n}.5"),
        format!("{n}abc"),
        format!("+{n}"),
        format!("0{n}"),
        format!("{n}e0"),
        "12345678901234567890".to_owned(),
        "NaN".to_owned(),
        format!("-{n}"),
        String::new(),
    ] {
        let refused = standard_refused(&with(&sent, "webhook-timestamp", &value));
        assert_eq!(refused.reason(), "timestamp_malformed", "{value:?}");
    }
}

/// D6
#[test]
fn three_hundred_seconds_are_the_limit_on_both_sides() {
    let sent = standard("{}");
    let verdict = |now| sent.verdict(scheme("standard-webhooks"), &[SVIX], now);

    assert!(matches!(verdict(NOW - 299), Verdict::Verified(_)));
    assert!(matches!(verdict(NOW + 299), Verdict::Verified(_)));
    assert_eq!(
        verdict(NOW + 301),
        Verdict::Refused(Refused::TooOld { seconds: 301 })
    );
    assert_eq!(
        verdict(NOW - 301),
        Verdict::Refused(Refused::TooNew { seconds: 301 })
    );
}

/// D7
#[test]
fn an_id_or_time_that_comes_twice_is_malformed_and_signatures_may() {
    let sent = standard("{}");
    let wrong = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let good = sent.clone().header("webhook-signature").unwrap().clone();

    for name in ["webhook-id", "Webhook-Timestamp"] {
        let value = sent.clone().header(name).unwrap().clone();
        let refused = standard_refused(&sent.clone().with(name, value));
        assert_eq!(refused.reason(), "header_repeated");
        assert!(refused.is_malformed());
    }
    assert!(standard_accepts(
        &sent.clone().with("Webhook-Signature", wrong)
    ));
    let before = with(&sent, "webhook-signature", wrong).with("webhook-signature", good.clone());
    assert!(standard_accepts(&before));
    let merged = with(&sent, "webhook-signature", &format!("{wrong}, {good}"));
    assert!(standard_accepts(&merged));
    standard_refused(&with(&sent, "webhook-id", "msg_1, msg_1"));
}

/// D7, for a header that holds one signature.
#[test]
fn a_lone_signature_that_comes_twice_is_malformed() {
    let sent = shared("github", "a secret", &Sent::post("{}")).with("X-HUB-Signature-256", "x");

    let refused = sent.refused(scheme("github"), &["a secret"], NOW);

    assert!(refused.is_malformed(), "{refused}");
}

/// D8
#[test]
fn header_names_have_any_case_and_values_no_control_characters() {
    let sent = standard("{}");
    let mut shouted = sent.clone();
    for (name, value) in &mut shouted.headers {
        *name = name.to_ascii_uppercase();
        *value = format!("  {value} \t");
    }

    assert!(standard_accepts(&shouted));
    for value in ["msg_1\r\n folded", "msg_1\0", "msg_\u{1}", "msg_é"] {
        let refused = standard_refused(&with(&sent, "webhook-id", value));
        assert!(refused.is_malformed(), "{refused}");
    }
    let long = "x".repeat(9_000);
    let refused = standard_refused(&with(&sent, "webhook-signature", &long));
    assert_eq!(refused.reason(), "header_too_long");
}

/// D9
#[test]
fn one_good_signature_among_junk_is_enough() {
    let sent = standard("{}");
    let good = sent.clone().header("webhook-signature").unwrap().clone();
    for value in [
        format!("garbage {good}"),
        format!("v1,AAAA {good}"),
        format!("v1,!! v2,x   {good}"),
        format!("{good}  v1a,AAAA"),
        format!(" , {good}"),
    ] {
        assert!(
            standard_accepts(&with(&sent, "webhook-signature", &value)),
            "{value}"
        );
    }
    let many = vec!["v1,AAAA"; VALUES_MAX + 1].join(" ");
    let refused = standard_refused(&with(&sent, "webhook-signature", &many));
    assert_eq!(refused, Refused::TooManySignatures);
}

/// A public key's verification is dear, so a header buys only a few.
#[test]
fn a_header_buys_few_verifications_with_a_public_key() {
    let preset = preset("standard-webhooks-ed25519").unwrap();
    let round_trips::Made { sent, secret } = round_trips::made(preset);
    let good = sent.clone().header("webhook-signature").unwrap().clone();
    let repeated = |times| {
        with(
            &sent,
            "webhook-signature",
            &vec![good.clone(); times].join(" "),
        )
    };

    repeated(PUBLIC_KEY_SIGNATURES_MAX).verified(&preset.scheme, &[&secret], NOW);
    let refused = repeated(PUBLIC_KEY_SIGNATURES_MAX + 1).refused(&preset.scheme, &[&secret], NOW);
    assert_eq!(refused, Refused::TooManySignatures);
}

/// D10
#[test]
fn a_body_in_another_spelling_is_another_body() {
    let sent = standard("{\"a\": 1,\r\n \"b\": \"\\u00e9\"}");
    for body in [
        "{\"a\":1,\"b\":\"é\"}",
        "{\"a\": 1,\r\n \"b\": \"\\u00e9\"}\n",
        "\u{feff}{\"a\": 1,\r\n \"b\": \"\\u00e9\"}",
        "{\"a\": 1,\n \"b\": \"\\u00e9\"}",
        "{\"a\": 1,\r\n \"b\": \"é\"}",
        "",
    ] {
        let mut changed = sent.clone();
        changed.body = body.into();
        assert_eq!(
            standard_refused(&changed),
            Refused::SignatureMismatch,
            "{body:?}"
        );
    }
}

/// D11: no comparison of secret bytes but by the functions that take the same time for all.
#[test]
fn secret_bytes_are_compared_in_constant_time_only() {
    for source in [
        include_str!("../verify.rs"),
        include_str!("../canonical.rs"),
    ] {
        assert!(source.contains("constant_time::verify_slices_are_equal"));
        let code = source.split("#[cfg(test)]").next().unwrap();
        let compared = |line: &&str| {
            let words = [
                "expected",
                "bytes",
                "digest",
                "secret",
                "key.bytes",
                "as_ref()",
                "token",
            ];
            let equal = [" == ", " != ", ".eq("]
                .iter()
                .any(|sign| line.contains(sign));
            equal && words.iter().any(|word| line.contains(word)) && !line.contains("//")
        };
        let found: Vec<_> = code.lines().filter(compared).collect();
        assert_eq!(found, Vec::<&str>::new());
    }
}

/// D14, GitHub
#[test]
fn the_weaker_of_two_signature_headers_is_never_looked_at() {
    let sent = shared("github", "a secret", &Sent::post("{}"));
    let sha1 = shared("intercom", "a secret", &Sent::post("{}"));
    let sha1 = sha1.clone().header("x-hub-signature").unwrap().clone();
    let both_bad = with(
        &sent,
        "X-Hub-Signature-256",
        &format!("sha256={}", "0".repeat(64)),
    );
    let only_sha1 = Sent::post("{}").with("X-Hub-Signature", sha1.clone());

    for downgraded in [both_bad.with("X-Hub-Signature", sha1), only_sha1] {
        downgraded.refused(scheme("github"), &["a secret"], NOW);
    }
}

/// D14, Stripe
#[test]
fn stripes_old_version_is_ignored_and_any_of_the_new_will_do() {
    let sent = shared("stripe", "whsec_abc", &Sent::post("{\"id\":\"evt_1\"}"));
    let header = sent.clone().header("stripe-signature").unwrap().clone();
    let (time, v1) = header.split_once(',').unwrap();
    let zeros = format!("v1={}", "0".repeat(64));
    let stripe = |value: &str| {
        let sent = with(&sent, "Stripe-Signature", value);
        let verdict = sent.verdict(scheme("stripe"), &["whsec_abc"], NOW);
        matches!(verdict, Verdict::Verified(_))
    };

    assert!(stripe(&format!("{time},{zeros},{v1},v0=6ffb")));
    assert!(stripe(&format!("{time}, {v1}")));
    assert!(!stripe(&format!("{time},{}", v1.replace("v1=", "v0="))));
    assert!(!stripe(&format!("{time},{time},{v1}")));
    assert!(!stripe(&format!("t=1,{time},{v1}")));
    assert!(!stripe(v1));
    // The secret is the whole text, not the base64 after its prefix.
    sent.refused(scheme("stripe"), &["abc"], NOW);
}

/// D15
#[test]
fn what_one_source_trusts_another_does_not() {
    for preset in presets() {
        if preset.scheme.algorithm().is_public_key() {
            continue;
        }
        let round_trips::Made { sent, .. } = round_trips::made(preset);
        let other = match preset.scheme.key_form().encoding {
            KeyEncoding::Base64 => "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            KeyEncoding::Hex => "ffeeddccbbaa99887766554433221100",
            _ => "the secret of another source",
        };
        let refused = sent.refused(&preset.scheme, &[other], NOW);
        assert_eq!(refused, Refused::SignatureMismatch, "{}", preset.name);
    }
}

/// Values of one name count once in what is signed, so anybody can repeat one.
#[test]
fn an_id_in_a_form_cannot_be_hidden_by_repeating_it() {
    let mut scheme = scheme("twilio").clone();
    scheme.ids = vec![Location::Form("MessageSid".into())];
    let sent = |body: &str| {
        let sent = Sent::post(body)
            .to("https://hooks.example/in")
            .with("Content-Type", "application/x-www-form-urlencoded");
        let signed = shared("twilio", "12345", &sent);
        signed.verdict(&scheme, &["12345"], NOW)
    };

    let Verdict::Verified(twice) = sent("MessageSid=SM1&MessageSid=SM1") else {
        panic!("the same value twice");
    };
    assert_eq!(twice.ids[0].value, "SM1");
    let different = sent("MessageSid=SM1&MessageSid=SM2");
    assert!(matches!(
        different,
        Verdict::Refused(Refused::PartRepeated { .. })
    ));
}

/// D7, for an id that is not signed: a second one must not make the first disappear.
#[test]
fn an_id_header_that_comes_twice_is_malformed() {
    let sent = shared("github", "a secret", &Sent::post("{}")).with("x-github-delivery", "2");

    let refused = sent.refused(scheme("github"), &["a secret"], NOW);

    assert_eq!(refused.reason(), "header_repeated");
}

#[test]
fn an_id_says_whether_the_signature_covers_it() {
    let body = r#"{"id":"evt_1","type":"invoice.paid"}"#;
    let stripe = shared("stripe", "secret", &Sent::post(body));
    let github = Sent::post(r#"{"action":"opened"}"#).with("X-GitHub-Event", "pull_request");
    let github = shared("github", "secret", &github);

    let verified = stripe.verified(scheme("stripe"), &["secret"], NOW);
    assert_eq!(verified.event.as_deref(), Some("invoice.paid"));
    assert_eq!(
        (verified.ids[0].value.as_str(), verified.ids[0].signed),
        ("evt_1", true)
    );
    let verified = github.verified(scheme("github"), &["secret"], NOW);
    assert_eq!(verified.event.as_deref(), Some("pull_request.opened"));
    assert_eq!(
        (verified.ids[0].value.as_str(), verified.ids[0].signed),
        ("msg_1", false)
    );
    let verified = standard("{}").verified(scheme("standard-webhooks"), &[SVIX], NOW);
    assert!(verified.ids[0].signed);
}

/// What is signed is `id.timestamp.body`: a full stop in the id would let bytes move between them.
#[test]
fn an_id_with_a_full_stop_is_refused_although_the_signature_holds() {
    let sent = Sent::post("{}").with("webhook-id", "msg_1.5");
    let sent = shared("standard-webhooks", SVIX, &sent);

    let refused = standard_refused(&sent);

    assert_eq!(refused.reason(), "id_invalid", "{refused}");
}

#[test]
fn of_two_ids_in_headers_only_the_one_that_was_signed_counts_as_signed() {
    let sent = shared("svix", SVIX, &Sent::post("{}")).with("webhook-id", "msg_2");

    let ids = sent.verified(scheme("svix"), &[SVIX], NOW).ids;

    let ids: Vec<_> = ids
        .iter()
        .map(|id| (id.value.as_str(), id.signed))
        .collect();
    assert_eq!(ids, [("msg_1", true), ("msg_2", false)]);
}

#[test]
fn an_event_type_has_the_characters_of_one() {
    let sent = |topic: &str| {
        let sent = Sent::post("{}").with("X-Shopify-Topic", topic);
        let sent = shared("shopify", "secret", &sent);
        sent.verified(scheme("shopify"), &["secret"], NOW).event
    };

    assert_eq!(sent("orders/create").as_deref(), Some("orders.create"));
    assert_eq!(
        sent("Merge Request <b>").as_deref(),
        Some("Merge_Request__b_")
    );
    assert_eq!(sent(&"x".repeat(400)).map(|event| event.len()), Some(256));
    assert_eq!(sent(""), None);
}

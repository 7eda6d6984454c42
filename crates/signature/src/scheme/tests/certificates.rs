//! Keys that have to be fetched.

use super::*;

/// A certificate of one's own for a private key, as PEM.
pub(super) fn certificate(der: &[u8]) -> Vec<u8> {
    let der = der.to_vec().into();
    let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_RSA_SHA256).unwrap();
    let params = rcgen::CertificateParams::new(vec!["sns.example".to_owned()]).unwrap();
    params.self_signed(&pair).unwrap().pem().into_bytes()
}

#[test]
fn a_certificate_is_asked_for_and_then_trusted() {
    let preset = preset("aws-sns").unwrap();
    let round_trips::Made { sent, secret } = round_trips::made(preset);
    let mut unfetched = sent.clone();
    unfetched.fetched = None;

    let first = unfetched.verdict(&preset.scheme, &[&secret], 0);

    assert_eq!(
        first.needs(),
        Some("https://sns.eu-west-1.amazonaws.com/c.pem")
    );
    let verified = sent.verified(&preset.scheme, &["arn:other", &secret], 0);
    let id = Id {
        value: "m1".into(),
        signed: true,
    };
    assert_eq!((verified.key, verified.ids), (1, vec![id]));
}

#[test]
fn what_was_fetched_from_elsewhere_does_not_count() {
    let preset = preset("aws-sns").unwrap();
    let round_trips::Made { mut sent, secret } = round_trips::made(preset);
    sent.fetched.as_mut().unwrap().0 = "https://sns.eu-west-2.amazonaws.com/c.pem".into();

    assert!(
        sent.verdict(&preset.scheme, &[&secret], 0)
            .needs()
            .is_some()
    );
}

#[test]
fn a_topic_of_somebody_else_is_refused() {
    let preset = preset("aws-sns").unwrap();
    let sent = round_trips::made(preset).sent;

    let refused = sent.refused(&preset.scheme, &["arn:aws:sns:eu-west-1:999999999999:t"], 0);

    assert!(
        matches!(refused, Refused::OtherAudience { .. }),
        "{refused}"
    );
}

#[test]
fn no_url_but_the_providers_is_asked_for() {
    let preset = preset("aws-sns").unwrap();
    let round_trips::Made { mut sent, secret } = round_trips::made(preset);
    let body = String::from_utf8(sent.body).unwrap();
    sent.body = body
        .replace("sns.eu-west-1.amazonaws.com", "evil.example")
        .into_bytes();

    assert_eq!(
        sent.refused(&preset.scheme, &[&secret], 0),
        Refused::CertificateUrl
    );
}

#[test]
fn what_is_no_certificate_is_refused() {
    let preset = preset("paypal").unwrap();
    let round_trips::Made { mut sent, secret } = round_trips::made(preset);
    sent.fetched.as_mut().unwrap().1 = b"<html>not found</html>".to_vec();

    assert_eq!(
        sent.refused(&preset.scheme, &[&secret], 0),
        Refused::CertificateMalformed
    );
}

/// A subscription is confirmed where its signature holds, its topic is ours, and its URL Amazon's.
#[test]
fn a_subscription_is_confirmed_only_at_the_providers() {
    let preset = preset("aws-sns").unwrap();
    let scheme = &preset.scheme;
    let der = round_trips::private_key(scheme.algorithm());
    let topic = round_trips::TOPIC;
    let key = SchemeSigningKey::private(scheme, &der, topic).unwrap();
    let subscription = |url: &str| {
        let certificate = "https://sns.eu-west-1.amazonaws.com/c.pem";
        let body = serde_json::json!({
            "Type": "SubscriptionConfirmation", "MessageId": "m1", "Token": "t1",
            "TopicArn": topic, "Message": "You have chosen to subscribe", "SubscribeURL": url,
            "Timestamp": "2026-01-31T12:00:00.000Z", "SigningCertURL": certificate,
        });
        let mut sent = round_trips::signed(scheme, &key, &Sent::post(body.to_string()), 0);
        sent.fetched = Some((certificate.to_owned(), self::certificate(&der)));
        sent
    };
    let asked = |sent: &Sent, topic: &str| {
        let keys = [Key::parse(scheme, topic).unwrap()];
        let greeting = Greeting {
            handshakes: &preset.handshakes,
            scheme,
            keys: &keys,
            verify_token: None,
            awaiting: false,
            query: "",
            rate_max: None,
            now: Timestamp::from_unix_seconds(0),
        };
        sent.as_request(|request| greeting.answer(request))
    };
    let url = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t1";
    let good = subscription(url);

    assert!(matches!(asked(&good, topic), Asked::Confirm { url: found, .. } if found == url));

    let mut unfetched = good.clone();
    unfetched.fetched = None;
    assert!(matches!(asked(&unfetched, topic), Asked::Needs(_)));
    let mut forged = good.clone();
    forged.body = String::from_utf8(forged.body)
        .unwrap()
        .replace("t1", "t2")
        .into_bytes();
    let unsigned = |asked| matches!(asked, Asked::Refused(HandshakeRefused::Unsigned(_)));
    assert!(unsigned(asked(&forged, topic)));
    assert!(unsigned(asked(
        &good,
        "arn:aws:sns:eu-west-1:999999999999:t"
    )));
    for url in [
        "http://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription",
        "https://sns.eu-west-1.amazonaws.com.evil.example/",
        "https://sns.eu-west-1.amazonaws.com@evil.example/",
        "https://sns.eu-west-1.amazonaws.com:8443/",
        "https://evil.example/?https://sns.eu-west-1.amazonaws.com/",
        "https://evil.example\\.sns.eu-west-1.amazonaws.com/",
        "https://sns.eu-west-1.amazonaws.com/a b",
        "",
    ] {
        let asked = asked(&subscription(url), topic);
        let refused = Asked::Refused(HandshakeRefused::ConfirmUrl);
        assert_eq!(asked, refused, "{url}");
    }
}

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

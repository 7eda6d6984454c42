//! Providers that sign with a certificate of their own: where it is fetched, and what is not.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use axum::body::Body;
use domain::Timestamp;
use http::{Method, Request};
use serde_json::{Value, json};
use signature::scheme::{Preset, SchemeSigningKey, Signed, Unsigned, preset};

use super::harness::{Reply, TestApi};
use super::inbound;

const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:topic";
const WEBHOOK: &str = "8PT597110X687430LKGECATA";
const SNS: &str = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem";
const PAYPAL: &str = "https://api.paypal.com/v1/notifications/certs/CERT-1";

/// A provider with a certificate, and a source of it.
struct Provider {
    api: TestApi,
    preset: &'static Preset,
    secret: &'static str,
    key: Vec<u8>,
    path: String,
}

impl Provider {
    async fn new(name: &str, secret: &'static str) -> Self {
        let api = TestApi::new().await;
        api.acme().await;
        let source = json!({"name": name, "provider": name, "secrets": [secret]});
        let source = api.source(source).await;
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        Self {
            preset: preset(name).unwrap(),
            secret,
            key: der.as_ref().to_vec(),
            path: inbound::path(&source),
            api,
        }
    }

    async fn sns() -> Self {
        Self::new("aws-sns", TOPIC).await
    }

    /// The certificate that goes with the key.
    fn certificate(&self) -> String {
        let der = self.key.clone().into();
        let algorithm = &rcgen::PKCS_RSA_SHA256;
        let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, algorithm).unwrap();
        let params = rcgen::CertificateParams::new(vec!["provider.example".to_owned()]);
        params.unwrap().self_signed(&pair).unwrap().pem()
    }

    fn signed(&self, headers: &[(&str, &str)], body: &str) -> Signed {
        let scheme = &self.preset.scheme;
        let key = SchemeSigningKey::private(scheme, &self.key, self.secret).unwrap();
        let unsigned = Unsigned {
            method: "POST",
            url: None,
            headers,
            body: body.as_bytes(),
            id: "transmission-1",
            at: now(&self.api),
        };
        scheme.sign(&key, &unsigned).unwrap()
    }

    async fn send(&self, signed: &Signed) -> Reply {
        let mut request = Request::builder().method(Method::POST).uri(&self.path);
        for (name, value) in &signed.headers {
            request = request.header(name, value);
        }
        let body = Body::from(signed.body.clone());
        self.api.send(request.body(body).unwrap()).await
    }

    /// Which URLs were asked for.
    fn asked(&self) -> Vec<String> {
        let seen = self.api.network.seen();
        let urls = seen.iter().map(|one| one.target.as_str().to_owned());
        urls.collect()
    }

    async fn refused(&self) -> Vec<Value> {
        self.api.requests("verdict=rejected&limit=100").await
    }
}

fn now(api: &TestApi) -> Timestamp {
    api.service.received_at()
}

fn notification(id: &str, certificate: &str) -> Value {
    json!({
        "Type": "Notification", "MessageId": id, "TopicArn": TOPIC, "Message": "hello",
        "Timestamp": "2026-01-31T12:00:00.000Z", "SigningCertURL": certificate,
    })
}

fn subscription(url: &str) -> Value {
    json!({
        "Type": "SubscriptionConfirmation", "MessageId": "m1", "Token": "t1", "TopicArn": TOPIC,
        "Message": "You have chosen to subscribe", "SubscribeURL": url,
        "Timestamp": "2026-01-31T12:00:00.000Z", "SigningCertURL": SNS,
    })
}

#[tokio::test(start_paused = true)]
async fn a_certificate_is_fetched_once_and_verifies_all_that_it_signed() {
    let sns = Provider::sns().await;
    sns.api.network.serve(SNS, 200, sns.certificate());

    for number in 0..5 {
        let body = notification(&format!("m{number}"), SNS).to_string();
        let signed = sns.signed(&[("content-type", "text/plain")], &body);
        assert_eq!(sns.send(&signed).await.status, 200);
    }

    assert_eq!(sns.asked(), [SNS]);
    let seen = &sns.api.network.seen()[0];
    assert_eq!((seen.method.as_str(), seen.body.len()), ("GET", 0));
    assert!(
        seen.headers.is_empty(),
        "nothing of ours is told: {:?}",
        seen.headers
    );
    assert_eq!(sns.api.requests("verdict=accepted").await.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn paypal_s_certificate_verifies_what_paypal_sent_and_no_other_body() {
    let paypal = Provider::new("paypal", WEBHOOK).await;
    paypal.api.network.serve(PAYPAL, 200, paypal.certificate());
    let headers = [
        ("PAYPAL-CERT-URL", PAYPAL),
        ("PAYPAL-AUTH-ALGO", "SHA256withRSA"),
    ];
    let body = r#"{"id":"WH-1","event_type":"PAYMENT.SALE.COMPLETED"}"#;
    let good = paypal.signed(&headers, body);
    let mut forged = good.clone();
    forged.body = body.replace("COMPLETED", "DENIED").into_bytes();

    assert_eq!(paypal.send(&forged).await.status, 401);
    assert_eq!(paypal.send(&good).await.status, 200);

    assert_eq!(paypal.refused().await[0]["reason"], "signature_mismatch");
    assert_eq!(
        paypal.api.requests("verdict=accepted").await[0]["providerId"],
        "WH-1"
    );
    assert_eq!(paypal.asked(), [PAYPAL]);
}

/// Nothing is stored, the provider tries again, and the log says what is the matter.
#[tokio::test(start_paused = true)]
async fn a_certificate_that_cannot_be_had_is_503_and_the_log_says_why() {
    let large = vec![b'a'; (64 << 10) + 1];
    let cases = [
        (404, Vec::new(), "the answer was 404"),
        (
            302,
            Vec::new(),
            "the answer was 302, and nobody is sent elsewhere",
        ),
        (200, large, "it is larger than 65536 bytes"),
    ];
    for (status, body, why) in cases {
        let sns = Provider::sns().await;
        sns.api.network.serve(SNS, status, body);
        let signed = sns.signed(&[], &notification("m1", SNS).to_string());

        let reply = sns.send(&signed).await;

        assert!(reply.headers.contains_key("retry-after"), "{why}");
        reply.expect_problem(503, "key_unavailable");
        assert_eq!(sns.asked(), [SNS], "{why}");
        let refused = &sns.refused().await[0];
        assert_eq!(refused["reason"], "key_unavailable");
        assert_eq!(refused["diagnosis"], format!("could not get {SNS}: {why}"));

        // Later it is there.
        sns.api.network.serve(SNS, 200, sns.certificate());
        assert_eq!(sns.send(&signed).await.status, 503, "not again at once");
        tokio::time::advance(std::time::Duration::from_secs(10)).await;
        assert_eq!(sns.send(&signed).await.status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn why_a_provider_cannot_be_reached_is_told_without_its_address() {
    let sns = Provider::sns().await;
    sns.api.network.set_down(true);
    let signed = sns.signed(&[], &notification("m1", SNS).to_string());

    let reply = sns.send(&signed).await;

    let answer = reply.expect_problem(503, "key_unavailable").to_string();
    assert!(!answer.contains("amazonaws"), "{answer}");
    let refused = &sns.refused().await[0];
    let told = format!("could not get {SNS}: its host refused the connection");
    assert_eq!(refused["diagnosis"], told);
    assert!(!refused.to_string().contains("203.0.113.1"));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_holds_a_request_for_five_seconds() {
    let sns = Provider::sns().await;
    sns.api.network.set_hanging(true);
    let signed = sns.signed(&[], &notification("m1", SNS).to_string());
    let began = tokio::time::Instant::now();

    let reply = sns.send(&signed).await;

    assert_eq!(began.elapsed(), std::time::Duration::from_secs(5));
    reply.expect_problem(503, "key_unavailable");
    let told = format!("could not get {SNS}: no answer came in time");
    assert_eq!(sns.refused().await[0]["diagnosis"], told);
}

/// Whoever can write a URL into a request cannot make the server ask for it.
#[tokio::test(start_paused = true)]
async fn no_url_that_somebody_plants_is_ever_asked_for() {
    const PLANTED: [&str; 18] = [
        "http://sns.eu-west-1.amazonaws.com/c.pem",
        "https://169.254.169.254/latest/meta-data/c.pem",
        "https://127.0.0.1/c.pem",
        "https://[::1]/c.pem",
        "https://localhost/c.pem",
        "https://evil.example/c.pem",
        "https://evil.example/sns.eu-west-1.amazonaws.com/c.pem",
        "https://sns.eu-west-1.amazonaws.com.evil.example/c.pem",
        "https://sns.eu-west-1.amazonaws.com@evil.example/c.pem",
        "https://evil.example#sns.eu-west-1.amazonaws.com/c.pem",
        "https://evil.example\\.sns.eu-west-1.amazonaws.com/c.pem",
        "https://sns.eu-west-1.amazonaws.com:8443/c.pem",
        "https://sns.eu-west-1.amazonaws.com/c.pem?to=https://evil.example",
        "https://sns.eu-west-1.amazonaws.com/c.txt",
        "https://s3.eu-west-1.amazonaws.com/bucket/c.pem",
        "https://sns.eu-west-1.amazonaws.com/%2e%2e/c.pem",
        "file:///etc/passwd.pem",
        "",
    ];
    let sns = Provider::sns().await;
    for url in PLANTED {
        let signed = sns.signed(&[], &notification("m1", url).to_string());
        let reply = sns.send(&signed).await;
        assert_eq!(reply.status, 401, "{url}");
    }

    assert!(sns.asked().is_empty(), "{:?}", sns.asked());
    let refused = sns.refused().await;
    assert_eq!(refused.len(), PLANTED.len());
    for request in &refused {
        assert_eq!(request["reason"], "certificate_url", "{request}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_amazon_signed_for_somebody_else_or_not_at_all_is_refused() {
    let sns = Provider::sns().await;
    sns.api.network.serve(SNS, 200, sns.certificate());
    let body = notification("m1", SNS).to_string();
    let other = body.replace("123456789012", "999999999999");
    let mut tampered = sns.signed(&[], &body);
    let text = String::from_utf8(tampered.body).unwrap();
    tampered.body = text.replace("hello", "howdy").into_bytes();

    assert_eq!(sns.send(&sns.signed(&[], &other)).await.status, 401);
    assert_eq!(sns.send(&tampered).await.status, 401);
    let stranger = Provider::sns().await;
    let by_another = stranger.signed(&[], &body);
    assert_eq!(sns.send(&by_another).await.status, 401);

    let refused = sns.refused().await;
    let reasons: Vec<_> = refused.iter().map(|one| one["reason"].as_str()).collect();
    let mismatch = Some("signature_mismatch");
    assert_eq!(reasons, [mismatch, mismatch, Some("other_audience")]);
}

#[tokio::test(start_paused = true)]
async fn what_is_served_as_a_certificate_and_is_none_verifies_nothing() {
    let sns = Provider::sns().await;
    sns.api
        .network
        .serve(SNS, 200, "<html>sign in to the network</html>");
    let signed = sns.signed(&[], &notification("m1", SNS).to_string());

    assert_eq!(sns.send(&signed).await.status, 401);

    assert_eq!(sns.refused().await[0]["reason"], "certificate_malformed");
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_confirmed_at_amazon_once_its_signature_holds() {
    const URL: &str = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=t1";
    let sns = Provider::sns().await;
    sns.api.network.serve(SNS, 200, sns.certificate());
    let good = sns.signed(&[], &subscription(URL).to_string());
    let mut forged = good.clone();
    let text = String::from_utf8(forged.body).unwrap();
    forged.body = text.replace("Token=t1", "Token=t2").into_bytes();
    let planted = subscription("https://evil.example/?Action=ConfirmSubscription");
    let planted = sns.signed(&[], &planted.to_string());

    assert_eq!(sns.send(&forged).await.status, 401);
    assert!(sns.send(&planted).await.status.is_client_error());
    assert_eq!(sns.asked(), [SNS], "nothing was confirmed");
    sns.api.network.serve(URL, 500, "");
    assert_eq!(sns.send(&good).await.status, 503);
    let told = format!("could not get {URL}: the answer was 500");
    assert_eq!(sns.refused().await[0]["diagnosis"], told);
    sns.api
        .network
        .serve(URL, 200, "<ConfirmSubscriptionResponse/>");
    assert!(sns.send(&good).await.status.is_success());

    assert_eq!(sns.asked(), [SNS, URL, URL]);
    let kept = sns.api.requests("verdict=handshake").await;
    assert_eq!(kept[0]["reason"], "subscription");
    assert!(sns.api.requests("verdict=accepted").await.is_empty());
}

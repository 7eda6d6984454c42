//! Requests that providers and other verifiers have published, with their signatures.

use serde_json::Value;

use super::*;

/// What a vector's provider is called here: a preset, or a scheme of one's own.
fn scheme_of(provider: &str) -> Scheme {
    let custom = |prefix: &str, header: &str, algorithm: &str| {
        let text = format!(
            "signature = {{ from = [\"header:{header}\"], prefix = \"{prefix}\" }}\n\
             signed = \"{{body}}\"\nalgorithm = \"{algorithm}\"\nencoding = \"hex\""
        );
        Scheme::parse(&text).unwrap()
    };
    match provider {
        "hmac-sha1" => custom("sha1=", "X-Hub-Signature", "hmac-sha1"),
        "hmac-sha512" => custom("sha512=", "X-Signature", "hmac-sha512"),
        "standard-webhooks/svix" => scheme("svix").clone(),
        name => scheme(name).clone(),
    }
}

fn sent(vector: &Value) -> Sent {
    let text = |name: &str| vector[name].as_str().map(str::to_owned);
    let mut sent = Sent::post(text("body").unwrap_or_default());
    sent.method = text("method").unwrap_or_else(|| "POST".into());
    sent.url = text("url");
    if let Some(form) = vector["form"].as_object() {
        let mut fields = form_urlencoded::Serializer::new(String::new());
        for (name, value) in form {
            fields.append_pair(name, value.as_str().unwrap());
        }
        sent.body = fields.finish().into_bytes();
        sent = sent.with(
            "Content-Type",
            "application/x-www-form-urlencoded; charset=utf-8",
        );
    }
    for (name, value) in vector["headers"].as_object().unwrap() {
        sent = sent.with(name, value.as_str().unwrap());
    }
    sent
}

/// When the vector says that it was signed: tests run at that second.
fn signed_at(scheme: &Scheme, sent: &Sent) -> i64 {
    let Some(rule) = scheme.timestamp() else {
        return 0;
    };
    sent.as_request(|request| {
        let view = super::request::View::new(*request, scheme.signature());
        let text = rule
            .from
            .iter()
            .find_map(|place| place.find(&view).unwrap());
        rule.read(&text.unwrap()).unwrap().as_unix_seconds()
    })
}

/// Verifies each request of a file, and refuses it with a byte more. Returns how many there are.
fn check(file: &str) -> usize {
    let vectors: Vec<Value> = serde_json::from_str(file).unwrap();
    for vector in &vectors {
        let text = |name: &str| vector[name].as_str();
        let provider = text("provider").unwrap();
        if provider == "x-crc" {
            let token = vector["query"]["crc_token"].as_str().unwrap();
            let answer = crc_response(text("secret").unwrap(), token);
            assert_eq!(
                answer.as_deref(),
                vector["response"]["response_token"].as_str()
            );
            continue;
        }
        let scheme = scheme_of(provider);
        let secret = text("secret").or(text("public_key_spki_b64")).unwrap();
        let mut sent = sent(vector);
        if let Some((url, pem)) = text("certificate_url").zip(text("certificate")) {
            sent.fetched = Some((url.into(), pem.into()));
        }
        let now = signed_at(&scheme, &sent);

        sent.verified(&scheme, &[secret], now);
        let mut changed = sent.clone();
        if scheme.signed().covers_body() {
            changed.body.push(b'x');
        } else {
            changed.body = replaced(&sent.body, b"165545c9", b"165545ca");
        }
        changed.refused(&scheme, &[secret], now);
    }
    vectors.len()
}

fn replaced(body: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = body
        .windows(old.len())
        .position(|found| found == old)
        .unwrap();
    [&body[..at], new, &body[at + old.len()..]].concat()
}

#[test]
fn every_published_request_verifies_and_no_changed_one_does() {
    assert_eq!(
        check(include_str!("vectors.json")),
        22,
        "a vector was added or lost"
    );
}

/// Made with the providers' own libraries and with openssl, for a body with characters that are
/// spelled in several ways.
#[test]
fn every_request_that_a_library_signed_verifies_and_no_changed_one_does() {
    assert_eq!(
        check(include_str!("libraries.json")),
        14,
        "a vector was added or lost"
    );
}

/// The provider's own tests of ports, fields that come twice, and bodies that are no form.
#[test]
fn twilio_signs_urls_with_and_without_ports() {
    let form = "CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212\
                &Caller=%2B14158675309";
    let accepts = |url: &str, signature: &str| {
        let sent = Sent::post(form)
            .to(url)
            .with("X-Twilio-Signature", signature);
        matches!(
            sent.verdict(scheme("twilio"), &["12345"], 0),
            Verdict::Verified(_)
        )
    };
    let (https, http) = ("https://mycompany.com", "http://mycompany.com");
    let path = "/myapp.php?foo=1&bar=2";
    let plain = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
    let with_443 = "kvajT1Ptam85bY51eRf/AJRuM3w=";
    let with_80 = "0ZXoZLH/DfblKGATFgpif+LLRf4=";

    assert!(accepts(&format!("{https}{path}"), plain));
    assert!(accepts(&format!("{https}:1234{path}"), plain));
    assert!(accepts(&format!("{https}{path}"), with_443));
    assert!(accepts(&format!("{http}{path}"), with_80));
    assert!(!accepts(&format!("{https}{path}"), with_80));
    assert!(!accepts(&format!("{https}/other{path}"), plain));
}

#[test]
fn what_is_no_form_and_has_no_hash_is_not_covered() {
    let url = "https://mycompany.com/myapp.php";
    let signed = round_trips::shared("twilio", "12345", &Sent::post("").to(url));

    let mut changed = signed.clone().with("Content-Type", "application/json");
    changed.body = b"{}".to_vec();

    signed.verified(scheme("twilio"), &["12345"], 0);
    let refused = changed.refused(scheme("twilio"), &["12345"], 0);
    assert!(
        matches!(refused, Refused::BodyNotCovered { .. }),
        "{refused}"
    );
}

/// The notification of the tests of Adyen's own libraries, with the signature that they expect.
#[test]
fn adyen_signs_a_few_fields_of_one_notification() {
    const KEY: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
    let item = |reference: &str, signature: &str| {
        serde_json::json!({"NotificationRequestItem": {
            "pspReference": "7914073381342284", "merchantAccountCode": "TestMerchant",
            "merchantReference": reference, "amount": {"value": 1130, "currency": "EUR"},
            "eventCode": "AUTHORISATION", "success": "true", "reason": "anything",
            "additionalData": {"hmacSignature": signature},
        }})
    };
    let scheme = scheme("adyen-payments");
    let sent = |items: &[&Value]| {
        Sent::post(serde_json::json!({"live": "false", "notificationItems": items}).to_string())
    };
    let signature = "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0=";
    let good = item("TestPayment-1407325143704", signature);
    let other = item("TestPayment-1407325143705", signature);

    let verified = sent(&[&good]).verified(scheme, &[KEY], 0);

    assert_eq!(verified.event.as_deref(), Some("AUTHORISATION"));
    assert_eq!(
        sent(&[&other]).refused(scheme, &[KEY], 0),
        Refused::SignatureMismatch
    );
    for items in [&[&good, &other][..], &[&good, &good]] {
        let refused = sent(items).refused(scheme, &[KEY], 0);
        assert!(
            matches!(refused, Refused::BodyNotCovered { .. }),
            "{refused}"
        );
    }
    let refused = sent(&[]).refused(scheme, &[KEY], 0);
    assert!(
        matches!(refused, Refused::SignatureMissing { .. }),
        "{refused}"
    );
}

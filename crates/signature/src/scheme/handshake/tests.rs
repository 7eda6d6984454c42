//! What is answered, and above all what is not.

use super::*;
use crate::scheme::{SchemeSigningKey, Unsigned, preset};

const NOW: i64 = 1_700_000_000;
const SECRET: &str = "a secret of twenty-four b";

/// A source of a provider, and what is known of it.
struct Source {
    preset: &'static crate::scheme::Preset,
    keys: Vec<Key>,
    verify_token: Option<[u8; 32]>,
    awaiting: bool,
    rate_max: Option<u32>,
}

/// A request to it.
#[derive(Default)]
struct Sent<'a> {
    method: &'a str,
    query: &'a str,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Source {
    fn of(name: &str) -> Self {
        let preset = preset(name).unwrap();
        let keys = Key::parse(&preset.scheme, SECRET).into_iter().collect();
        Self {
            preset,
            keys,
            verify_token: None,
            awaiting: false,
            rate_max: None,
        }
    }

    fn awaiting(name: &str) -> Self {
        let (keys, awaiting) = (Vec::new(), true);
        Self {
            keys,
            awaiting,
            ..Self::of(name)
        }
    }

    fn asked(&self, sent: &Sent<'_>) -> Asked {
        let headers = sent.headers.iter();
        let headers: Vec<_> = headers.map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        let request = Request {
            method: sent.method,
            url: None,
            headers: &headers,
            body: &sent.body,
            fetched: None,
        };
        let greeting = Greeting {
            handshakes: &self.preset.handshakes,
            scheme: &self.preset.scheme,
            keys: &self.keys,
            verify_token: self.verify_token.as_ref(),
            awaiting: self.awaiting,
            query: sent.query,
            rate_max: self.rate_max,
            now: Timestamp::from_unix_seconds(NOW),
        };
        greeting.answer(&request)
    }

    fn answer(&self, sent: &Sent<'_>) -> Answer {
        match self.asked(sent) {
            Asked::Answer(answer) => answer,
            other => panic!("not answered: {other:?}"),
        }
    }

    fn refused(&self, sent: &Sent<'_>) -> HandshakeRefused {
        match self.asked(sent) {
            Asked::Refused(refused) => refused,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// The same body with the provider's signature.
    fn signed<'a>(&self, body: &str, headers: &[(&str, &str)]) -> Sent<'a> {
        let scheme = &self.preset.scheme;
        let key = SchemeSigningKey::shared(scheme, SECRET).unwrap();
        let unsigned = Unsigned {
            method: "POST",
            url: None,
            headers,
            body: body.as_bytes(),
            id: "msg_1",
            at: Timestamp::from_unix_seconds(NOW),
        };
        let signed = scheme.sign(&key, &unsigned).unwrap();
        Sent {
            headers: signed.headers,
            ..post(signed.body)
        }
    }
}

fn post<'a>(body: impl AsRef<[u8]>) -> Sent<'a> {
    Sent {
        method: "POST",
        body: body.as_ref().to_vec(),
        ..Sent::default()
    }
}

fn get(query: &str) -> Sent<'_> {
    Sent {
        method: "GET",
        query,
        ..Sent::default()
    }
}

fn with<'a>(mut sent: Sent<'a>, name: &str, value: &str) -> Sent<'a> {
    sent.headers.push((name.into(), value.into()));
    sent
}

#[test]
fn slack_gets_its_challenge_back_as_plain_text() {
    let source = Source::of("slack");
    let body = r#"{"token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV","type":"url_verification"}"#;

    let answer = source.answer(&post(body));

    assert_eq!(
        (answer.status, answer.body.as_str()),
        (200, "3eZbrw1aBm2rZgRNFdxV")
    );
    let expected = [
        ("content-type", "text/plain; charset=utf-8".to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
    ];
    assert_eq!(answer.headers, expected);
}

#[test]
fn what_is_sent_back_is_short_and_plain() {
    let source = Source::of("slack");
    let asked = |challenge: &str| {
        let body = json!({"type": "url_verification", "challenge": challenge});
        source.asked(&post(body.to_string()))
    };

    assert!(matches!(asked(&"a".repeat(256)), Asked::Answer(_)));
    for challenge in ["", "a\nb", "\u{1b}[2J", "a".repeat(257).as_str()] {
        let asked = asked(challenge);
        assert!(
            matches!(asked, Asked::Refused(_)),
            "{challenge:?}: {asked:?}"
        );
    }
    let missing = post(r#"{"type":"url_verification"}"#);
    assert_eq!(source.refused(&missing).status(), 400);
}

#[test]
fn an_event_that_quotes_a_question_is_an_event() {
    let source = Source::of("slack");
    let quoted = r#"{"type":"event_callback","event":{"text":"url_verification"}}"#;

    assert_eq!(source.asked(&post(quoted)), Asked::Nothing);
    let long = format!(
        r#"{{"type":"url_verification","challenge":"a","x":"{}"}}"#,
        "a".repeat(QUESTION_LEN_MAX)
    );
    assert_eq!(source.asked(&post(long)), Asked::Nothing);
}

#[test]
fn zoom_gets_an_hmac_only_for_a_question_that_it_has_signed() {
    let source = Source::of("zoom");
    let body =
        r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#;

    let answer = source.answer(&source.signed(body, &[]));

    let expected = challenge::zoom_response(SECRET, "qgg8vlvZRS6UYooatFL8Aw").unwrap();
    assert!(answer.body.contains(&expected), "{}", answer.body);
    let refused = source.refused(&post(body));
    assert!(
        matches!(refused, HandshakeRefused::Unsigned(_)),
        "{refused}"
    );
    assert_eq!(refused.status(), 401);
}

/// The oracle: a question whose answer would be the signature of a request.
#[test]
fn zoom_and_x_sign_no_text_that_could_be_a_request() {
    let zoom = Source::of("zoom");
    let body = |token: &str| {
        json!({"event": "endpoint.url_validation", "payload": {"plainToken": token}}).to_string()
    };
    let forged = format!(r#"v0:{NOW}:{{"event":"meeting.started"}}"#);
    for token in [
        forged.as_str(),
        "",
        "a.b",
        "a b",
        "é",
        "a".repeat(129).as_str(),
    ] {
        for sent in [post(body(token)), zoom.signed(&body(token), &[])] {
            assert_eq!(zoom.refused(&sent).status(), 400, "{token}");
        }
    }
    let x = Source::of("x");
    for query in [
        "crc_token=%7B%22tweet_create_events%22%3A%5B%5D%7D",
        "crc_token=",
        "crc_token=a.b",
        "crc_token=a&crc_token=b",
    ] {
        assert_eq!(x.refused(&get(query)).status(), 400, "{query}");
    }
}

#[test]
fn x_gets_the_hmac_of_its_token() {
    let mut source = Source::of("x");
    source.keys = vec![Key::parse(&source.preset.scheme, "Convoy").unwrap()];

    let answer = source.answer(&get("crc_token=uzwcfYtzr9&nonce=1"));

    let expected = r#"{"response_token":"sha256=HXvxTdsfShG6k2zC9NVANwFquJBdOugRYHax2vNiiOo="}"#;
    assert_eq!(answer.body, expected);
    source.keys.clear();
    let refused = source.refused(&get("crc_token=uzwcfYtzr9"));
    assert_eq!(refused, HandshakeRefused::NoKey);
}

#[test]
fn meta_is_answered_only_when_it_knows_the_verify_token() {
    let mut source = Source::of("meta");
    let query = "hub.mode=subscribe&hub.verify_token=s3same&hub.challenge=1158201444";
    assert_eq!(source.refused(&get(query)), HandshakeRefused::NoVerifyToken);
    let hash = digest::digest(&digest::SHA256, b"s3same");
    source.verify_token = Some(hash.as_ref().try_into().unwrap());

    assert_eq!(source.answer(&get(query)).body, "1158201444");
    for query in [
        "hub.mode=subscribe&hub.verify_token=other&hub.challenge=1",
        "hub.mode=subscribe&hub.verify_token=&hub.challenge=1",
        "hub.mode=subscribe&hub.challenge=1",
        "hub.mode=subscribe&hub.verify_token=s3same&hub.verify_token=x&hub.challenge=1",
    ] {
        let refused = source.refused(&get(query));
        assert_eq!(refused, HandshakeRefused::VerifyToken, "{query}");
        assert_eq!(refused.status(), 403);
    }
}

#[test]
fn a_hub_is_confirmed_to_begin_and_never_to_end() {
    let source = Source::of("websub");

    let subscribe = get("hub.mode=subscribe&hub.topic=t&hub.challenge=abc");
    assert_eq!(source.answer(&subscribe).body, "abc");
    let end = get("hub.mode=unsubscribe&hub.topic=t&hub.challenge=abc");
    assert_eq!(source.refused(&end).status(), 400);
}

#[test]
fn twitch_is_answered_only_when_it_has_signed() {
    let source = Source::of("twitch");
    let kind = [(
        "Twitch-Eventsub-Message-Type",
        "webhook_callback_verification",
    )];
    let body = r#"{"challenge":"pogchamp-kappa-360noscope-vohiyo","subscription":{}}"#;

    let answer = source.answer(&source.signed(body, &kind));

    assert_eq!(answer.body, "pogchamp-kappa-360noscope-vohiyo");
    let unsigned = with(post(body), kind[0].0, kind[0].1);
    assert_eq!(source.refused(&unsigned).status(), 401);
    let notification = [("Twitch-Eventsub-Message-Type", "notification")];
    let event = source.signed(body, &notification);
    assert_eq!(source.asked(&event), Asked::Nothing);
}

#[test]
fn discord_is_answered_in_kind_and_gets_401_for_its_bad_signatures() {
    let mut source = Source::of("discord");
    let scheme = &source.preset.scheme;
    let pair = SchemeSigningKey::private(scheme, &[7; 32], "").unwrap();
    source.keys = vec![Key::parse(scheme, &pair.public(scheme).unwrap()).unwrap()];
    let signed = |body: &str| {
        let unsigned = Unsigned {
            method: "POST",
            url: None,
            headers: &[],
            body: body.as_bytes(),
            id: "1",
            at: Timestamp::from_unix_seconds(NOW),
        };
        let signed = scheme.sign(&pair, &unsigned).unwrap();
        Sent {
            headers: signed.headers,
            ..post(body)
        }
    };

    let interaction = source.answer(&signed(r#"{"type":1,"version":1}"#));
    let ping = source.answer(&signed(r#"{"type":0,"version":1}"#));

    assert_eq!(
        (interaction.status, interaction.body.as_str()),
        (200, r#"{"type":1}"#)
    );
    assert_eq!((ping.status, ping.body.as_str()), (204, ""));
    let event = signed(r#"{"type":1,"event":{"type":"APPLICATION_AUTHORIZED"}}"#);
    assert_eq!(source.asked(&event), Asked::Nothing);
    for kind in [0, 1] {
        let mut forged = signed("{}");
        forged.body = format!(r#"{{"type":{kind}}}"#).into_bytes();
        assert_eq!(source.refused(&forged).status(), 401);
    }
}

#[test]
fn a_secret_is_taken_once_and_only_while_it_is_waited_for() {
    let token = r#"{"verification_token":"secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}"#;
    let hook = || {
        with(
            post("{}"),
            "X-Hook-Secret",
            "b537207f20cbfa02357cf448134da559",
        )
    };
    let (notion, asana) = (Source::awaiting("notion"), Source::awaiting("asana"));

    let Asked::Secret { secret, answer } = notion.asked(&post(token)) else {
        panic!("not taken");
    };
    assert!(secret.reveal().starts_with("secret_tMrl"));
    assert_eq!(answer.status, 200);
    let Asked::Secret { secret, answer } = asana.asked(&hook()) else {
        panic!("not taken");
    };
    assert_eq!(secret.reveal(), "b537207f20cbfa02357cf448134da559");
    assert_eq!(
        answer.headers,
        [("x-hook-secret", secret.reveal().to_owned())]
    );
    assert!(!format!("{:?}", asana.asked(&hook())).contains("b5372"));

    let mut live = Source::of("asana");
    assert_eq!(live.refused(&hook()), HandshakeRefused::NotAwaited);
    live.awaiting = true;
    assert_eq!(
        live.refused(&hook()),
        HandshakeRefused::NotAwaited,
        "a live key stays"
    );
    let idle = Source {
        awaiting: false,
        ..Source::awaiting("notion")
    };
    assert_eq!(idle.refused(&post(token)), HandshakeRefused::NotAwaited);
}

#[test]
fn no_empty_or_endless_secret_is_taken() {
    let source = Source::awaiting("asana");

    for secret in ["", " ", "a".repeat(257).as_str()] {
        let sent = with(post("{}"), "X-Hook-Secret", secret);
        assert_eq!(
            source.refused(&sent),
            HandshakeRefused::Secret,
            "{secret:?}"
        );
    }
    let two = with(with(post("{}"), "X-Hook-Secret", "a"), "X-Hook-Secret", "b");
    assert_eq!(source.refused(&two).status(), 400);
}

#[test]
fn probes_echoes_and_pings_are_answered() {
    assert_eq!(Source::of("trello").answer(&get("")).status, 200);
    let head = Sent {
        method: "HEAD",
        ..Sent::default()
    };
    assert_eq!(Source::of("mandrill").answer(&head).body, "");
    let echoed = |name, query| Source::of(name).answer(&get(query)).body;
    assert_eq!(echoed("dropbox", "challenge=a%2Fb"), "a/b");
    assert_eq!(echoed("onfleet", "check=x"), "x");
    let graph = Sent {
        query: "validationToken=Validation%3A+Testing",
        ..post("")
    };
    assert_eq!(
        Source::of("microsoft-graph").answer(&graph).body,
        "Validation: Testing"
    );
    let okta = with(get(""), "x-okta-verification-challenge", "abc");
    assert_eq!(
        Source::of("okta").answer(&okta).body,
        r#"{"verification":"abc"}"#
    );
    let form = "application/x-www-form-urlencoded";
    let ping = with(post("webhook_id=17"), "Content-Type", form);
    assert_eq!(Source::of("woocommerce").answer(&ping).status, 200);
    let more = with(post("webhook_id=17&order=1"), "Content-Type", form);
    assert_eq!(Source::of("woocommerce").asked(&more), Asked::Nothing);
}

#[test]
fn adobe_gets_its_client_id_back_if_it_is_the_right_one() {
    let source = Source::of("adobe-sign");
    let asked = |id| with(get(""), "X-AdobeSign-ClientId", id);

    let answer = source.answer(&asked(SECRET));

    assert!(
        answer
            .headers
            .contains(&("x-adobesign-clientid", SECRET.to_owned()))
    );
    assert_eq!(source.refused(&asked("other")).status(), 403);
}

#[test]
fn cloudevents_senders_get_permission_at_a_rate() {
    let mut source = Source::of("cloudevents");
    let asked = |origin: &str| Sent {
        method: "OPTIONS",
        headers: vec![
            ("WebHook-Request-Origin".into(), origin.into()),
            ("WebHook-Request-Rate".into(), "120".into()),
            (
                "WebHook-Request-Callback".into(),
                "http://169.254.169.254/".into(),
            ),
        ],
        ..Sent::default()
    };
    source.rate_max = Some(60);

    let answer = source.answer(&asked("eventemitter.example.com"));

    let header = |name| {
        answer
            .headers
            .iter()
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.as_str())
    };
    assert_eq!(
        header("webhook-allowed-origin"),
        Some("eventemitter.example.com")
    );
    assert_eq!(header("webhook-allowed-rate"), Some("60"));
    assert_eq!(header("allow"), Some("POST"));
    for origin in ["", "a b", "a\tb", "<script>"] {
        assert_eq!(source.refused(&asked(origin)).status(), 400, "{origin:?}");
    }
}

#[test]
fn a_provider_without_questions_is_asked_none() {
    let source = Source::of("github");

    for sent in [
        get("crc_token=a&hub.mode=subscribe&hub.challenge=a&challenge=b"),
        post(r#"{"type":"url_verification","challenge":"a"}"#),
        with(post("{}"), "X-Hook-Secret", "planted"),
    ] {
        assert_eq!(source.asked(&sent), Asked::Nothing);
    }
}

//! Every invariant is broken once: an oracle that cannot object proves nothing.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::message::secret;

const MESSAGES: Messages = Messages {
    seed: 1,
    size_min: 64,
};
const KILL: Kill = Kill {
    at: 100,
    ready: 110,
};
const LIMITS: Limits = Limits {
    repeats_per_kill: 2,
    unrecorded: Duration::from_nanos(95),
    repeats_share: 1.0,
};

fn publish(sequence: u64, outcome: Published) -> Publish {
    Publish { sequence, outcome }
}

fn accepted(sequence: u64) -> Publish {
    publish(
        sequence,
        Published::Accepted {
            id: format!("msg_{sequence}"),
        },
    )
}

fn delivery(sequence: u64, endpoint: usize, at: u64) -> Delivery {
    let (id, timestamp) = (format!("msg_{sequence}"), "1763".to_owned());
    let payload = MESSAGES.payload(sequence);
    let secret = STANDARD
        .decode(secret().trim_start_matches("whsec_"))
        .unwrap();
    let signed = [id.as_bytes(), b".1763.", payload.as_slice()].concat();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), &signed);
    let signature = format!("v1,AAAA v1,{}", STANDARD.encode(tag));
    let hash = hash(&payload);
    Delivery {
        endpoint,
        sequence: Some(sequence),
        id,
        hash,
        at,
        timestamp,
        signature,
    }
}

fn everywhere(sequence: u64, at: u64) -> Vec<Delivery> {
    (0..ENDPOINTS)
        .map(|endpoint| delivery(sequence, endpoint, at))
        .collect()
}

fn evidence(publishes: Vec<Publish>, deliveries: Vec<Delivery>) -> Evidence {
    Evidence {
        messages: MESSAGES,
        publishes,
        deliveries,
        kills: vec![KILL],
    }
}

fn violations(publishes: Vec<Publish>, deliveries: Vec<Delivery>) -> Vec<String> {
    judge(&evidence(publishes, deliveries), LIMITS).violations
}

#[test]
fn a_run_in_which_all_arrived_once_has_no_violation() {
    let deliveries = [everywhere(1, 10), everywhere(2, 200)].concat();

    let verdict = judge(
        &evidence(vec![accepted(1), accepted(2)], deliveries),
        LIMITS,
    );

    assert_eq!(verdict.violations, Vec::<String>::new());
    assert_eq!(
        (verdict.accepted, verdict.deliveries, verdict.repeats),
        (2, 6, 0)
    );
}

#[test]
fn an_accepted_message_that_missed_one_endpoint_is_lost() {
    let found = violations(vec![accepted(1)], everywhere(1, 10)[..2].to_vec());

    assert_eq!(
        found,
        ["1 accepted and not delivered to every endpoint: 1 (msg_1)"]
    );
}

#[test]
fn a_message_under_another_id_than_the_answers_is_lost() {
    let answer = publish(
        1,
        Published::Accepted {
            id: "msg_other".into(),
        },
    );

    let found = violations(vec![answer], everywhere(1, 10));

    assert_eq!(
        found,
        ["1 accepted and not delivered to every endpoint: 1 (msg_other)"]
    );
}

#[test]
fn a_publish_whose_answer_was_lost_may_arrive_or_not() {
    let publishes = vec![
        publish(8, Published::Unknown),
        publish(16, Published::Unknown),
    ];

    let verdict = judge(&evidence(publishes, everywhere(8, 10)), LIMITS);

    assert_eq!(verdict.violations, Vec::<String>::new());
    assert_eq!((verdict.unknown, verdict.unknown_delivered), (2, 1));
}

#[test]
fn a_keyed_publish_that_never_was_accepted_is_objected_to() {
    let found = violations(vec![publish(1, Published::Unanswered)], Vec::new());

    assert_eq!(found, ["1 repeated under its key and never accepted: 1"]);
}

#[test]
fn what_was_refused_or_never_published_must_not_arrive() {
    let refused = publish(1, Published::Refused { status: 507 });

    let found = violations(
        vec![refused],
        [everywhere(1, 10), everywhere(2, 10)].concat(),
    );

    assert_eq!(
        found,
        [
            "1 delivered and never published: msg_2",
            "1 delivered and yet refused: msg_1 (507)"
        ]
    );
}

#[test]
fn a_repeated_publish_that_became_two_messages_is_objected_to() {
    let other = delivery(1, 0, 20);
    let signed_as_other = Delivery {
        id: "msg_other".into(),
        ..other
    };

    let found = violations(
        vec![accepted(1)],
        [everywhere(1, 10), vec![signed_as_other]].concat(),
    );

    assert_eq!(
        found[0],
        "1 one publish that became several messages: msg_1 msg_other"
    );
}

#[test]
fn a_valid_publish_is_never_the_publishers_fault() {
    let found = violations(
        vec![publish(1, Published::Refused { status: 404 })],
        Vec::new(),
    );

    assert_eq!(found, ["1 refused as the publisher's fault: 404"]);
}

#[test]
fn other_bytes_and_wrong_signatures_are_objected_to() {
    let mut deliveries = everywhere(1, 10);
    deliveries[0].hash = hash(b"other bytes");
    deliveries[1].timestamp = "1764".into();

    let found = violations(vec![accepted(1)], deliveries);

    assert_eq!(
        found,
        [
            "1 delivered with other bytes: msg_1",
            "1 delivered with a wrong signature: msg_1"
        ]
    );
}

#[test]
fn an_id_that_two_messages_share_is_objected_to() {
    let mut deliveries = [everywhere(1, 10), everywhere(2, 10)].concat();
    for delivery in &mut deliveries {
        delivery.id = "msg_1".into();
    }

    let found = violations(vec![accepted(1)], deliveries);

    let expected = "3 delivered under the id of another message: msg_1, msg_1, msg_1";
    assert!(found.contains(&expected.to_owned()), "{found:?}");
}

#[test]
fn a_delivery_read_just_after_the_kill_may_still_be_the_old_process_s() {
    let deliveries = [everywhere(1, 105), vec![delivery(1, 0, 120)]].concat();

    let verdict = judge(&evidence(vec![accepted(1)], deliveries), LIMITS);

    assert_eq!(verdict.violations, Vec::<String>::new());
    assert_eq!((verdict.repeats, verdict.repeats_peak), (1, 1));
}

#[test]
fn a_repeat_after_a_kill_is_counted_and_one_without_is_objected_to() {
    let before = [everywhere(1, 10), everywhere(2, 150)].concat();
    let explained = [before.clone(), vec![delivery(1, 0, 120)]].concat();
    let unexplained = [before, vec![delivery(2, 0, 160)]].concat();
    let publishes = || vec![accepted(1), accepted(2)];

    let verdict = judge(&evidence(publishes(), explained), LIMITS);
    let found = violations(publishes(), unexplained);

    assert_eq!((verdict.repeats, verdict.repeats_peak), (1, 1));
    assert_eq!(verdict.violations, Vec::<String>::new());
    assert_eq!(found, ["1 repeated with no kill in between: msg_2 at 0"]);
}

#[test]
fn a_repeat_of_what_must_have_been_recorded_long_before_the_kill_is_objected_to() {
    let deliveries = [everywhere(1, 4), vec![delivery(1, 0, 120)]].concat();

    let verdict = judge(&evidence(vec![accepted(1)], deliveries), LIMITS);

    assert_eq!(
        verdict.violations,
        ["1 repeated though 95ns had passed: msg_1 at 0"]
    );
    assert_eq!(verdict.unrecorded_peak, Duration::from_nanos(96));
}

#[test]
fn more_repeats_at_a_kill_than_could_be_in_flight_are_objected_to() {
    let deliveries = [everywhere(1, 10), everywhere(1, 120)].concat();

    let found = violations(vec![accepted(1)], deliveries.clone());
    let limits = Limits {
        repeats_per_kill: 9,
        unrecorded: Duration::from_nanos(95),
        repeats_share: 0.01,
    };
    let share = judge(&evidence(vec![accepted(1)], deliveries), limits).violations;

    assert_eq!(found, ["1 kills with more than 2 repeats: 3"]);
    assert_eq!(share, ["50.00 % of the deliveries were repeats"]);
}

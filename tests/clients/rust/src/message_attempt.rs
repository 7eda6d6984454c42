use svix::api::{MessageAttemptListByEndpointOptions, MessageAttemptListByMsgOptions};
use svix::models::{MessageOut, MessageStatus, StatusCodeClass};

use crate::check::{World, all_pages, eventually, message, ok, refused, set};

pub async fn run(world: &World) {
    let (api, app) = (world.svix.message_attempt(), world.app());
    let all = world.endpoint(world.endpoint_in("/all")).await;
    let mut paid_only = world.endpoint_in("/paid");
    paid_only.event_types = set(&["invoice.paid"]);
    let paid_only = world.endpoint(paid_only).await;
    let mut paid = message("invoice.paid", 1);
    (paid.tags, paid.channels) = (set(&["red"]), set(&["eu"]));
    let paid = world.publish(paid).await;
    let created = world.publish(message("invoice.created", 2)).await;
    let attempts = world.attempts(&paid.id, 2).await;
    let mut reached: Vec<&str> = attempts
        .iter()
        .map(|item| item.endpoint_id.as_str())
        .collect();
    reached.sort_unstable();
    assert_eq!(
        reached,
        [all.id.as_str(), paid_only.id.as_str()],
        "both asked for it"
    );
    assert!(
        attempts
            .iter()
            .all(|item| item.status == MessageStatus::Success)
    );
    assert_eq!(world.attempts(&created.id, 1).await[0].endpoint_id, all.id);
    ok("each message reached the endpoints that asked for it");

    by_message(world, &paid).await;
    let by_endpoint = async |options: MessageAttemptListByEndpointOptions| {
        let list = api
            .list_by_endpoint(app.clone(), paid_only.id.clone(), Some(options))
            .await;
        list.expect("a list").data
    };
    let failed = Some(MessageStatus::Fail);
    let failed = MessageAttemptListByEndpointOptions {
        status: failed,
        ..Default::default()
    };
    assert!(by_endpoint(failed).await.is_empty());
    let with_msg = Some(true);
    let with_msg = MessageAttemptListByEndpointOptions {
        with_msg,
        ..Default::default()
    };
    let found = by_endpoint(with_msg).await;
    assert_eq!(found[0].msg.as_ref().expect("its message").id, paid.id);
    let to = api
        .list_attempted_destinations(app.clone(), paid.id.clone(), None)
        .await;
    assert_eq!(to.expect("a list").data.len(), 2, "destinations");
    let of = api
        .list_attempted_messages(app.clone(), paid_only.id.clone(), None)
        .await;
    assert_eq!(
        of.expect("a list").data[0].id,
        paid.id,
        "messages of an endpoint"
    );
    let one = api
        .get(app.clone(), paid.id.clone(), attempts[0].id.clone(), None)
        .await;
    assert_eq!(one.expect("an attempt").url, attempts[0].url);
    let unknown = "atmpt_nowhere".to_owned();
    let unknown = api.get(app.clone(), paid.id.clone(), unknown, None).await;
    refused(unknown, 404, "an unknown attempt is 404");
    ok("attempts are listed by message and by endpoint");

    let mut broken = world.endpoint_in("/status/500");
    broken.event_types = set(&["invoice.broken"]);
    let broken = world.endpoint(broken).await;
    world.publish(message("invoice.broken", 3)).await;
    eventually("a failed attempt", async || {
        let only = Some(StatusCodeClass::Code5xx);
        let only = MessageAttemptListByEndpointOptions {
            status_code_class: only,
            ..Default::default()
        };
        let list = api
            .list_by_endpoint(app.clone(), broken.id.clone(), Some(only))
            .await;
        list.expect("a list").data.into_iter().next()
    })
    .await;
    api.resend(app.clone(), paid.id.clone(), paid_only.id.clone(), None)
        .await
        .expect("a resend");
    world.attempts(&paid.id, 3).await;
    ok("a message is resent");
}

async fn by_message(world: &World, paid: &MessageOut) {
    type Options = MessageAttemptListByMsgOptions;
    let api = world.svix.message_attempt();
    let text = |text: &str| Some(text.to_owned());
    let cases: [(&str, usize, fn(&mut Options)); 6] = [
        ("nothing", 2, |_| ()),
        ("success", 2, |options| {
            options.status = Some(MessageStatus::Success)
        }),
        ("failure", 0, |options| {
            options.status = Some(MessageStatus::Fail)
        }),
        ("500", 0, |options| {
            options.status_code_class = Some(StatusCodeClass::Code5xx)
        }),
        ("a type", 2, |options| {
            options.event_types = set(&["invoice.paid"])
        }),
        ("another type", 0, |options| {
            options.event_types = set(&["invoice.created"])
        }),
    ];
    for (what, count, filter) in cases {
        let found = all_pages!(|iterator| {
            let mut options = Options {
                limit: Some(1),
                iterator,
                ..Default::default()
            };
            filter(&mut options);
            api.list_by_msg(world.app(), paid.id.clone(), Some(options))
        });
        assert_eq!(found.len(), count, "attempts with {what}");
    }
    for (tag, channel, count) in [("red", "eu", 2), ("blue", "eu", 0), ("red", "us", 0)] {
        let options = Options {
            tag: text(tag),
            channel: text(channel),
            ..Default::default()
        };
        let found = api
            .list_by_msg(world.app(), paid.id.clone(), Some(options))
            .await;
        assert_eq!(found.expect("a list").data.len(), count, "{tag} {channel}");
    }
    ok("attempts are listed with every filter");
}

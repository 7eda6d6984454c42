use svix::api::{MessageCreateOptions, MessageGetOptions, MessageListOptions};
use svix::models::ApplicationIn;

use crate::check::{World, all_pages, invalid, message, ok, refused, set};

pub async fn run(world: &World) {
    let (api, app) = (world.svix.message(), world.app());
    let mut paid = message("invoice.paid", 1);
    paid.event_id = Some("evt-1".to_owned());
    (paid.tags, paid.channels) = (set(&["red"]), set(&["eu"]));
    let again = paid.clone();
    let paid = world.publish(paid).await;
    assert!(
        paid.id.starts_with("msg_"),
        "a message has an id of its kind"
    );
    assert_eq!(
        (&paid.tags, &paid.channels),
        (&set(&["red"]), &set(&["eu"]))
    );
    assert_eq!(paid.payload["number"], 1, "the payload when asked for");
    let mut newest_first = vec![paid.id.clone()];
    for number in 2..6 {
        newest_first.insert(
            0,
            world.publish(message("invoice.created", number)).await.id,
        );
    }
    ok("messages are published");

    let again = api.create(app.clone(), again, None).await;
    refused(again, 409, "a second message with the same event id is 409");
    let bad = api
        .create(app.clone(), message("no spaces here", 1), None)
        .await;
    invalid(bad, "eventType", "a bad event type is 422 and named");
    let get = async |id: &str, with_content: Option<bool>| {
        api.get(
            app.clone(),
            id.to_owned(),
            Some(MessageGetOptions { with_content }),
        )
        .await
    };
    assert_eq!(
        get("evt-1", Some(true))
            .await
            .expect("by its event id")
            .payload["number"],
        1
    );
    refused(
        get("msg_nowhere", None).await,
        404,
        "an unknown message is 404",
    );
    lists(world, &newest_first).await;

    let once = async |number: u32| {
        let options = MessageCreateOptions {
            idempotency_key: Some(format!("key-{app}")),
            ..Default::default()
        };
        api.create(
            app.clone(),
            message("invoice.created", number),
            Some(options),
        )
        .await
    };
    let [first, second] = [once(6).await, once(6).await].map(|sent| sent.expect("a message").id);
    assert_eq!(first, second, "the same key");
    refused(
        once(7).await,
        409,
        "the same key for another message is 409",
    );

    let uid = format!("late-{app}");
    let mut late = message("invoice.created", 8);
    let mut application = ApplicationIn::new("Made on the way".to_owned());
    application.uid = Some(uid.clone());
    late.application = Some(application);
    api.create(uid.clone(), late, None)
        .await
        .expect("a message");
    assert_eq!(
        world
            .svix
            .application()
            .get(uid)
            .await
            .expect("it is there")
            .name,
        "Made on the way"
    );
    ok("an application is made on the way");
}

async fn lists(world: &World, newest_first: &[String]) {
    let api = world.svix.message();
    let paid = newest_first.last().expect("there is one").clone();
    let options = |filter: &str| {
        let mut options = MessageListOptions {
            limit: Some(2),
            ..Default::default()
        };
        match filter {
            "tag" => options.tag = Some("red".to_owned()),
            "channel" => options.channel = Some("eu".to_owned()),
            "type" => options.event_types = set(&["invoice.paid"]),
            "types" => options.event_types = set(&["invoice.paid", "invoice.created"]),
            _ => {}
        }
        options
    };
    for filter in ["", "tag", "channel", "type", "types"] {
        let found = all_pages!(|iterator| {
            let options = MessageListOptions {
                iterator,
                ..options(filter)
            };
            api.list(world.app(), Some(options))
        });
        let found: Vec<String> = found.into_iter().map(|item| item.id).collect();
        let all = matches!(filter, "" | "types");
        let expected = if all {
            newest_first.to_vec()
        } else {
            vec![paid.clone()]
        };
        assert_eq!(found, expected, "messages by {filter}");
    }
    ok("messages are listed with an iterator and filters");
}

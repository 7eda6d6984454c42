//! What the calls share: saying what holds, stopping at what does not, and a world to try it in.

use std::fmt::Debug;
use std::time::Duration;

use svix::api::{MessageCreateOptions, Svix, SvixOptions};
use svix::error::{Error, Result};
use svix::models::{
    ApplicationIn, BackgroundTaskOut, BackgroundTaskStatus, EndpointIn, EndpointOut,
    MessageAttemptOut, MessageIn, MessageOut,
};

/// Asked this often, 20 ms apart; deliveries take milliseconds on a machine that is not overloaded.
const TIMES: u32 = 750;

pub fn ok(what: &str) {
    println!("ok {what}");
}

/// The call fails with this status and an error of the shape that clients parse.
#[track_caller]
pub fn refused<T: Debug>(answer: Result<T>, status: u16, what: &str) {
    match answer {
        Err(Error::Http(error)) => {
            assert_eq!(error.status.as_u16(), status, "{what}");
            let payload = error.payload.expect("an error has a body");
            assert!(
                !payload.code.is_empty() && !payload.detail.is_empty(),
                "{what}"
            );
            ok(what);
        }
        other => panic!("{what}: {other:?}"),
    }
}

/// The call fails with 422 and names the field.
#[track_caller]
pub fn invalid<T: Debug>(answer: Result<T>, field: &str, what: &str) {
    match answer {
        Err(Error::Validation(error)) => {
            assert_eq!(error.status.as_u16(), 422, "{what}");
            let detail = error.payload.expect("an error has a body").detail;
            assert!(
                detail
                    .iter()
                    .any(|item| item.loc.iter().any(|part| part == field)),
                "{what}"
            );
            ok(what);
        }
        other => panic!("{what}: {other:?}"),
    }
}

/// Everything of a list, page by page, as a program of a user's would read it; the page before the
/// second one is the first. `$fetch` makes a request of an iterator.
macro_rules! all_pages {
    ($fetch:expr) => {{
        let fetch = $fetch;
        let mut pages = vec![fetch(None).await.expect("a page")];
        while !pages.last().expect("there is one").done {
            assert!(pages.len() < 100, "a list ends");
            let at = pages.last().expect("there is one").iterator.clone();
            assert!(at.is_some(), "a page that is not the last has an iterator");
            pages.push(fetch(at).await.expect("a page"));
        }
        if pages.len() > 1 && !pages[1].data.is_empty() {
            let back = fetch(pages[1].prev_iterator.clone()).await.expect("a page");
            assert_eq!(
                back.data, pages[0].data,
                "the page before the second is the first"
            );
        }
        pages
            .into_iter()
            .flat_map(|page| page.data)
            .collect::<Vec<_>>()
    }};
}
pub(crate) use all_pages;

/// Asks until there is an answer.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..TIMES {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what}: not in time");
}

/// A client, a receiver, and an application.
pub struct World {
    pub svix: Svix,
    pub application: String,
    pub receiver: String,
    url: String,
}

impl World {
    pub async fn create(url: &str, token: &str, receiver: &str) -> Self {
        let mut world = Self {
            svix: client(url, token),
            application: String::new(),
            receiver: receiver.trim_end_matches('/').to_owned(),
            url: url.to_owned(),
        };
        let created = world.svix.application();
        let created = created
            .create(ApplicationIn::new("A world".to_owned()), None)
            .await;
        world.application = created.expect("an application").id;
        world
    }

    /// Whoever has this token.
    pub fn client(&self, token: &str) -> Svix {
        client(&self.url, token)
    }

    pub fn app(&self) -> String {
        self.application.clone()
    }

    pub fn endpoint_in(&self, path: &str) -> EndpointIn {
        EndpointIn::new(format!("{}{path}", self.receiver))
    }

    pub async fn endpoint(&self, endpoint: EndpointIn) -> EndpointOut {
        let created = self
            .svix
            .endpoint()
            .create(self.app(), endpoint, None)
            .await;
        created.expect("an endpoint")
    }

    pub async fn publish(&self, message: MessageIn) -> MessageOut {
        let options = MessageCreateOptions {
            with_content: Some(true),
            ..Default::default()
        };
        let published = self
            .svix
            .message()
            .create(self.app(), message, Some(options))
            .await;
        published.expect("a message")
    }

    /// The attempts of a message, once there are that many.
    pub async fn attempts(&self, message: &str, count: usize) -> Vec<MessageAttemptOut> {
        eventually("attempts", async || {
            let api = self.svix.message_attempt();
            let list = api.list_by_msg(self.app(), message.to_owned(), None).await;
            let data = list.expect("a list").data;
            (data.len() >= count).then_some(data)
        })
        .await
    }

    /// A background task, once it is no longer running.
    pub async fn finished(&self, task: &str) -> BackgroundTaskOut {
        eventually("the end of a task", async || {
            let found = self.svix.background_task().get(task.to_owned()).await;
            let found = found.expect("a task");
            (found.status != BackgroundTaskStatus::Running).then_some(found)
        })
        .await
    }
}

fn client(url: &str, token: &str) -> Svix {
    let options = SvixOptions {
        server_url: Some(url.to_owned()),
        // Without retries, so that a 500 is seen as one.
        num_retries: Some(0),
        ..Default::default()
    };
    Svix::new(token.to_owned(), Some(options))
}

pub fn message(event_type: &str, number: u32) -> MessageIn {
    MessageIn::new(event_type.to_owned(), serde_json::json!({"number": number}))
}

pub fn set<T: FromIterator<String>>(items: &[&str]) -> Option<T> {
    Some(items.iter().map(|&item| item.to_owned()).collect())
}

//! Calls everything of the sending API with the official Rust client.
//!
//! `posthaste-test-client URL TOKEN RECEIVER RESOURCE...`, where RECEIVER is the base URL of a
//! receiver that answers 200, and 500 below /status/500, and each RESOURCE is a module here.

mod application;
mod authentication;
mod check;
mod endpoint;
mod erasure;
mod event_type;
mod example;
mod message;
mod message_attempt;
mod recovery;

use check::{World, ok, refused};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, token, receiver, chosen @ ..] = args.as_slice() else {
        eprintln!("Usage: posthaste-test-client URL TOKEN RECEIVER RESOURCE...");
        std::process::exit(2);
    };
    for name in chosen {
        let world = World::create(url, token, receiver).await;
        call(name, &world).await;
        let applications = world.svix.application();
        applications
            .delete(world.app())
            .await
            .expect("it is deleted");
        refused(applications.get(world.app()).await, 404, "it is left clean");
    }
}

async fn call(name: &str, world: &World) {
    match name {
        "application" => application::run(world).await,
        "authentication" => authentication::run(world).await,
        "endpoint" => endpoint::run(world).await,
        "erasure" => erasure::run(world).await,
        "event_type" => event_type::run(world).await,
        "example" => example::run(world).await,
        "health" => {
            world
                .svix
                .health()
                .get()
                .await
                .expect("the server is healthy");
            ok("the server is healthy");
        }
        "message" => message::run(world).await,
        "message_attempt" => message_attempt::run(world).await,
        "recovery" => recovery::run(world).await,
        other => panic!("there is no resource {other}"),
    }
}

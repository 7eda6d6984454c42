//! The commands that a person types against a running server, or against nothing at all.
//!
//! Everything here reaches a server through its public API only, so that each command works the
//! same from a laptop as on the server itself. `out` is for what was asked for, `err` for how it
//! went; both are handed in, so that a test reads what a person would see.
//!
//! - `app`, `endpoint` and the like are nouns of the API, with `ls`, `get`, `add`, `edit`, `rm`.
//! - `send` publishes a message, `api` makes any other call.
//! - `trigger` sends what a provider would send, to try a source with.
//! - `listen` forwards an application's messages to a URL that only this machine can reach.
//! - `sink` is a receiver that behaves as badly as it is told to; [`sink::Sink`] is the same for
//!   tests and for `posthaste dev`.
//! - `dev` is a demonstration: a server of its own, a receiver, a kill in between.
//! - `login`, `logout`, `whoami` and `profile` keep servers and keys under names.
//! - `verify`, `sign` and `keygen` are Standard Webhooks by hand.
//!
//! What is not here: anything that opens the store, and the binary itself.

mod api;
mod apply;
mod client;
mod dev;
mod exit;
mod keygen;
mod listen;
mod nouns;
mod output;
mod profile;
mod progress;
mod send;
mod session;
mod sign;
pub mod sink;
mod stop;
mod surroundings;
mod text;
mod trigger;
mod verify;
mod world;

use std::io::{Read, Write};

pub use api::ApiArgs;
pub use apply::ApplyArgs;
pub use client::ServerArgs;
pub use dev::DevArgs;
pub use exit::Exit;
pub use keygen::KeygenArgs;
pub use listen::ListenArgs;
pub use nouns::app::AppCommand;
pub use nouns::attempt::AttemptCommand;
pub use nouns::audit::AuditCommand;
pub use nouns::endpoint::EndpointCommand;
pub use nouns::event_type::EventTypeCommand;
pub use nouns::key::KeyCommand;
pub use nouns::message::MessageCommand;
pub use nouns::provider::ProviderCommand;
pub use nouns::replay::ReplayCommand;
pub use nouns::request::RequestCommand;
pub use nouns::source::SourceCommand;
pub use profile::{LoginArgs, LogoutArgs, ProfileCommand, WhoamiArgs};
pub use send::SendArgs;
pub use sign::SignArgs;
pub use sink::SinkArgs;
pub use surroundings::Surroundings;
pub use text::Hidden;
pub use trigger::TriggerArgs;
pub use verify::VerifyArgs;

use exit::Failure;

// The commands of a client; the binary's own commands stand beside them. This is no doc comment
// because clap would print it as what the whole binary is about.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    #[command(subcommand, visible_alias = "apps")]
    App(AppCommand),
    #[command(subcommand, visible_alias = "endpoints")]
    Endpoint(EndpointCommand),
    #[command(subcommand, visible_alias = "event-types")]
    EventType(EventTypeCommand),
    #[command(subcommand, visible_aliases = ["messages", "msg"])]
    Message(MessageCommand),
    #[command(subcommand, visible_alias = "attempts")]
    Attempt(AttemptCommand),
    #[command(subcommand, visible_alias = "replays")]
    Replay(ReplayCommand),
    #[command(subcommand, visible_alias = "sources")]
    Source(SourceCommand),
    #[command(subcommand, visible_alias = "requests")]
    Request(RequestCommand),
    #[command(subcommand, visible_alias = "providers")]
    Provider(ProviderCommand),
    #[command(subcommand, visible_alias = "keys")]
    Key(KeyCommand),
    #[command(subcommand)]
    Audit(AuditCommand),
    Apply(ApplyArgs),
    Send(SendArgs),
    Trigger(TriggerArgs),
    Listen(ListenArgs),
    Sink(SinkArgs),
    Verify(VerifyArgs),
    Sign(SignArgs),
    Keygen(KeygenArgs),
    Api(ApiArgs),
    Login(LoginArgs),
    Logout(LogoutArgs),
    Whoami(WhoamiArgs),
    #[command(subcommand, visible_alias = "profiles")]
    Profile(ProfileCommand),
    Dev(DevArgs),
}

/// Where a command reads from and writes to.
pub struct Streams<'a> {
    /// Standard input: a payload or a body, where the command asks for one.
    pub input: &'a mut dyn Read,
    /// Standard output: what was asked for.
    pub out: &'a mut dyn Write,
    /// Standard error: how it went.
    pub err: &'a mut dyn Write,
    /// The terminal and the files around them.
    pub around: Surroundings,
}

/// Runs a command to its end. Failures have been told to the person when this returns.
///
/// Needs a tokio runtime with I/O and time enabled; one thread is enough.
pub async fn run(command: Command, streams: &mut Streams<'_>) -> Exit {
    let wants_json = command.wants_json();
    streams.around.stop = stop::Stop::on_ctrl_c();
    let stop = streams.around.stop.clone();
    let ends_itself = command.ends_itself();
    // On the heap, or the largest of all commands would lie on the stack of each.
    let running = Box::pin(dispatch(command, streams));
    let result = tokio::select! {
        biased;
        result = running => result,
        () = stop.wanted(), if !ends_itself => Err(Failure::interrupted()),
    };
    match result {
        Ok(exit) => exit,
        Err(failure) => failure.tell(wants_json, streams),
    }
}

async fn dispatch(command: Command, streams: &mut Streams<'_>) -> Outcome {
    match command {
        Command::App(command) => nouns::app::run(command, streams).await,
        Command::Endpoint(command) => nouns::endpoint::run(command, streams).await,
        Command::EventType(command) => nouns::event_type::run(command, streams).await,
        Command::Message(command) => nouns::message::run(command, streams).await,
        Command::Attempt(command) => nouns::attempt::run(command, streams).await,
        Command::Replay(command) => nouns::replay::run(command, streams).await,
        Command::Source(command) => nouns::source::run(command, streams).await,
        Command::Request(command) => nouns::request::run(command, streams).await,
        Command::Provider(command) => nouns::provider::run(command, streams).await,
        Command::Key(command) => nouns::key::run(command, streams).await,
        Command::Audit(command) => nouns::audit::run(command, streams).await,
        Command::Apply(args) => apply::run(args, streams).await,
        Command::Send(args) => send::run(args, streams).await,
        Command::Trigger(args) => trigger::run(args, streams).await,
        Command::Listen(args) => listen::run(args, streams).await,
        Command::Sink(args) => sink::run(args, streams).await,
        Command::Verify(args) => verify::run(&args, streams),
        Command::Sign(args) => sign::run(&args, streams),
        Command::Keygen(args) => keygen::run(&args, streams),
        Command::Api(args) => api::run(args, streams).await,
        Command::Login(args) => profile::login(args, streams).await,
        Command::Logout(args) => profile::logout(&args, streams),
        Command::Whoami(args) => profile::whoami(&args, streams).await,
        Command::Profile(command) => profile::profile(command, streams),
        Command::Dev(args) => dev::run(args, streams).await,
    }
}

impl Command {
    /// The options that commands about things have in common.
    fn common(&self) -> Option<&session::Common> {
        match self {
            Self::App(command) => Some(command.common()),
            Self::Endpoint(command) => Some(command.common()),
            Self::EventType(command) => Some(command.common()),
            Self::Message(command) => Some(command.common()),
            Self::Attempt(command) => Some(command.common()),
            Self::Replay(command) => Some(command.common()),
            Self::Source(command) => Some(command.common()),
            Self::Request(command) => Some(command.common()),
            Self::Provider(command) => Some(command.common()),
            Self::Key(command) => Some(command.common()),
            Self::Audit(command) => Some(command.common()),
            Self::Apply(args) => Some(args.common()),
            _ => None,
        }
    }

    /// Says whether failures are to be data too.
    fn wants_json(&self) -> bool {
        match self {
            Self::Send(args) => args.wants_json(),
            Self::Trigger(args) => args.wants_json(),
            Self::Api(_) => true,
            _ => self
                .common()
                .is_some_and(|common| common.output.wants_json()),
        }
    }

    /// Says whether it has something to finish when the person wants it to end.
    fn ends_itself(&self) -> bool {
        matches!(
            self,
            Self::Listen(_)
                | Self::Sink(_)
                | Self::Dev(_)
                | Self::EventType(EventTypeCommand::Import(_))
                | Self::Message(MessageCommand::Export(_))
                | Self::Request(RequestCommand::Export(_))
        )
    }
}

type Outcome = Result<Exit, Failure>;

#[cfg(test)]
mod tests;

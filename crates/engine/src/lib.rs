//! Every loop: intake, lanes, sender, recorder, scheduler, pruner.

mod publish;

pub use publish::{MessageDraft, PublishAnswer, PublishError, PublishRequest, Published};

use domain::{ApplicationKey, EndpointKey};

/// The handle of the running engine (skeleton; the engine's author is filling it in).
#[derive(Clone)]
pub struct Engine {}

impl Engine {
    /// Publishes; returns once the messages and their deliveries are durable.
    pub async fn publish(&self, request: PublishRequest) -> Result<PublishAnswer, PublishError> {
        let _ = request;
        std::future::ready(Err(PublishError::ShuttingDown)).await
    }

    /// Tells the engine that an endpoint (or the whole application, with `None`) was changed,
    /// created or deleted in the store. Call it after every such write, before answering.
    pub fn changed(&self, application: ApplicationKey, endpoint: Option<EndpointKey>) {
        let _ = (application, endpoint);
    }

    /// Tells the engine that a delivery of this destination became due (a resend).
    pub fn delivery_due(&self, endpoint: EndpointKey) {
        let _ = endpoint;
    }
}

//! Messages and where they went.

use domain::{ApplicationKey, EndpointKey, MessageKey};
use store::{
    ApplicationRef, Endpoint, EndpointRef, Idempotency, MessageDestination, MessageFilter,
    MessageRef, MessageRow, Page, PageRequest, Resend, Resent,
};

use crate::Service;
use crate::caller::Caller;
use crate::endpoint_messages::DeliveryStatus;
use crate::error::Error;

/// Which messages a list wants.
pub type MessageQuery = MessageFilter;

/// An endpoint that a message goes or went to, and what became of it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The endpoint, also one that is deleted by now.
    pub endpoint: Endpoint,
    /// The delivery.
    pub delivery: MessageDestination,
    /// How it stands.
    pub status: DeliveryStatus,
}

impl Service {
    /// Reads one message, with its payload if that still exists.
    pub async fn message(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        message: &MessageRef,
    ) -> Result<MessageRow, Error> {
        let application = self.application(caller, application).await?.key;
        self.message_in(application, message).await
    }

    pub(crate) async fn message_in(
        &self,
        application: ApplicationKey,
        message: &MessageRef,
    ) -> Result<MessageRow, Error> {
        self.store()
            .message(application, message)
            .await?
            .ok_or(Error::NotFound("message"))
    }

    /// Lists messages by time of publishing.
    pub async fn messages(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        query: &MessageQuery,
        page: PageRequest<MessageKey>,
    ) -> Result<Page<MessageRow, MessageKey>, Error> {
        let application = self.application(caller, application).await?.key;
        Ok(self.store().messages(application, query, page).await?)
    }

    /// Lists where a message goes or went.
    pub async fn message_destinations(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        message: &MessageRef,
        page: PageRequest<EndpointKey>,
    ) -> Result<Page<Destination>, Error> {
        let message = self.message(caller, application, message).await?.id;
        let found = self.store().message_destinations(message, page).await?;
        let keys: Vec<_> = found.items.iter().map(|item| item.endpoint).collect();
        let endpoints = self.store().endpoints_by_key(&keys).await?;
        let join = |delivery: MessageDestination| {
            // An endpoint that was erased in between takes its deliveries with it.
            let of_delivery = |endpoint: &&Endpoint| endpoint.key == delivery.endpoint;
            let endpoint = endpoints.iter().find(of_delivery)?.clone();
            let status = self.status_of(message.key(), &delivery);
            Some(Destination {
                endpoint,
                delivery,
                status,
            })
        };
        Ok(Page {
            items: found.items.into_iter().filter_map(join).collect(),
            done: found.done,
            resume: None,
        })
    }

    /// Sends a message to an endpoint once more, now.
    pub async fn resend(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        message: &MessageRef,
        endpoint: &EndpointRef,
        idempotency: Option<Idempotency>,
    ) -> Result<(), Error> {
        let endpoint = self.endpoint(caller, application, endpoint).await?;
        let message = self.message_in(endpoint.application, message).await?;
        let resend = Resend {
            message: message.id,
            endpoint: endpoint.key,
            due: self.engine().schedule_now(),
            idempotency,
            now: self.now(),
        };
        match self.store().resend(resend).await? {
            Resent::Due { .. } => {
                self.engine().delivery_due(endpoint.key);
                Ok(())
            }
            Resent::PayloadGone => Err(Error::PayloadGone),
            Resent::EndpointDisabled => Err(Error::EndpointDisabled),
        }
    }

    /// Erases the payload of a message; what was unfinished is canceled first.
    pub async fn expunge_message(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        message: &MessageRef,
    ) -> Result<(), Error> {
        let application = self.application(caller, application).await?.key;
        let message = self.message_in(application, message).await?.id;
        let now = self.engine().schedule_now();
        let expunged = self
            .store_as(caller)
            .expunge_message(application, message, now)
            .await?;
        if expunged.canceled {
            self.engine().expunged(message.key());
        }
        for endpoint in expunged.promoted {
            self.engine().delivery_due(endpoint);
        }
        Ok(())
    }

    /// Erases what is kept of the answer to an attempt.
    pub async fn expunge_attempt(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        message: &MessageRef,
        attempt: domain::AttemptId,
    ) -> Result<(), Error> {
        let application = self.application(caller, application).await?.key;
        let message = self.message_in(application, message).await?.id;
        let now = self.now();
        let store = self.store_as(caller);
        store
            .expunge_attempt(application, message, attempt, now)
            .await?;
        Ok(())
    }
}

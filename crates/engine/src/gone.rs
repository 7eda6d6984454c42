//! Acts on 410 Gone: the receiver asked never to be called again.

use std::sync::Arc;
use std::time::Duration;

use domain::{DisabledReason, EndpointKey, UrlKey};
use store::{EndpointChange, EndpointRef};

use crate::shared::Shared;

/// How long to wait before a write that failed is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Disables an endpoint whose 410 is recorded; what else is pending there is canceled by it.
///
/// An answer from an address that is not the endpoint's any more says nothing about it.
pub(crate) async fn disable(shared: Arc<Shared>, key: EndpointKey, url: UrlKey) {
    let destination = shared.lanes().destination(key);
    let Some(destination) = destination.filter(|destination| destination.url_key == url) else {
        return;
    };
    let change = EndpointChange {
        disabled: Some(Some(DisabledReason::Gone)),
        now: shared.now(),
        ..EndpointChange::default()
    };
    let endpoint = EndpointRef::Id(destination.id);
    loop {
        let update =
            shared
                .store
                .update_endpoint(destination.application, &endpoint, change.clone());
        match update.await {
            Ok(_) => break,
            Err(store::Error::NotFound(_)) => return, // Deleted meanwhile, which is as good.
            Err(error) => {
                tracing::warn!(endpoint.id = %destination.id, %error, "Disabling is tried again");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
    tracing::info!(endpoint.id = %destination.id, "Endpoint answered 410: disabled");
    shared.routing.forget(destination.application);
    crate::dispatch::reload(&shared, vec![key]).await;
}

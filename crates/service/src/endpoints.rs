//! Endpoints: where messages of an application go.

use std::collections::BTreeMap;

use domain::{ApplicationKey, DisabledReason, EndpointId, Limits, Subscription, TargetUrl, Tuning};
use store::{
    ApplicationRef, Endpoint, EndpointChange, EndpointRef, Idempotency, NewEndpoint, Page,
    PageRequest,
};

use crate::caller::Caller;
use crate::error::Error;
use crate::fields::Fields;
use crate::secrets::{SecretInput, SignatureKind};
use crate::tuning::{TuningInput, TuningPatch};
use crate::{Service, Upserted};

/// An endpoint as a caller describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointInput {
    /// Where to.
    pub url: String,
    /// The caller's own name for it.
    pub uid: Option<String>,
    /// For people.
    pub description: String,
    /// Whether it gets no messages.
    pub disabled: bool,
    /// Only messages of these event types; `*` stands for one segment, a last `**` for the rest.
    pub event_types: Option<Vec<String>>,
    /// Only messages with one of these channels.
    pub channels: Option<Vec<String>>,
    /// Messages per second.
    pub throttle_rate: Option<u16>,
    /// How it asks to be called.
    pub tuning: TuningInput,
    /// Whatever the caller keeps here.
    pub metadata: BTreeMap<String, String>,
    /// Its signing secret; made here when there is none. Only read when it is created.
    pub secret: SecretInput,
    /// Custom headers. Only read when it is created.
    pub headers: BTreeMap<String, String>,
}

/// Some fields of an endpoint; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointPatch {
    /// Where to.
    pub url: Option<String>,
    /// The caller's own name for it, or none.
    pub uid: Option<Option<String>>,
    /// For people.
    pub description: Option<String>,
    /// Whether it gets no messages.
    pub disabled: Option<bool>,
    /// Only messages of these event types or patterns, or of all.
    pub event_types: Option<Option<Vec<String>>>,
    /// Only messages with one of these channels, or all.
    pub channels: Option<Option<Vec<String>>>,
    /// Messages per second, or no limit.
    pub throttle_rate: Option<Option<u16>>,
    /// How it asks to be called.
    pub tuning: TuningInput,
    /// New metadata, all of it.
    pub metadata: Option<BTreeMap<String, String>>,
}

impl From<&EndpointInput> for EndpointPatch {
    fn from(input: &EndpointInput) -> Self {
        let input = input.clone();
        Self {
            url: Some(input.url),
            uid: Some(input.uid),
            description: Some(input.description),
            disabled: Some(input.disabled),
            event_types: Some(input.event_types),
            channels: Some(input.channels),
            throttle_rate: Some(input.throttle_rate),
            tuning: input.tuning,
            metadata: Some(input.metadata),
        }
    }
}

impl Service {
    /// Creates an endpoint.
    pub async fn create_endpoint(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        input: EndpointInput,
        idempotency: Option<Idempotency>,
    ) -> Result<Endpoint, Error> {
        let application = self.application(caller, application).await?.key;
        self.create_endpoint_in(caller, application, &input, idempotency)
            .await
    }

    async fn create_endpoint_in(
        &self,
        caller: Caller,
        application: ApplicationKey,
        input: &EndpointInput,
        idempotency: Option<Idempotency>,
    ) -> Result<Endpoint, Error> {
        self.check_flags(caller, input.event_types.as_deref(), None)
            .await?;
        input.tuning.check_portal(caller)?;
        let new = self.new_endpoint(application, input, idempotency)?;
        let endpoint = self
            .store_as(caller)
            .create_endpoint(new)
            .await?
            .into_inner();
        self.engine().changed(application, Some(endpoint.key));
        Ok(endpoint)
    }

    /// Replaces an endpoint, or creates it; its secret and headers stay as they are.
    ///
    /// One that is created gets the uid from the input, or else the one it was named by.
    pub async fn put_endpoint(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        endpoint: &EndpointRef,
        mut input: EndpointInput,
    ) -> Result<Upserted<Endpoint>, Error> {
        let application = self.application(caller, application).await?.key;
        let Some(existing) = self.store().endpoint(application, endpoint).await? else {
            let EndpointRef::Uid(uid) = endpoint else {
                return Err(Error::NotFound("endpoint"));
            };
            input.uid.get_or_insert_with(|| uid.to_string());
            let created = self
                .create_endpoint_in(caller, application, &input, None)
                .await?;
            return Ok(Upserted::Created(created));
        };
        let changed = self
            .change_endpoint(caller, &existing, (&input).into())
            .await?;
        Ok(Upserted::Existing(changed))
    }

    /// Changes some fields of an endpoint.
    pub async fn patch_endpoint(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        endpoint: &EndpointRef,
        patch: EndpointPatch,
    ) -> Result<Endpoint, Error> {
        let existing = self.endpoint(caller, application, endpoint).await?;
        self.change_endpoint(caller, &existing, patch).await
    }

    /// Holds the deliveries of an endpoint, or lets them go.
    pub async fn pause_endpoint(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        endpoint: &EndpointRef,
        paused: bool,
    ) -> Result<Endpoint, Error> {
        let existing = self.endpoint(caller, application, endpoint).await?;
        let change = EndpointChange {
            paused: Some(paused),
            now: self.now(),
            ..EndpointChange::default()
        };
        let changed = self.write_endpoint(caller, &existing, change).await?;
        if !paused {
            // What waited is in the store, and nowhere in memory if that was before a restart.
            self.engine().delivery_due(existing.key);
        }
        Ok(changed)
    }

    /// Reads one endpoint.
    pub async fn endpoint(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        endpoint: &EndpointRef,
    ) -> Result<Endpoint, Error> {
        let application = self.application(caller, application).await?.key;
        self.store()
            .endpoint(application, endpoint)
            .await?
            .ok_or(Error::NotFound("endpoint"))
    }

    /// Lists endpoints by id.
    pub async fn endpoints(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        page: PageRequest<EndpointId>,
    ) -> Result<Page<Endpoint>, Error> {
        let application = self.application(caller, application).await?.key;
        Ok(self.store().endpoints(application, page).await?)
    }

    /// Deletes an endpoint.
    pub async fn delete_endpoint(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        endpoint: &EndpointRef,
    ) -> Result<(), Error> {
        let application = self.application(caller, application).await?.key;
        let now = self.now();
        let deleted = self
            .store_as(caller)
            .delete_endpoint(application, endpoint, now)
            .await?;
        self.engine().changed(application, Some(deleted.key));
        Ok(())
    }

    async fn change_endpoint(
        &self,
        caller: Caller,
        existing: &Endpoint,
        patch: EndpointPatch,
    ) -> Result<Endpoint, Error> {
        let types = patch.event_types.as_ref().and_then(Option::as_deref);
        self.check_flags(caller, types, Some(existing)).await?;
        patch.tuning.check_portal(caller)?;
        let mut fields = Fields::default();
        let mut checked = self.endpoint_change(&mut fields, patch);
        fields.check()?;
        // An update that says again what is so must not replace the reason.
        let is_disabling = matches!(checked.change.disabled, Some(Some(_)));
        if is_disabling && existing.disabled.is_some() {
            checked.change.disabled = None;
        }
        // The two filters are stored as one value; the one not given stays.
        if let Some((types, channels)) = checked.subscription.take() {
            let current = &existing.subscription;
            checked.change.subscription = Some(Subscription {
                event_types: types.unwrap_or_else(|| current.event_types.clone()),
                channels: channels.unwrap_or_else(|| current.channels.clone()),
            });
        }
        checked.change.tuning = checked.tuning.over(&existing.tuning);
        self.write_endpoint(caller, existing, checked.change).await
    }

    /// Stores a change and tells the engine before anybody is answered.
    pub(crate) async fn write_endpoint(
        &self,
        caller: Caller,
        existing: &Endpoint,
        change: EndpointChange,
    ) -> Result<Endpoint, Error> {
        let by_id = EndpointRef::Id(existing.id);
        let changed = self
            .store_as(caller)
            .update_endpoint(existing.application, &by_id, change)
            .await?;
        self.engine()
            .changed(existing.application, Some(existing.key));
        Ok(changed)
    }

    fn new_endpoint(
        &self,
        application: ApplicationKey,
        input: &EndpointInput,
        idempotency: Option<Idempotency>,
    ) -> Result<NewEndpoint, Error> {
        let mut fields = Fields::default();
        let checked = self.endpoint_change(&mut fields, input.into());
        let shared = SignatureKind::Shared;
        let secret = self.signing_secret(&mut fields, "secret", &input.secret, shared);
        self.check_headers(&mut fields, &input.headers);
        fields.check()?;

        let change = checked.change;
        let id = EndpointId::from_bits(self.fresh_id(change.now));
        let (types, channels) = checked.subscription.unwrap_or_default();
        Ok(NewEndpoint {
            application,
            id,
            uid: change.uid.flatten(),
            url: change.url.expect("given, and there were no faults"),
            description: change.description.unwrap_or_default(),
            disabled: change.disabled.flatten(),
            subscription: Subscription {
                event_types: types.flatten(),
                channels: channels.flatten(),
            },
            throttle_rate: change.throttle_rate.flatten(),
            tuning: checked.tuning.over(&Tuning::default()).unwrap_or_default(),
            metadata: change.metadata.unwrap_or_default(),
            headers: self.seal_headers(id, &input.headers),
            secret: self.seal_secret(id, &secret.expect("made, and there were no faults")),
            endpoints_max: self.limits().endpoints_per_application as u64,
            now: change.now,
            idempotency,
        })
    }

    fn endpoint_change(&self, fields: &mut Fields, patch: EndpointPatch) -> Checked {
        let limits = self.limits();
        let url = patch.url.and_then(|url| self.check_url(fields, &url));
        let uid = patch
            .uid
            .map(|uid| fields.uid(uid.as_deref(), EndpointId::looks_like));
        if let Some(description) = &patch.description {
            fields.text("description", description, 0, limits.description_chars);
        }
        fields.throttle_rate(patch.throttle_rate.flatten());
        let tuning = patch.tuning.check(fields, limits);
        if let Some(metadata) = &patch.metadata {
            fields.metadata(metadata, limits);
        }
        let event_types = patch.event_types.map(|given| {
            given.map(|types| filter(fields, "eventTypes", &types, limits, Fields::event_types))
        });
        let channels = patch.channels.map(|given| {
            given.map(|names| filter(fields, "channels", &names, limits, Fields::channels))
        });
        let subscription =
            (event_types.is_some() || channels.is_some()).then_some((event_types, channels));
        Checked {
            subscription,
            tuning,
            change: EndpointChange {
                uid,
                url,
                disabled: patch
                    .disabled
                    .map(|disabled| disabled.then_some(DisabledReason::Requested)),
                description: patch.description,
                throttle_rate: patch.throttle_rate,
                metadata: patch.metadata,
                now: self.now(),
                ..EndpointChange::default()
            },
        }
    }

    fn check_url(&self, fields: &mut Fields, url: &str) -> Option<TargetUrl> {
        let max = self.limits().url_chars;
        if url.len() > max {
            fields.fault(&["url"], format!("has more than {max} characters"));
            return None;
        }
        let url = fields.take(&["url"], TargetUrl::parse(url))?;
        fields.take(&["url"], self.0.world.addresses.check_url(&url))?;
        Some(url)
    }
}

/// The filters of a patch: not given, none, or these.
type Filters = (
    Option<Option<Vec<domain::EventTypeFilter>>>,
    Option<Option<Vec<domain::Channel>>>,
);

/// A patch that was checked, with what still depends on how the endpoint is now.
struct Checked {
    subscription: Option<Filters>,
    tuning: TuningPatch,
    change: EndpointChange,
}

/// Parses a filter. An empty one would match nothing or everything, depending on who reads it.
fn filter<T>(
    fields: &mut Fields,
    field: &str,
    given: &[String],
    limits: &Limits,
    parse: impl Fn(&mut Fields, &[String], &Limits) -> Vec<T>,
) -> Vec<T> {
    if given.is_empty() {
        fields.fault(&[field], "must have at least one item, or be null");
    }
    parse(fields, given, limits)
}

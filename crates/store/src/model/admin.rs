//! Applications, endpoints, event types and keys.

use domain::{
    ApplicationKey, CancelReason, EndpointKey, EventType, OrganizationKey, TargetUrl, Timestamp,
    Uid, UrlKey,
};

use super::lists::plain_page_of;
use super::{Effect, State, StoredApplication};
use crate::{
    Announced, Application, ApplicationChange, ApplicationRef, Audited, Endpoint, EndpointChange,
    EndpointRef, Error, EventTypeChange, EventTypeRow, NewApplication, NewEndpoint, NewEventType,
    Page, PageRequest, Rotated, Rotation, Routes, SealedSecret, Write,
};

fn set<T: Clone>(field: &mut T, new: Option<&T>) {
    if let Some(new) = new {
        field.clone_from(new);
    }
}

impl State {
    // ---- Applications ------------------------------------------------------------------------

    pub(super) fn find_application(
        &self,
        organization: OrganizationKey,
        application: &ApplicationRef,
    ) -> Option<&StoredApplication> {
        self.applications.values().find(|stored| {
            stored.organization == organization
                && stored.deleted.is_none()
                && match application {
                    ApplicationRef::Id(id) => stored.row.id == *id,
                    ApplicationRef::Uid(uid) => stored.row.uid.as_ref() == Some(uid),
                }
        })
    }

    fn application_key(
        &self,
        organization: OrganizationKey,
        application: &ApplicationRef,
    ) -> Result<ApplicationKey, Error> {
        self.find_application(organization, application)
            .map(|found| found.row.key)
            .ok_or(Error::NotFound("application"))
    }

    fn application_mut(&mut self, key: ApplicationKey) -> &mut StoredApplication {
        self.applications.get_mut(&key).expect("found just now")
    }

    fn refuse_taken(
        &self,
        organization: OrganizationKey,
        uid: Option<&Uid>,
        own: Option<ApplicationKey>,
    ) -> Result<(), Error> {
        let Some(uid) = uid else { return Ok(()) };
        let named = ApplicationRef::Uid(uid.clone());
        match self.find_application(organization, &named) {
            Some(found) if Some(found.row.key) != own => Err(Error::Conflict("uid")),
            _ => Ok(()),
        }
    }

    pub(super) fn create_application(
        &mut self,
        new: &NewApplication,
    ) -> Result<Write<Application>, Error> {
        let idempotency = new.idempotency.as_ref();
        if let Some(Effect::Application(key)) = self.effect(idempotency, new.now)? {
            let found = self.applications.get(&key);
            return found
                .filter(|found| found.deleted.is_none())
                .map(|found| Write::Replayed(found.row.clone()))
                .ok_or(Error::NotFound("application"));
        }
        self.refuse_taken(new.organization, new.uid.as_ref(), None)?;
        let live = self
            .applications
            .values()
            .filter(|stored| stored.organization == new.organization && stored.deleted.is_none());
        refuse_beyond("applications", live.count(), new.applications_max)?;
        self.last_application += 1;
        let key = ApplicationKey(self.last_application);
        let row = Application {
            key,
            id: new.id,
            uid: new.uid.clone(),
            name: new.name.clone(),
            throttle_rate: new.throttle_rate,
            metadata: new.metadata.clone(),
            created: new.now,
            updated: new.now,
        };
        let stored = StoredApplication {
            organization: new.organization,
            row: row.clone(),
            version: 1,
            deleted: None,
        };
        self.applications.insert(key, stored);
        self.remember(idempotency, new.now, Effect::Application(key));
        let named = (row.id.to_string(), Some(row.id));
        let done = (new.now, "application.create");
        self.note(new.organization, done, named, (None, Some(&row)));
        Ok(Write::Done(row))
    }

    pub(super) fn list_applications(
        &self,
        organization: OrganizationKey,
        page: &PageRequest<domain::ApplicationId>,
    ) -> Page<Application> {
        let mut rows: Vec<_> = self
            .applications
            .values()
            .filter(|stored| stored.organization == organization && stored.deleted.is_none())
            .map(|stored| (stored.row.id, stored.row.clone()))
            .collect();
        rows.sort_by_key(|(id, _)| *id);
        plain_page_of(rows, page)
    }

    pub(super) fn update_application(
        &mut self,
        organization: OrganizationKey,
        application: &ApplicationRef,
        change: &ApplicationChange,
    ) -> Result<Application, Error> {
        let key = self.application_key(organization, application)?;
        let uid = change.uid.as_ref().and_then(Option::as_ref);
        self.refuse_taken(organization, uid, Some(key))?;
        let stored = self.application_mut(key);
        let before = stored.row.clone();
        set(&mut stored.row.uid, change.uid.as_ref());
        set(&mut stored.row.name, change.name.as_ref());
        set(&mut stored.row.throttle_rate, change.throttle_rate.as_ref());
        set(&mut stored.row.metadata, change.metadata.as_ref());
        stored.row.updated = change.now;
        stored.version += 1;
        let row = stored.row.clone();
        for endpoint in self.endpoints.values_mut() {
            if endpoint.application == key {
                endpoint.application_throttle_rate = row.throttle_rate;
            }
        }
        let named = (row.id.to_string(), Some(row.id));
        let done = (change.now, "application.update");
        self.note(organization, done, named, (Some(&before), Some(&row)));
        Ok(row)
    }

    pub(super) fn delete_application(
        &mut self,
        organization: OrganizationKey,
        application: &ApplicationRef,
        now: Timestamp,
    ) -> Result<Application, Error> {
        let key = self.application_key(organization, application)?;
        let endpoints: Vec<EndpointKey> = self
            .endpoints
            .values()
            .filter(|endpoint| endpoint.application == key)
            .map(|endpoint| endpoint.key)
            .collect();
        for endpoint in endpoints {
            self.cancel_deleted(endpoint);
        }
        self.api_keys.retain(|held| held.application != Some(key));
        let stored = self.application_mut(key);
        stored.deleted = Some(now);
        let row = stored.row.clone();
        let named = (row.id.to_string(), Some(row.id));
        let done = (now, "application.delete");
        self.note(organization, done, named, (Some(&row), None));
        Ok(row)
    }

    // ---- Endpoints ---------------------------------------------------------------------------

    /// Reads an endpoint by key, deleted or not.
    pub(super) fn by_key(&self, key: EndpointKey) -> Option<Endpoint> {
        let endpoint = self.endpoints.get(&key)?;
        Some(Endpoint {
            deleted: self.deleted(endpoint),
            ..endpoint.clone()
        })
    }

    pub(super) fn find_endpoint(
        &self,
        application: ApplicationKey,
        endpoint: &EndpointRef,
    ) -> Option<&Endpoint> {
        self.endpoints.values().find(|stored| {
            stored.application == application
                && self.deleted(stored).is_none()
                && match endpoint {
                    EndpointRef::Id(id) => stored.id == *id,
                    EndpointRef::Uid(uid) => stored.uid.as_ref() == Some(uid),
                }
        })
    }

    fn endpoint_copy(
        &self,
        application: ApplicationKey,
        endpoint: &EndpointRef,
    ) -> Result<Endpoint, Error> {
        let found = self.find_endpoint(application, endpoint);
        found.cloned().ok_or(Error::NotFound("endpoint"))
    }

    /// Puts a changed endpoint back and says so to routing.
    fn put_endpoint(&mut self, mut endpoint: Endpoint) -> Endpoint {
        endpoint.version += 1;
        self.application_mut(endpoint.application).version += 1;
        self.endpoints.insert(endpoint.key, endpoint.clone());
        endpoint
    }

    fn refuse_taken_endpoint(
        &self,
        application: ApplicationKey,
        uid: Option<&Uid>,
        own: Option<EndpointKey>,
    ) -> Result<(), Error> {
        let Some(uid) = uid else { return Ok(()) };
        match self.find_endpoint(application, &EndpointRef::Uid(uid.clone())) {
            Some(found) if Some(found.key) != own => Err(Error::Conflict("uid")),
            _ => Ok(()),
        }
    }

    fn live_of(&self, application: ApplicationKey) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.values().filter(move |endpoint| {
            endpoint.application == application && self.deleted(endpoint).is_none()
        })
    }

    pub(super) fn routes(
        &self,
        organization: OrganizationKey,
        application: &ApplicationRef,
    ) -> Option<Routes> {
        let stored = self.find_application(organization, application)?;
        Some(Routes {
            application: stored.row.clone(),
            version: stored.version,
            endpoints: self.live_of(stored.row.key).cloned().collect(),
        })
    }

    pub(super) fn create_endpoint(&mut self, new: &NewEndpoint) -> Result<Write<Endpoint>, Error> {
        let idempotency = new.idempotency.as_ref();
        if let Some(Effect::Endpoint(key)) = self.effect(idempotency, new.now)? {
            let found = self.live(key).cloned();
            return found
                .map(Write::Replayed)
                .ok_or(Error::NotFound("endpoint"));
        }
        let application = self
            .applications
            .get(&new.application)
            .filter(|application| application.deleted.is_none())
            .map(|application| application.row.clone())
            .ok_or(Error::NotFound("application"))?;
        let count = self.live_of(new.application).count();
        refuse_beyond("endpoints_per_application", count, new.endpoints_max)?;
        self.refuse_taken_endpoint(new.application, new.uid.as_ref(), None)?;
        self.last_endpoint += 1;
        let key = EndpointKey(self.last_endpoint);
        let endpoint = Endpoint {
            key,
            application: new.application,
            application_id: application.id,
            id: new.id,
            uid: new.uid.clone(),
            url: new.url.clone(),
            url_key: self.add_url(key, &new.url),
            description: new.description.clone(),
            disabled: new.disabled,
            disabled_at: new.disabled.map(|_| new.now),
            failing_since: None,
            paused: false,
            subscription: new.subscription.clone(),
            throttle_rate: new.throttle_rate,
            tuning: new.tuning.clone(),
            application_throttle_rate: application.throttle_rate,
            metadata: new.metadata.clone(),
            headers: new.headers.clone(),
            secrets: vec![SealedSecret {
                sealed: new.secret.clone(),
                expires: None,
            }],
            canceled_through: None,
            version: 0,
            created: new.now,
            updated: new.now,
            deleted: None,
        };
        self.remember(idempotency, new.now, Effect::Endpoint(key));
        let created = self.put_endpoint(endpoint);
        let done = (new.now, "endpoint.create");
        self.note_endpoint(done, &created, (None, Some(&created)));
        self.tell(key, Announced::Created, new.now, None);
        Ok(Write::Done(created))
    }

    fn add_url(&mut self, endpoint: EndpointKey, url: &TargetUrl) -> UrlKey {
        self.last_url += 1;
        let key = UrlKey(self.last_url);
        self.urls.insert(key, (endpoint, url.as_str().to_owned()));
        key
    }

    pub(super) fn list_endpoints(
        &self,
        application: ApplicationKey,
        page: &PageRequest<domain::EndpointId>,
    ) -> Page<Endpoint> {
        let mut rows: Vec<_> = self
            .live_of(application)
            .map(|endpoint| (endpoint.id, endpoint.clone()))
            .collect();
        rows.sort_by_key(|(id, _)| *id);
        plain_page_of(rows, page)
    }

    pub(super) fn update_endpoint(
        &mut self,
        application: ApplicationKey,
        endpoint: &EndpointRef,
        change: &EndpointChange,
    ) -> Result<Endpoint, Error> {
        self.change(application, endpoint, change, None)
    }

    pub(super) fn change(
        &mut self,
        application: ApplicationKey,
        endpoint: &EndpointRef,
        change: &EndpointChange,
        failing_since: Option<Timestamp>,
    ) -> Result<Endpoint, Error> {
        let before = self.endpoint_copy(application, endpoint)?;
        let mut changed = before.clone();
        let uid = change.uid.as_ref().and_then(Option::as_ref);
        self.refuse_taken_endpoint(application, uid, Some(changed.key))?;
        if let Some(url) = &change.url
            && *url != changed.url
        {
            changed.url_key = self.add_url(changed.key, url);
        }
        if let Some(Some(_)) = change.disabled {
            self.cancel_through(&mut changed);
            self.cancel(changed.key, CancelReason::EndpointDisabled);
        }
        if change.disabled.is_some() || change.url.as_ref().is_some_and(|url| *url != changed.url) {
            self.failing.remove(&changed.key);
        }
        if let Some(disabled) = change.disabled {
            let since = changed.disabled_at.filter(|_| before.disabled.is_some());
            changed.disabled_at = disabled.map(|_| since.unwrap_or(change.now));
            changed.failing_since = failing_since;
        }
        set(&mut changed.uid, change.uid.as_ref());
        set(&mut changed.url, change.url.as_ref());
        set(&mut changed.description, change.description.as_ref());
        set(&mut changed.disabled, change.disabled.as_ref());
        set(&mut changed.paused, change.paused.as_ref());
        set(&mut changed.subscription, change.subscription.as_ref());
        set(&mut changed.throttle_rate, change.throttle_rate.as_ref());
        set(&mut changed.tuning, change.tuning.as_ref());
        set(&mut changed.metadata, change.metadata.as_ref());
        set(&mut changed.headers, change.headers.as_ref());
        changed.updated = change.now;
        let changed = self.put_endpoint(changed);
        let done = (change.now, "endpoint.update");
        self.note_endpoint(done, &changed, (Some(&before), Some(&changed)));
        self.tell_change(before.disabled, &changed, change);
        Ok(changed)
    }

    fn cancel_through(&self, endpoint: &mut Endpoint) {
        let newest = self.messages.keys().next_back().copied();
        endpoint.canceled_through = endpoint.canceled_through.max(newest);
    }

    pub(super) fn delete_endpoint(
        &mut self,
        application: ApplicationKey,
        endpoint: &EndpointRef,
        now: Timestamp,
    ) -> Result<Endpoint, Error> {
        let mut deleted = self.endpoint_copy(application, endpoint)?;
        self.cancel_through(&mut deleted);
        self.cancel_deleted(deleted.key);
        deleted.deleted = Some(now);
        let done = (now, "endpoint.delete");
        self.note_endpoint(done, &deleted, (Some(&deleted), None));
        self.failing.remove(&deleted.key);
        let deleted = self.put_endpoint(deleted);
        self.tell(deleted.key, Announced::Deleted, now, None);
        Ok(deleted)
    }

    /// A wide message finds out by itself that an endpoint is deleted.
    fn cancel_deleted(&mut self, endpoint: EndpointKey) {
        let fan_outs = std::mem::take(&mut self.fan_outs);
        self.cancel(endpoint, CancelReason::EndpointDeleted);
        self.fan_outs = fan_outs;
    }

    pub(super) fn rotate_secret(
        &mut self,
        application: ApplicationKey,
        endpoint: &EndpointRef,
        rotation: &Rotation,
    ) -> Result<Write<Rotated>, Error> {
        let before = self.endpoint_copy(application, endpoint)?;
        let mut rotated = before.clone();
        let idempotency = rotation.idempotency.as_ref();
        if let Some(Effect::Rotation(of, secret)) = self.effect(idempotency, rotation.now)? {
            let is_there = rotated.secrets.iter().any(|one| one.sealed == secret);
            if of != rotated.key || !is_there {
                return Err(Error::NotFound("secret"));
            }
            let endpoint = rotated;
            return Ok(Write::Replayed(Rotated { endpoint, secret }));
        }
        for secret in &mut rotated.secrets {
            let end = secret.expires.unwrap_or(rotation.old_expires);
            secret.expires = Some(end.min(rotation.old_expires));
        }
        rotated
            .secrets
            .retain(|secret| secret.expires.is_none_or(|end| end > rotation.now));
        if rotated.secrets.len() as u64 >= rotation.secrets_max {
            return Err(Error::Limit {
                name: "secrets_per_endpoint",
                max: rotation.secrets_max,
            });
        }
        let current = SealedSecret {
            sealed: rotation.secret.clone(),
            expires: None,
        };
        rotated.secrets.insert(0, current);
        rotated.updated = rotation.now;
        let secret = rotation.secret.clone();
        let effect = Effect::Rotation(rotated.key, secret.clone());
        self.remember(idempotency, rotation.now, effect);
        let rotated = self.put_endpoint(rotated);
        let done = (rotation.now, "endpoint.rotate_secret");
        self.note_endpoint(done, &rotated, (Some(&before), Some(&rotated)));
        self.tell(rotated.key, Announced::Updated, rotation.now, None);
        Ok(Write::Done(Rotated {
            endpoint: rotated,
            secret,
        }))
    }

    // ---- Event types -------------------------------------------------------------------------

    pub(super) fn create_event_type(
        &mut self,
        new: &NewEventType,
    ) -> Result<Write<EventTypeRow>, Error> {
        let idempotency = new.idempotency.as_ref();
        if let Some(Effect::EventType(name)) = self.effect(idempotency, new.now)? {
            let found = self.event_types.get(&(new.organization, name)).cloned();
            return found
                .map(Write::Replayed)
                .ok_or(Error::NotFound("event type"));
        }
        let key = (new.organization, new.name.clone());
        let before = self.event_types.get(&key);
        if before.is_some_and(|before| !before.archived) {
            return Err(Error::Conflict("event type"));
        }
        if before.is_none() {
            let known = self.event_types.keys();
            let own = known.filter(|(organization, _)| *organization == new.organization);
            refuse_beyond("event_types", own.count(), new.event_types_max)?;
        }
        let row = EventTypeRow {
            name: new.name.clone(),
            description: new.description.clone(),
            archived: new.archived,
            deprecated: new.deprecated,
            feature_flags: new.feature_flags.clone(),
            group: new.group.clone(),
            schemas: new.schemas.clone(),
            enforced: new.enforced,
            created: before.map_or(new.now, |before| before.created),
            updated: new.now,
        };
        self.event_types.insert(key, row.clone());
        let effect = Effect::EventType(new.name.clone());
        self.remember(idempotency, new.now, effect);
        let named = (row.name.to_string(), None);
        let done = (new.now, "event_type.create");
        self.note(new.organization, done, named, (None, Some(&row)));
        Ok(Write::Done(row))
    }

    pub(super) fn list_event_types(
        &self,
        organization: OrganizationKey,
        archived: bool,
        page: &PageRequest<EventType>,
    ) -> Page<EventTypeRow> {
        let rows = self
            .event_types
            .iter()
            .filter(|((of, _), row)| *of == organization && (archived || !row.archived))
            .map(|((_, name), row)| (name.clone(), row.clone()))
            .collect();
        plain_page_of(rows, page)
    }

    fn event_type_mut(
        &mut self,
        organization: OrganizationKey,
        name: &EventType,
    ) -> Result<&mut EventTypeRow, Error> {
        self.event_types
            .get_mut(&(organization, name.clone()))
            .ok_or(Error::NotFound("event type"))
    }

    pub(super) fn update_event_type(
        &mut self,
        organization: OrganizationKey,
        name: &EventType,
        change: &EventTypeChange,
    ) -> Result<EventTypeRow, Error> {
        let row = self.event_type_mut(organization, name)?;
        let before = row.clone();
        set(&mut row.description, change.description.as_ref());
        set(&mut row.archived, change.archived.as_ref());
        set(&mut row.deprecated, change.deprecated.as_ref());
        set(&mut row.feature_flags, change.feature_flags.as_ref());
        set(&mut row.group, change.group.as_ref());
        set(&mut row.schemas, change.schemas.as_ref());
        set(&mut row.enforced, change.enforced.as_ref());
        row.updated = change.now;
        let row = row.clone();
        let done = (change.now, "event_type.update");
        let named = (name.to_string(), None);
        self.note(organization, done, named, (Some(&before), Some(&row)));
        Ok(row)
    }

    pub(super) fn delete_event_type(
        &mut self,
        organization: OrganizationKey,
        name: &EventType,
        expunge: bool,
        now: Timestamp,
    ) -> Result<(), Error> {
        let row = self.event_type_mut(organization, name)?;
        let before = row.clone();
        row.archived = true;
        row.updated = now;
        let after = row.clone();
        let after: Option<&dyn Audited> = if expunge { None } else { Some(&after) };
        let named = (name.to_string(), None);
        let done = (now, "event_type.delete");
        self.note(organization, done, named, (Some(&before), after));
        if expunge {
            self.event_types.remove(&(organization, name.clone()));
        }
        Ok(())
    }
}

/// Refuses one more of what there may be `max` of.
pub(super) fn refuse_beyond(name: &'static str, count: usize, max: u64) -> Result<(), Error> {
    if count as u64 >= max {
        return Err(Error::Limit { name, max });
    }
    Ok(())
}

//! The audit trail.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{ApplicationId, ApplicationKey, OrganizationKey, Timestamp};

use super::lists::page_of;
use super::{Model, State};
use crate::{
    AuditChange, AuditEnds, AuditFilter, AuditRow, AuditStore, Audited, Author, Endpoint, Error,
    Page, PageRequest, Store,
};

/// A thing before and after a change, as far as there is one.
pub(super) type Sides<'a> = (Option<&'a dyn Audited>, Option<&'a dyn Audited>);

impl State {
    /// Notes a change of the thing with this name.
    pub(super) fn note(
        &mut self,
        organization: OrganizationKey,
        (at, action): (Timestamp, &str),
        (target, application): (String, Option<ApplicationId>),
        (before, after): Sides<'_>,
    ) {
        let change = AuditChange {
            at,
            author: self.author.clone(),
            action,
            target,
            application,
            before: before.map(Audited::audit_fields),
            after: after.map(Audited::audit_fields),
        };
        let (ends, rows) = self.audit.entry(organization).or_default();
        let row = AuditRow::of(ends.newest, &[0; 32], organization, change);
        ends.newest = (row.number, row.hash);
        rows.push(row);
    }

    pub(super) fn note_endpoint(
        &mut self,
        done: (Timestamp, &str),
        endpoint: &Endpoint,
        sides: Sides<'_>,
    ) {
        let organization = self.organization_of(endpoint.application);
        let named = (endpoint.id.to_string(), Some(endpoint.application_id));
        self.note(organization, done, named, sides);
    }

    pub(super) fn organization_of(&self, application: ApplicationKey) -> OrganizationKey {
        self.applications[&application].organization
    }

    /// Returns the public id of an application.
    pub(super) fn id_of(&self, application: ApplicationKey) -> Option<ApplicationId> {
        self.applications.get(&application).map(|it| it.row.id)
    }

    /// Notes that something of an application was erased on request.
    pub(super) fn note_expunge(
        &mut self,
        application: ApplicationKey,
        done: (Timestamp, &str),
        target: String,
    ) {
        let named = (target, self.id_of(application));
        self.note(self.organization_of(application), done, named, (None, None));
    }

    /// Takes the values away from the entries about an application.
    pub(super) fn erase_audit_values(&mut self, application: ApplicationId) {
        let rows = self.audit.values_mut().flat_map(|(_, rows)| rows);
        for row in rows.filter(|row| row.entry.application == Some(application)) {
            row.entry.values = None;
        }
    }

    fn prune_audit(&mut self, before: Timestamp, rows: u16) -> u64 {
        let mut left = usize::from(rows);
        for (ends, entries) in self.audit.values_mut() {
            let oldest = &entries[..left.min(entries.len())];
            let last = oldest.iter().rposition(|row| row.entry.at < before);
            let Some(last) = last else { continue };
            ends.erased = (entries[last].number, entries[last].hash);
            entries.drain(..=last);
            left -= last + 1;
        }
        (usize::from(rows) - left) as u64
    }
}

#[async_trait]
impl AuditStore for Model {
    fn authored(&self, author: Author) -> Arc<dyn Store> {
        Arc::new(Self {
            state: Arc::clone(&self.state),
            author,
        })
    }

    async fn audit(
        &self,
        organization: OrganizationKey,
        filter: &AuditFilter,
        page: PageRequest<i64>,
    ) -> Result<Page<AuditRow, i64>, Error> {
        let state = self.state();
        let rows = state.audit.get(&organization);
        let rows = rows.map_or(&[][..], |(_, rows)| rows);
        let wanted = |row: AuditRow| Some(row).filter(|row| filter.matches(row));
        Ok(page_of(rows.to_vec(), &page, |row| row.number, wanted))
    }

    async fn audit_ends(&self, organization: OrganizationKey) -> Result<AuditEnds, Error> {
        let state = self.state();
        let found = state.audit.get(&organization);
        Ok(found.map(|(ends, _)| *ends).unwrap_or_default())
    }

    async fn prune_audit(&self, before: Timestamp, rows: u16) -> Result<u64, Error> {
        self.write(|state| Ok(state.prune_audit(before, rows)))
    }
}

//! Applications: whom a set of endpoints belongs to.

use std::collections::BTreeMap;

use domain::ApplicationId;
use store::{
    Application, ApplicationChange, ApplicationRef, Idempotency, NewApplication, Page, PageRequest,
};

use crate::caller::Caller;
use crate::error::Error;
use crate::fields::Fields;
use crate::{Service, Upserted};

/// An application as a caller describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationInput {
    /// A name for people.
    pub name: String,
    /// The caller's own name for it.
    pub uid: Option<String>,
    /// Messages per second over all its endpoints.
    pub throttle_rate: Option<u16>,
    /// Whatever the caller keeps here.
    pub metadata: BTreeMap<String, String>,
}

/// Some fields of an application; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationPatch {
    /// A name for people.
    pub name: Option<String>,
    /// The caller's own name for it, or none.
    pub uid: Option<Option<String>>,
    /// Messages per second, or no limit.
    pub throttle_rate: Option<Option<u16>>,
    /// New metadata, all of it.
    pub metadata: Option<BTreeMap<String, String>>,
}

impl From<ApplicationInput> for ApplicationPatch {
    fn from(input: ApplicationInput) -> Self {
        Self {
            name: Some(input.name),
            uid: Some(input.uid),
            throttle_rate: Some(input.throttle_rate),
            metadata: Some(input.metadata),
        }
    }
}

impl Service {
    /// Creates an application.
    pub async fn create_application(
        &self,
        caller: Caller,
        input: ApplicationInput,
        idempotency: Option<Idempotency>,
    ) -> Result<Application, Error> {
        let new = self.new_application(caller, input, idempotency)?;
        let application = self
            .store_as(caller)
            .create_application(new)
            .await?
            .into_inner();
        self.engine().changed(application.key, None);
        Ok(application)
    }

    /// Returns the application with the uid given, or creates it.
    pub async fn get_or_create_application(
        &self,
        caller: Caller,
        input: ApplicationInput,
        idempotency: Option<Idempotency>,
    ) -> Result<Upserted<Application>, Error> {
        let new = self.new_application(caller, input, idempotency)?;
        let uid = new.uid.clone().map(ApplicationRef::Uid);
        if let Some(uid) = &uid
            && let Some(found) = self.store().application(caller.organization, uid).await?
        {
            return Ok(Upserted::Existing(found));
        }
        match (self.store_as(caller).create_application(new).await, uid) {
            (Ok(written), _) => {
                let application = written.into_inner();
                self.engine().changed(application.key, None);
                Ok(Upserted::Created(application))
            }
            // Somebody else created it in between.
            (Err(store::Error::Conflict(_)), Some(uid)) => {
                let found = self.application(caller, &uid).await?;
                Ok(Upserted::Existing(found))
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    /// Creates the application that a path names, as a publish or an access to the portal may.
    pub(crate) async fn application_named(
        &self,
        caller: Caller,
        named: &ApplicationRef,
        mut input: ApplicationInput,
    ) -> Result<Upserted<Application>, Error> {
        // An id cannot be chosen, so nothing that is created could be what the path named.
        let ApplicationRef::Uid(uid) = named else {
            return Err(Error::NotFound("application"));
        };
        let given = input.uid.get_or_insert_with(|| uid.to_string());
        if given != uid.as_str() {
            let msg = "is not the uid that the path names";
            return Err(Error::field(&["application", "uid"], msg));
        }
        let created = self.get_or_create_application(caller, input, None).await;
        created.map_err(|error| match error {
            Error::Invalid(mut faults) => {
                for fault in &mut faults {
                    fault.loc.insert(0, "application".into());
                }
                Error::Invalid(faults)
            }
            other => other,
        })
    }

    /// Replaces an application, or creates it.
    ///
    /// One that is created gets the uid from the input, or else the one it was named by.
    pub async fn put_application(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        mut input: ApplicationInput,
    ) -> Result<Upserted<Application>, Error> {
        let patch = input.clone().into();
        match self.patch_application(caller, application, patch).await {
            Ok(application) => Ok(Upserted::Existing(application)),
            Err(Error::NotFound(what)) => {
                let ApplicationRef::Uid(uid) = application else {
                    return Err(Error::NotFound(what));
                };
                input.uid.get_or_insert_with(|| uid.to_string());
                let created = self.create_application(caller, input, None).await?;
                Ok(Upserted::Created(created))
            }
            Err(error) => Err(error),
        }
    }

    /// Changes some fields of an application.
    pub async fn patch_application(
        &self,
        caller: Caller,
        application: &ApplicationRef,
        patch: ApplicationPatch,
    ) -> Result<Application, Error> {
        let change = self.application_change(patch)?;
        let by_id = ApplicationRef::Id(self.application(caller, application).await?.id);
        let changed = self
            .store_as(caller)
            .update_application(caller.organization, &by_id, change)
            .await?;
        self.engine().changed(changed.key, None);
        Ok(changed)
    }

    /// Reads one application.
    ///
    /// This is where a caller is held to its tenant: everything below an application is reached
    /// through the row found here. One that the caller may not see is one that does not exist.
    pub async fn application(
        &self,
        caller: Caller,
        application: &ApplicationRef,
    ) -> Result<Application, Error> {
        self.store()
            .application(caller.organization, application)
            .await?
            .filter(|found| caller.may_see(found.key))
            .ok_or(Error::NotFound("application"))
    }

    /// Lists applications by id.
    pub async fn applications(
        &self,
        caller: Caller,
        page: PageRequest<ApplicationId>,
    ) -> Result<Page<Application>, Error> {
        Ok(self.store().applications(caller.organization, page).await?)
    }

    /// Deletes an application.
    pub async fn delete_application(
        &self,
        caller: Caller,
        application: &ApplicationRef,
    ) -> Result<(), Error> {
        let by_id = ApplicationRef::Id(self.application(caller, application).await?.id);
        let now = self.now();
        let deleted = self
            .store_as(caller)
            .delete_application(caller.organization, &by_id, now)
            .await?;
        self.engine().changed(deleted.key, None);
        self.0.sources.application_deleted(deleted.key);
        // Its keys went with it.
        self.0.keys.clear();
        Ok(())
    }

    fn new_application(
        &self,
        caller: Caller,
        input: ApplicationInput,
        idempotency: Option<Idempotency>,
    ) -> Result<NewApplication, Error> {
        let change = self.application_change(input.into())?;
        Ok(NewApplication {
            organization: caller.organization,
            id: ApplicationId::from_bits(self.fresh_id(change.now)),
            uid: change.uid.flatten(),
            name: change.name.unwrap_or_default(),
            throttle_rate: change.throttle_rate.flatten(),
            metadata: change.metadata.unwrap_or_default(),
            applications_max: self.limits().applications as u64,
            now: change.now,
            idempotency,
        })
    }

    fn application_change(&self, patch: ApplicationPatch) -> Result<ApplicationChange, Error> {
        let limits = self.limits();
        let mut fields = Fields::default();
        if let Some(name) = &patch.name {
            fields.text("name", name, 1, limits.name_chars);
        }
        let uid = patch
            .uid
            .map(|uid| fields.uid(uid.as_deref(), ApplicationId::looks_like));
        fields.throttle_rate(patch.throttle_rate.flatten());
        if let Some(metadata) = &patch.metadata {
            fields.metadata(metadata, limits);
        }
        fields.check()?;
        Ok(ApplicationChange {
            uid,
            name: patch.name,
            throttle_rate: patch.throttle_rate,
            metadata: patch.metadata,
            now: self.now(),
        })
    }
}

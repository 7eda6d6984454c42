//! Which destinations a message has, from memory.
//!
//! The table may be stale for a moment and it does not matter: an append carries the version it
//! was looked up in, the store compares it in the same transaction and answers `Stale`, and
//! intake loads anew.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use domain::{ApplicationKey, OrganizationKey};
use store::{ApplicationRef, Store};
use vault::Vault;

use crate::destination::Routes;

/// Routes by application, as ids or uids name it.
#[derive(Debug, Default)]
pub(crate) struct RoutingTable {
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    by_name: HashMap<(OrganizationKey, ApplicationRef), Arc<Routes>>,
    /// Destinations in all of them; a bound on memory.
    destinations: usize,
    /// Counts invalidations, so that what was read before one is not kept after it.
    changes: u64,
}

/// Destinations and names held at most; beyond, the table starts anew.
const DESTINATIONS_MAX: usize = 200_000;
const NAMES_MAX: usize = 50_000;

impl RoutingTable {
    /// Returns the routes of an application, loading them when they are not in memory.
    pub(crate) async fn get(
        &self,
        organization: OrganizationKey,
        application: &ApplicationRef,
        store: &dyn Store,
        vault: &Vault,
    ) -> Result<Option<Arc<Routes>>, store::Error> {
        let name = (organization, application.clone());
        let changes = {
            let table = self.table.read().expect("no panic while it is held");
            if let Some(routes) = table.by_name.get(&name) {
                return Ok(Some(Arc::clone(routes)));
            }
            table.changes
        };
        let Some(stored) = store.routes(organization, application).await? else {
            return Ok(None);
        };
        let routes = Arc::new(Routes::new(stored, vault));
        let mut table = self.table.write().expect("no panic while it is held");
        if table.changes == changes {
            if table.destinations > DESTINATIONS_MAX || table.by_name.len() > NAMES_MAX {
                *table = Table {
                    changes,
                    ..Table::default()
                };
            }
            table.destinations += routes.destinations.len();
            // Two loads of one name at once: the other one's are counted no longer.
            if let Some(other) = table.by_name.insert(name, Arc::clone(&routes)) {
                table.destinations -= other.destinations.len();
            }
        }
        Ok(Some(routes))
    }

    /// Forgets the routes of an application, under every name.
    pub(crate) fn forget(&self, application: ApplicationKey) {
        let mut table = self.table.write().expect("no panic while it is held");
        table.changes += 1;
        let mut gone = 0;
        table.by_name.retain(|_, routes| {
            let keep = routes.application.key != application;
            gone += if keep { 0 } else { routes.destinations.len() };
            keep
        });
        table.destinations -= gone;
    }
}

//! The audit trail: reading it, and checking that nobody has altered it.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::ApplicationId;
use store::{AuditFilter, AuditRow, Order, Page, PageRequest};

use crate::Service;
use crate::caller::Caller;
use crate::error::Error;

/// Which entries of the trail a list wants.
pub type AuditQuery = AuditFilter;

/// Whether the chain of entries is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditVerdict {
    /// How many entries were checked.
    pub entries: u64,
    /// The number of the newest entry, and its hash: noted elsewhere, it proves what came before.
    pub newest: (i64, [u8; 32]),
    /// The number of the first entry that is not as it was written, or that is missing.
    pub broken: Option<i64>,
}

/// Entries whose values are gone, by application, until its deletion explains them.
#[derive(Debug, Default)]
struct Erased(BTreeMap<Option<ApplicationId>, i64>);

impl Erased {
    fn see(&mut self, row: &AuditRow) {
        let entry = &row.entry;
        if entry.values.is_none() {
            self.0.entry(entry.application).or_insert(row.number);
        }
        if entry.application.is_some() && entry.action == "application.delete" {
            self.0.remove(&entry.application);
        }
    }

    /// Returns the first entry whose values nothing has erased but an intruder.
    fn unexplained(&self) -> Option<i64> {
        self.0.values().min().copied()
    }
}

impl Service {
    /// Lists entries of the trail by number.
    pub async fn audit(
        &self,
        caller: Caller,
        query: &AuditQuery,
        page: PageRequest<i64>,
    ) -> Result<Page<AuditRow, i64>, Error> {
        Ok(self.store().audit(caller.organization, query, page).await?)
    }

    /// Checks every entry against the one before it, from the oldest that retention has left; and
    /// that values are missing of deleted applications only.
    pub async fn verify_audit(&self, caller: Caller) -> Result<AuditVerdict, Error> {
        const ROWS: u16 = 1_000;
        let organization = caller.organization;
        // Read first: what is added meanwhile lies behind it.
        let ends = self.store().audit_ends(organization).await?;
        let mut at = ends.erased;
        let mut erased = Erased::default();
        let mut verdict = AuditVerdict {
            entries: 0,
            newest: ends.newest,
            broken: None,
        };
        while at.0 < ends.newest.0 {
            let page = PageRequest {
                limit: ROWS,
                order: Order::Ascending,
                cursor: Some(store::Cursor::After(at.0)),
            };
            let filter = AuditFilter::default();
            let found = self.store().audit(organization, &filter, page).await?;
            let is_end = found.items.is_empty();
            for row in found.items {
                if !row.follows(at) {
                    verdict.broken = Some(at.0 + 1);
                    return Ok(verdict);
                }
                at = (row.number, row.hash);
                erased.see(&row);
                verdict.entries += 1;
                if at.0 == ends.newest.0 {
                    break;
                }
            }
            if is_end {
                break;
            }
        }
        if at != ends.newest {
            verdict.broken = Some(at.0 + 1);
        }
        verdict.broken = verdict.broken.or(erased.unexplained());
        Ok(verdict)
    }

    /// Erases a batch of entries that are older than the settings keep; says whether to come
    /// again.
    pub async fn prune_audit(&self, kept: Duration) -> Result<bool, Error> {
        const ROWS: u16 = 500;
        let before = self.now().minus(kept);
        let erased = self.store().prune_audit(before, ROWS).await?;
        Ok(erased == u64::from(ROWS))
    }
}

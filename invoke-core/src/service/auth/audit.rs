//! Reading the record of who signed in and who administered what.

use super::Auth;
use crate::{
    authz::{Actor, acts, authorize_global},
    domain::{Error, Result, audit::Entry, page::OffsetPage},
    repo::audit::{self as record, AuditFilter},
};

/// Entries that one answer holds at most.
const LONGEST_PAGE: i64 = 1000;

impl Auth {
    /// One window of the record, newest first, for administrators. `limit` is 1 to 1000.
    pub fn audit_log(&self, actor: &Actor, filter: &AuditFilter, offset: i64, limit: i64) -> Result<OffsetPage<Entry>> {
        let leave = authorize_global::<acts::ManageUsers>(actor)?;
        if !(1..=LONGEST_PAGE).contains(&limit) || offset < 0 {
            return Err(Error::BadRequest(format!(
                "expected a limit of 1 to {LONGEST_PAGE} and an offset of 0 or more"
            )));
        }
        let (items, total) = self.shared.db.read(|tx| record::page(tx, &leave, filter, offset, limit))?;
        Ok(OffsetPage {
            limit,
            offset,
            total,
            items,
        })
    }
}

//! Telling everybody when an account's access changes, whoever changed it.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::Auth;
use crate::{
    authz::{Actor, acts, authorize_global},
    domain::{Result, UserId},
    events::{AccessChange, Event, UserAccessChanged},
    repo::users::{self, Access},
    service::RecordedDb,
};

/// What is known of every account's access. A difference between it and the database is announced once, whether this process or another
/// made it.
pub(super) struct AccessTable {
    known: Mutex<HashMap<UserId, Access>>,
}

const GONE: Access = Access {
    is_admin: false,
    is_active: false,
    token_epoch: 0,
};

impl AccessTable {
    pub(super) fn read(db: &RecordedDb) -> Result<Self> {
        let known = db.read(users::access_of_all)?.into_iter().collect();
        Ok(Self { known: Mutex::new(known) })
    }
}

fn changed(user_id: &UserId, access: Access) -> UserAccessChanged {
    let Access {
        is_admin,
        is_active,
        token_epoch,
    } = access;
    UserAccessChanged {
        user_id: user_id.clone(),
        access: AccessChange {
            is_admin,
            is_active,
            token_epoch,
        },
    }
}

impl Auth {
    /// Announces how an account's access is now, if that is news. Called after a change is committed; it reads the row again, so that of
    /// two changes that overtake each other the last word is the database's.
    pub(super) fn announce(&self, user_id: &UserId) {
        let mut known = self.access.known.lock();
        let row = match self.shared.db.read(|tx| users::identity(tx, user_id)) {
            Ok(row) => row,
            Err(error) => {
                tracing::error!("an account's access could not be read; the next sweep will: {error}");
                return;
            }
        };
        let now = row.map(|user| Access {
            is_admin: user.is_admin,
            is_active: user.is_active,
            token_epoch: user.token_epoch,
        });
        if let Some(event) = settle(&mut known, user_id, now) {
            self.publish(event);
        }
    }

    /// Looks for accounts that another process changed, announces and returns the changes. To be called every half minute.
    pub fn sweep(&self, actor: &Actor) -> Result<Vec<UserAccessChanged>> {
        authorize_global::<acts::ManageUsers>(actor)?;
        let mut known = self.access.known.lock();
        let mut now: HashMap<UserId, Access> = self.shared.db.read(users::access_of_all)?.into_iter().collect();
        let mut all: Vec<UserId> = known.keys().chain(now.keys()).cloned().collect();
        all.sort_unstable();
        all.dedup();
        let changes: Vec<_> = all
            .iter()
            .filter_map(|user_id| settle(&mut known, user_id, now.remove(user_id)))
            .collect();
        for change in &changes {
            self.publish(change.clone());
        }
        Ok(changes)
    }

    fn publish(&self, change: UserAccessChanged) {
        self.shared.bus.publish(self.shared.env.now(), Event::UserAccessChanged(change));
    }
}

/// Brings what is known up to date; the change if it is one. That an account was made is no change of anybody's access.
fn settle(known: &mut HashMap<UserId, Access>, user_id: &UserId, now: Option<Access>) -> Option<UserAccessChanged> {
    match now {
        Some(access) => known
            .insert(user_id.clone(), access)
            .filter(|before| *before != access)
            .map(|_| changed(user_id, access)),
        None => known.remove(user_id).map(|before| {
            changed(
                user_id,
                Access {
                    token_epoch: before.token_epoch,
                    ..GONE
                },
            )
        }),
    }
}

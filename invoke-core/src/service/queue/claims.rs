//! Claiming items: whose turn it is, and who goes along.

use super::{
    announce,
    change::Aftermath,
    runs::Runs,
    sessions::{self, Prepared},
};
use crate::{
    authz::Actor,
    config::QueueMode,
    db::{ReadTx, WriteTx},
    domain::{
        ItemId, Result,
        queue_item::{Ending, Failure, Likeness, QueueItem, Turn},
    },
    engine::{CancelFlag, Device, Job},
    env::Timestamp,
    queue::{
        Asking, Claim, Work,
        schedule::{self, Affinity, Pick},
    },
    repo::queue as repo,
};

impl Runs {
    /// Claims the next item, and those that go with it.
    pub(super) fn try_claim(&self, asking: &Asking<'_>) -> Result<Claim> {
        let queue = &self.queue;
        if queue.shared.maintenance.refuse_if_active().is_err() {
            return Ok(Claim::Later);
        }
        self.catch_up()?;
        let now = queue.shared.env.now();
        let claimed = queue.change(|tx, aftermath| {
            let Some((item_id, pick)) = self.pick(tx, asking)? else {
                return Ok(None);
            };
            self.begin(tx, aftermath, asking.device, item_id, pick, now)
        })?;
        let Some((item, owner)) = claimed else { return Ok(Claim::Nothing) };
        let Some(owner) = owner else {
            tracing::info!(item_id = item.item_id, "canceled: its owner's account is inactive or gone");
            self.ended_unrun(item.item_id, Ending::Canceled);
            return Ok(Claim::Skipped);
        };
        let Some(first) = self.prepared(item, owner, asking.device)? else {
            return Ok(Claim::Skipped);
        };
        let mut work = vec![first];
        if let Some(likeness) = work[0].job.likeness.clone() {
            let most = (asking.at_a_time)(&likeness);
            while work.len() < most {
                // Turns are told apart by when they began.
                let after = now.plus_millis(work.len() as i64);
                match self.companion(asking, &likeness, after) {
                    Ok(Some(companion)) => work.push(companion),
                    Ok(None) => break,
                    // What has been claimed must run.
                    Err(error) => {
                        tracing::error!("who could go along could not be read: {error}");
                        break;
                    }
                }
            }
        }
        Ok(Claim::Work(work))
    }

    /// Claims the item whose turn it is if it is like those claimed before. It is the one that would have been next: nobody is passed over.
    fn companion(&self, asking: &Asking<'_>, likeness: &Likeness, now: Timestamp) -> Result<Option<Work>> {
        let queue = &self.queue;
        let claimed = queue.change(|tx, aftermath| {
            let Some((item_id, pick)) = self.pick(tx, asking)? else {
                return Ok(None);
            };
            let item = repo::reload(tx, item_id)?;
            // What cannot run is dealt with when its own turn comes.
            let prepared = match sessions::prepare(&queue.registry, &queue.shared.env, tx, &item) {
                Ok(prepared) if prepared.likeness.as_ref() == Some(likeness) => prepared,
                _ => return Ok(None),
            };
            if self.owner_of(tx, &item).is_none() {
                return Ok(None);
            }
            let begun = self.begin(tx, aftermath, asking.device, item_id, pick, now)?;
            Ok(begun.map(|begun| (begun, prepared)))
        })?;
        Ok(match claimed {
            Some(((item, Some(owner)), prepared)) => Some(self.work(item, owner, asking.device, prepared)),
            _ => None,
        })
    }

    /// Whose turn it is, and which item.
    fn pick(&self, tx: &ReadTx<'_>, asking: &Asking<'_>) -> Result<Option<(ItemId, Pick)>> {
        // Asked by whoever writes: what is enqueued after somebody paused the queue does not begin.
        if !self.queue.processor.is_started() {
            return Ok(None);
        }
        let mode: QueueMode = self.queue.shared.config.queue_mode();
        let turns = repo::turns(tx)?;
        let is_loaded = |turn: &Turn| match repo::models_of(tx, turn.batch_row) {
            Ok(models) => !models.is_empty() && models.iter().all(|model| asking.loaded.contains(model)),
            Err(error) => {
                tracing::warn!("a batch's models could not be read: {error}");
                false
            }
        };
        let affinity = Affinity {
            in_a_row: self.in_a_row.lock().get(&asking.device.id).copied().unwrap_or(0),
            loaded: &is_loaded,
        };
        let Some(pick) = schedule::pick(mode, &turns, (!asking.loaded.is_empty()).then_some(&affinity)) else {
            return Ok(None);
        };
        let next = repo::first_waiting(tx, turns[pick.at].batch_row)?;
        Ok(next.map(|item_id| (item_id, pick)))
    }

    /// Marks an item as running, and tells so if its owner may still run anything.
    fn begin(
        &self,
        tx: &mut WriteTx<'_>,
        aftermath: &mut Aftermath,
        device: &Device,
        item_id: ItemId,
        pick: Pick,
        now: Timestamp,
    ) -> Result<Option<(QueueItem, Option<Actor>)>> {
        let Some(repo::Change(item)) = repo::begin(tx, item_id, &device.id, now)? else {
            return Ok(None);
        };
        let mut in_a_row = self.in_a_row.lock();
        let n = in_a_row.entry(device.id.clone()).or_default();
        *n = if pick.out_of_turn { *n + 1 } else { 0 };
        drop(in_a_row);
        let owner = self.owner_of(tx, &item);
        if owner.is_some() {
            aftermath.events.push(announce::status_changed(tx, &item)?);
        }
        Ok(Some((item, owner)))
    }

    /// The item's owner, if they may still run anything. An account that cannot be looked up counts as one that may not; the item must not be left
    /// running with nobody to run it.
    fn owner_of(&self, tx: &ReadTx<'_>, item: &QueueItem) -> Option<Actor> {
        let owner = self.queue.shared.authenticator.owner_of_job(tx, &item.user_id, item.by_key);
        owner.unwrap_or_else(|error| {
            tracing::error!(item_id = item.item_id, "the owner's account could not be read: {error}");
            None
        })
    }

    /// A claimed item, ready to run; `None` if it cannot be read and has failed.
    fn prepared(&self, item: QueueItem, owner: Actor, device: &Device) -> Result<Option<Work>> {
        let queue = &self.queue;
        let shared = &queue.shared;
        let read = shared.db.read(|tx| sessions::prepare(&queue.registry, &shared.env, tx, &item));
        match read {
            Ok(prepared) => Ok(Some(self.work(item, owner, device, prepared))),
            Err(error) => {
                let failure = Failure::bare("ValueError", error.to_string());
                self.ended_unrun(item.item_id, Ending::Failed(failure));
                Ok(None)
            }
        }
    }

    fn work(&self, item: QueueItem, owner: Actor, device: &Device, prepared: Prepared) -> Work {
        let job = Job {
            item_id: item.item_id,
            session_id: item.session_id.clone(),
            user_id: item.user_id.clone(),
            session: prepared.session,
            likeness: prepared.likeness,
            cancel: CancelFlag::default(),
        };
        let host = self.host(item, owner, device, prepared.workflow);
        Work { job, host }
    }
}

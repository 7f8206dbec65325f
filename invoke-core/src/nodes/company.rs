//! Sessions that run side by side on one device to meet at one point.
//!
//! They share the device by taking turns: whoever computes has the floor, and those further in front go first. At the meeting each puts down its part
//! and gives up the floor until all who may come have come; one of them, the first in line, then does the work for all.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// How often somebody who waits looks whether they were asked to end.
const LOOK: Duration = Duration::from_millis(20);

/// Says whether a session was asked to end.
pub type Cancelled = Arc<dyn Fn() -> bool + Send + Sync>;

/// What `P`arts, of which those of equal `S`etting go together, are brought to the meeting.
struct Company<S, P> {
    state: Mutex<State<S, P>>,
    changed: Condvar,
}

struct State<S, P> {
    /// Who computes.
    floor: Option<usize>,
    /// Who wants to.
    wanting: BTreeSet<usize>,
    /// How many may still come to the meeting.
    coming: usize,
    /// What those who came brought, by their places.
    brought: Vec<(usize, S, P)>,
}

/// A member's place in a company. Its end gives up the floor and tells the others not to wait.
pub struct Seat<S, P> {
    company: Arc<Company<S, P>>,
    place: usize,
    has_met: AtomicBool,
    cancelled: Cancelled,
}

/// What becomes of somebody at the meeting.
#[derive(Debug, PartialEq, Eq)]
pub enum Met<P> {
    /// They do the work, for themselves and for these; they have the floor.
    Leads(Vec<P>),
    /// Somebody has taken their part, and will do the work or let the part fall. They do not have the floor.
    Follows,
    /// They were asked to end.
    Cancelled,
}

/// Seats for as many as there are to tell whether each was asked to end.
pub fn seats<S, P>(cancelled: impl IntoIterator<Item = Cancelled>) -> Vec<Seat<S, P>> {
    let cancelled: Vec<Cancelled> = cancelled.into_iter().collect();
    let company = Arc::new(Company {
        state: Mutex::new(State {
            floor: None,
            wanting: BTreeSet::new(),
            coming: cancelled.len(),
            brought: Vec::new(),
        }),
        changed: Condvar::new(),
    });
    let seat = |(place, cancelled)| Seat {
        company: Arc::clone(&company),
        place,
        has_met: AtomicBool::new(false),
        cancelled,
    };
    cancelled.into_iter().enumerate().map(seat).collect()
}

impl<S: PartialEq, P> Seat<S, P> {
    /// Says whether this member was asked to end.
    pub fn cancelled(&self) -> &Cancelled {
        &self.cancelled
    }

    /// Waits for the floor. Whoever is asked to end meanwhile gets it no sooner: those before them are about to give it up.
    pub fn take_floor(&self) {
        self.take_floor_in(&mut self.company.state.lock());
    }

    fn take_floor_in(&self, state: &mut MutexGuard<'_, State<S, P>>) {
        if state.floor == Some(self.place) {
            return;
        }
        state.wanting.insert(self.place);
        while state.floor.is_some() || state.wanting.first() != Some(&self.place) {
            self.company.changed.wait(state);
        }
        state.wanting.remove(&self.place);
        state.floor = Some(self.place);
    }

    fn give_up_floor(&self, state: &mut State<S, P>) {
        if state.floor == Some(self.place) {
            state.floor = None;
        }
        self.company.changed.notify_all();
    }

    fn no_longer_comes(&self, state: &mut State<S, P>) {
        if !self.has_met.swap(true, Ordering::Relaxed) {
            state.coming -= 1;
            self.company.changed.notify_all();
        }
    }

    /// Tells the others not to wait for this member: it goes its own way.
    pub fn stay_away(&self) {
        self.no_longer_comes(&mut self.company.state.lock());
    }

    /// Brings a part to the meeting and waits for the others. Parts of another setting than the leader's are let fall. Whoever has met before leads
    /// nobody.
    pub fn meet(&self, setting: S, part: P) -> Met<P> {
        if self.has_met.load(Ordering::Relaxed) {
            return Met::Leads(Vec::new());
        }
        let mut state = self.company.state.lock();
        state.brought.push((self.place, setting, part));
        self.no_longer_comes(&mut state);
        self.give_up_floor(&mut state);
        loop {
            let Some(at) = state.brought.iter().position(|(place, ..)| *place == self.place) else {
                return Met::Follows;
            };
            if (self.cancelled)() {
                state.brought.remove(at);
                self.company.changed.notify_all();
                return Met::Cancelled;
            }
            if state.coming == 0 && state.brought.iter().all(|(place, ..)| *place >= self.place) {
                let (_, setting, _) = state.brought.remove(at);
                let others = std::mem::take(&mut state.brought);
                self.company.changed.notify_all();
                self.take_floor_in(&mut state);
                let alike = others.into_iter().filter(|(_, other, _)| *other == setting);
                return Met::Leads(alike.map(|(.., part)| part).collect());
            }
            self.company.changed.wait_for(&mut state, LOOK);
        }
    }
}

impl<S, P> Drop for Seat<S, P> {
    fn drop(&mut self) {
        let mut state = self.company.state.lock();
        if state.floor == Some(self.place) {
            state.floor = None;
        }
        if !self.has_met.load(Ordering::Relaxed) {
            state.coming -= 1;
        }
        self.company.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    fn never() -> Cancelled {
        Arc::new(|| false)
    }

    /// Lets each member of a company do something in a thread of its own, and returns what they return.
    fn together<T: Send>(cancelled: Vec<Cancelled>, task: impl Fn(usize, Seat<u32, mpsc::Sender<usize>>) -> T + Sync) -> Vec<Option<T>> {
        let task = &task;
        thread::scope(|scope| {
            let seats = seats(cancelled).into_iter().enumerate();
            let threads: Vec<_> = seats.map(|(place, seat)| scope.spawn(move || task(place, seat))).collect();
            threads.into_iter().map(|thread| thread.join().ok()).collect()
        })
    }

    /// Meets and does its part: what the leader tells, or 100 if it let the part fall.
    fn work(seat: &Seat<u32, mpsc::Sender<usize>>, setting: u32) -> Option<usize> {
        let (tell, told) = mpsc::channel();
        match seat.meet(setting, tell) {
            Met::Leads(others) => {
                others.iter().for_each(|other| other.send(others.len()).unwrap());
                Some(others.len())
            }
            Met::Follows => {
                let told = told.recv().unwrap_or(100);
                seat.take_floor();
                Some(told)
            }
            Met::Cancelled => None,
        }
    }

    #[test]
    fn one_works_for_all_and_only_one_at_a_time() {
        for _ in 0..50 {
            let (inside, order) = (AtomicBool::new(false), Mutex::new(Vec::new()));
            let alone = |what: (usize, &'static str)| {
                assert!(!inside.swap(true, Ordering::SeqCst));
                order.lock().push(what);
                thread::yield_now();
                inside.store(false, Ordering::SeqCst);
            };
            let met = together(vec![never(); 4], |place, seat| {
                seat.take_floor();
                alone((place, "before"));
                let met = work(&seat, 1);
                alone((place, "after"));
                met
            });
            assert_eq!(met, [Some(Some(3)); 4]);
            let order = order.lock();
            assert!(order[..4].iter().all(|(_, when)| *when == "before"));
            assert_eq!(order[4], (0, "after"), "who came first goes on first");
        }
    }

    #[test]
    fn nobody_waits_for_who_left_went_another_way_or_broke_down() {
        let met = together(vec![never(); 5], |place, seat| {
            seat.take_floor();
            match place {
                0 => None,
                1 => {
                    seat.stay_away();
                    Some(77)
                }
                2 => panic!("two is unlucky"),
                _ => work(&seat, 1),
            }
        });
        assert_eq!(met, [Some(None), Some(Some(77)), None, Some(Some(1)), Some(Some(1))]);
    }

    #[test]
    fn parts_of_another_setting_fall() {
        let met = together(vec![never(); 3], |place, seat| {
            seat.take_floor();
            work(&seat, u32::from(place == 1))
        });
        assert_eq!(met, [Some(Some(1)), Some(Some(100)), Some(Some(1))]);
        // A second meeting has nobody else.
        let met = together(vec![never(); 2], |_, seat| {
            seat.take_floor();
            (work(&seat, 0), work(&seat, 0))
        });
        assert_eq!(met, [Some((Some(1), Some(0))); 2]);
    }

    #[test]
    fn who_is_asked_to_end_while_waiting_ends_and_the_others_go_on() {
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let asked: Cancelled = Arc::new(move || flag.load(Ordering::SeqCst));
        let has_gone = AtomicBool::new(false);
        let met = together(vec![asked, never(), never()], |place, seat| {
            if place == 2 {
                ended.store(true, Ordering::SeqCst);
                while !has_gone.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
            }
            seat.take_floor();
            let met = work(&seat, 1);
            if place == 0 {
                has_gone.store(true, Ordering::SeqCst);
            }
            met
        });
        assert_eq!(met, [Some(None), Some(Some(1)), Some(Some(1))]);
    }
}

//! What a device gains by running several sessions at a time that denoise as one batch.
//!
//! Some devices do two pictures in hardly more time than one, others in twice the time, and it depends on the model and the size. So nothing is assumed:
//! a session alone is timed, then pairs are tried; while a doubling pays, the next is tried.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;

use crate::domain::queue_item::Likeness;

/// The most pictures at a time: more hardly gain anything where four do, and each takes memory.
pub const MOST: usize = 4;
/// A batch of twice the size pays if a picture takes at most this share of the time.
const PAYS: f64 = 0.9;
/// How often a size is timed before it is judged. The best time counts: others had something in their way.
const TRIALS: u32 = 2;
/// How many likenesses are remembered.
const REMEMBERED: usize = 256;

/// Seconds a picture at one batch size.
#[derive(Debug, Clone, Copy, Default)]
struct Timed {
    trials: u32,
    best: f64,
}

/// What was timed of one likeness: 1, 2, 4 … pictures at a time.
#[derive(Debug, Clone, Default)]
struct Sizes(Vec<Timed>);

/// What to do next time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Verdict {
    at_a_time: usize,
    is_settled: bool,
}

impl Sizes {
    fn of(&self, power: usize) -> Timed {
        self.0.get(power).copied().unwrap_or_default()
    }

    fn note(&mut self, power: usize, seconds: f64) {
        if self.0.len() <= power {
            self.0.resize(power + 1, Timed::default());
        }
        let timed = &mut self.0[power];
        timed.best = if timed.trials == 0 { seconds } else { timed.best.min(seconds) };
        timed.trials = timed.trials.saturating_add(1);
    }

    fn verdict(&self) -> Verdict {
        let mut power = 0;
        while self.of(power).trials >= TRIALS && 2 << power <= MOST {
            let (now, next) = (self.of(power), self.of(power + 1));
            if next.trials < TRIALS {
                return Verdict {
                    at_a_time: 2 << power,
                    is_settled: false,
                };
            }
            if next.best > PAYS * now.best {
                break;
            }
            power += 1;
        }
        Verdict {
            at_a_time: 1 << power,
            is_settled: self.of(power).trials >= TRIALS,
        }
    }
}

/// What a device was seen to gain.
#[derive(Debug, Default)]
pub struct Gains {
    seen: Mutex<HashMap<Likeness, Sizes>>,
    /// A number that holds whatever is measured; 0 for none.
    fixed: AtomicUsize,
}

impl Gains {
    /// Lets so many run at a time whatever is measured; `None` goes by what is measured.
    pub fn fix(&self, at_a_time: Option<usize>) {
        self.fixed.store(at_a_time.map_or(0, |n| n.clamp(1, MOST)), Ordering::Relaxed);
    }

    /// How many items of a likeness to run at a time.
    pub fn at_a_time(&self, likeness: &Likeness) -> usize {
        match self.fixed.load(Ordering::Relaxed) {
            0 => self.seen.lock().get(likeness).map_or(1, |sizes| sizes.verdict().at_a_time),
            fixed => fixed,
        }
    }

    /// So many were run in so many nanoseconds, or could not be (`None`). Says in the log what that decides.
    pub fn note(&self, likeness: &Likeness, jobs: usize, nanoseconds: Option<u64>) {
        if !jobs.is_power_of_two() || jobs > MOST || nanoseconds == Some(0) {
            return;
        }
        let seconds = nanoseconds.map_or(f64::INFINITY, |ns| ns as f64 * 1e-9 / jobs as f64);
        let power = jobs.trailing_zeros() as usize;
        let mut seen = self.seen.lock();
        if seen.len() >= REMEMBERED && !seen.contains_key(likeness) {
            seen.clear();
        }
        let sizes = seen.entry(likeness.clone()).or_default();
        let before = sizes.verdict();
        sizes.note(power, seconds);
        let verdict = sizes.verdict();
        if verdict.is_settled && verdict != before {
            let share = |power: usize| 100.0 * sizes.of(power).best / sizes.of(0).best;
            let tried: Vec<String> = (1..sizes.0.len())
                .map(|power| format!("{}: {:.0} %", 1 << power, share(power)))
                .collect();
            tracing::info!(
                "sessions run {} at a time from now on ({likeness}); share of the time of one alone that each takes: {}",
                verdict.at_a_time,
                tried.join(", ")
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs as many at a time as it says, with a device that takes `times[power]` nanoseconds for all, and returns what it says each time.
    fn said(times: &[u64], rounds: usize) -> Vec<usize> {
        let (gains, likeness) = (Gains::default(), Likeness::new("x"));
        (0..rounds)
            .map(|_| {
                let n = gains.at_a_time(&likeness);
                gains.note(&likeness, n, times.get(n.trailing_zeros() as usize).copied());
                n
            })
            .collect()
    }

    #[test]
    fn more_at_a_time_as_long_as_a_doubling_pays() {
        assert_eq!(said(&[100, 195], 7), [1, 1, 2, 2, 1, 1, 1]);
        assert_eq!(said(&[100, 150, 280], 9), [1, 1, 2, 2, 4, 4, 2, 2, 2]);
        assert_eq!(said(&[100, 120, 140, 160], 8), [1, 1, 2, 2, 4, 4, 4, 4]);
        // More than two do not fit into the memory.
        assert_eq!(said(&[100, 120], 8), [1, 1, 2, 2, 4, 4, 2, 2]);
    }

    #[test]
    fn a_time_with_something_in_its_way_does_not_decide() {
        let (gains, likeness) = (Gains::default(), Likeness::new("x"));
        for (jobs, time) in [(1, 900), (1, 100), (2, 800), (2, 130), (3, 1), (16, 1)] {
            gains.note(&likeness, jobs, Some(time));
        }
        assert_eq!(gains.at_a_time(&likeness), 4);
        assert_eq!(gains.at_a_time(&Likeness::new("y")), 1);
        gains.fix(Some(3));
        assert_eq!(gains.at_a_time(&Likeness::new("y")), 3);
        gains.fix(Some(0));
        assert_eq!(gains.at_a_time(&likeness), 1);
        gains.fix(None);
        for n in 0..REMEMBERED {
            gains.note(&Likeness::new(format!("{n}")), 1, Some(5));
        }
        assert!(gains.seen.lock().len() <= REMEMBERED);
    }
}

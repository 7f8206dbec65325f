//! Whose turn it is, as a function of what each user would be served next.
//!
//! Between a user's own batches priority and age decide; that is settled before this function is asked: it is given one [`Turn`] a user.
//! Between users it decides by the mode, and priority means nothing, except in the mode that knows no users.

use std::cmp::Ordering;

use crate::{config::QueueMode, domain::queue_item::Turn};

/// How far, in cost, somebody may be ahead of the least served and still go first because their model is loaded: four pictures of 512 by 512 in 30 steps.
pub const MOST_AHEAD: f64 = 240.0;
/// How often in a row a device may let a loaded model go first before the least served is served there whatever it takes.
pub const MOST_IN_A_ROW: u32 = 3;
/// How many users, least served first, are asked whether their model is loaded.
const CANDIDATES: usize = 16;

/// A device that has models loaded.
pub struct Affinity<'a> {
    /// How often in a row this device has let a loaded model go first.
    pub in_a_row: u32,
    /// Whether all that a turn needs is loaded.
    pub loaded: &'a dyn Fn(&Turn) -> bool,
}

/// Who is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// Place among the turns.
    pub at: usize,
    /// Whether somebody else would have been served if their model had been loaded.
    pub out_of_turn: bool,
}

fn rotation(a: &Turn, b: &Turn) -> Ordering {
    a.last_started.cmp(&b.last_started).then(a.batch_row.cmp(&b.batch_row))
}

fn fairness(a: &Turn, b: &Turn) -> Ordering {
    a.served.total_cmp(&b.served).then_with(|| rotation(a, b))
}

/// Chooses whom to serve: somebody whenever anybody waits.
pub fn pick(mode: QueueMode, turns: &[Turn], affinity: Option<&Affinity<'_>>) -> Option<Pick> {
    let first = |order: fn(&Turn, &Turn) -> Ordering| (0..turns.len()).min_by(|a, b| order(&turns[*a], &turns[*b]));
    let at = match mode {
        QueueMode::Fifo => first(|a, b| b.priority.cmp(&a.priority).then(a.batch_row.cmp(&b.batch_row))),
        QueueMode::RoundRobin => first(rotation),
        QueueMode::Fair => first(fairness),
    }?;
    if let (QueueMode::Fair, Some(affinity)) = (mode, affinity)
        && let Some(better) = loaded_first(turns, at, affinity)
    {
        return Some(Pick {
            at: better,
            out_of_turn: true,
        });
    }
    Some(Pick { at, out_of_turn: false })
}

/// Somebody hardly more served than the least served, whose model is loaded while the other's is not.
fn loaded_first(turns: &[Turn], least: usize, affinity: &Affinity<'_>) -> Option<usize> {
    if affinity.in_a_row >= MOST_IN_A_ROW || (affinity.loaded)(&turns[least]) {
        return None;
    }
    let mut near: Vec<usize> = (0..turns.len())
        .filter(|at| *at != least && turns[*at].served <= turns[least].served + MOST_AHEAD)
        .collect();
    near.sort_by(|a, b| fairness(&turns[*a], &turns[*b]));
    near.into_iter().take(CANDIDATES).find(|at| (affinity.loaded)(&turns[*at]))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn turn(batch_row: i64, priority: i64, last_started: &str, served: f64) -> Turn {
        Turn {
            batch_row,
            priority,
            last_started: (!last_started.is_empty()).then(|| last_started.to_owned()),
            served,
        }
    }

    /// Mode, turns as `batch priority last served`, batches whose model is loaded, how often in a row that decided: who is served.
    const TABLE: &[(&str, &[&str], &[i64], u32, i64)] = &[
        // First come, first served; priority decides before age, whoever's it is.
        ("FIFO", &["1 0 - 0", "2 0 - 0"], &[], 0, 1),
        ("FIFO", &["1 0 - 0", "2 1 - 0"], &[], 0, 2),
        ("FIFO", &["7 3 10:00 900", "8 3 - 0"], &[], 0, 7),
        // A newcomer before those who were served, then whoever was served longest ago; priority means nothing between users.
        ("round_robin", &["1 0 10:00 0", "2 0 - 0"], &[], 0, 2),
        ("round_robin", &["1 9 10:01 0", "2 0 10:00 0"], &[], 0, 2),
        ("round_robin", &["4 0 - 0", "3 0 - 0"], &[], 0, 3),
        ("round_robin", &["4 0 10:00 0", "3 0 10:00 0"], &[], 0, 3),
        ("round_robin", &["1 0 10:00 0", "2 0 10:01 0"], &[2], 0, 1),
        // The least served; among equals whoever was served longest ago.
        ("fair", &["1 0 10:00 60", "2 0 10:01 30"], &[], 0, 2),
        ("fair", &["1 9 10:00 60", "2 0 10:01 60"], &[], 0, 1),
        ("fair", &["1 0 10:01 60", "2 0 - 60"], &[], 0, 2),
        // A loaded model lets somebody go first who is little ahead …
        ("fair", &["1 0 10:00 0", "2 0 10:01 240"], &[2], 0, 2),
        ("fair", &["1 0 10:00 0", "2 0 10:01 240"], &[1, 2], 0, 1),
        ("fair", &["1 0 10:00 0", "3 0 10:01 200", "2 0 10:01 100"], &[2, 3], 0, 2),
        // … not far ahead, and not for ever.
        ("fair", &["1 0 10:00 0", "2 0 10:01 241"], &[2], 0, 1),
        ("fair", &["1 0 10:00 0", "2 0 10:01 240"], &[2], 3, 1),
    ];

    #[test]
    fn who_is_served() {
        for (number, (mode, turns, loaded, in_a_row, expected)) in TABLE.iter().enumerate() {
            let turns: Vec<Turn> = turns
                .iter()
                .map(|text| {
                    let parts: Vec<&str> = text.split(' ').collect();
                    turn(
                        parts[0].parse().unwrap(),
                        parts[1].parse().unwrap(),
                        parts[2].trim_start_matches('-'),
                        parts[3].parse().unwrap(),
                    )
                })
                .collect();
            let affinity = Affinity {
                in_a_row: *in_a_row,
                loaded: &|turn| loaded.contains(&turn.batch_row),
            };
            let picked = pick(mode.parse().unwrap(), &turns, Some(&affinity)).unwrap();
            assert_eq!(turns[picked.at].batch_row, *expected, "line {number}");
        }
        assert_eq!(pick(QueueMode::Fair, &[], None), None);
    }

    /// Numbers that look like chance and are the same every time.
    struct Dice(u64);
    impl Dice {
        fn below(&mut self, n: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % n
        }
    }

    #[derive(Default)]
    struct User {
        waiting: Vec<(i64, i64, f64)>,
        last: Option<String>,
        served: f64,
    }

    /// A queue in memory by the rules that the tables follow: batches of one item, owners' heads, the lift of who comes back.
    #[derive(Default)]
    struct Model {
        users: BTreeMap<u64, User>,
        clock: u64,
        next_row: i64,
    }

    impl Model {
        fn enqueue(&mut self, user: u64, priority: i64, cost: f64) -> i64 {
            let floor = self
                .users
                .values()
                .filter(|u| !u.waiting.is_empty())
                .map(|u| u.served)
                .min_by(f64::total_cmp);
            let most = self.users.values().map(|u| u.served).max_by(f64::total_cmp).unwrap_or(0.0);
            self.next_row += 1;
            let user = self.users.entry(user).or_default();
            if user.waiting.is_empty() {
                user.served = user.served.max(floor.unwrap_or(most));
            }
            user.waiting.push((-priority, self.next_row, cost));
            user.waiting.sort_by_key(|waiting| (waiting.0, waiting.1));
            self.next_row
        }

        /// Serves one item: its owner, its priority, its batch.
        fn serve(&mut self, mode: QueueMode, affinity: Option<&Affinity<'_>>) -> Option<(u64, i64, i64, bool)> {
            let (owners, turns): (Vec<u64>, Vec<Turn>) = self
                .users
                .iter()
                .filter_map(|(name, user)| {
                    let (priority, batch_row, _) = user.waiting.first()?;
                    let turn = Turn {
                        batch_row: *batch_row,
                        priority: -priority,
                        last_started: user.last.clone(),
                        served: user.served,
                    };
                    Some((*name, turn))
                })
                .unzip();
            let picked = pick(mode, &turns, affinity)?;
            self.clock += 1;
            let user = self.users.get_mut(&owners[picked.at]).unwrap();
            let (priority, row, cost) = user.waiting.remove(0);
            user.served += cost;
            user.last = Some(format!("{:09}", self.clock));
            Some((owners[picked.at], -priority, row, picked.out_of_turn))
        }

        fn waits(&self) -> usize {
            self.users.values().map(|user| user.waiting.len()).sum()
        }
    }

    const MODES: [QueueMode; 3] = [QueueMode::Fifo, QueueMode::RoundRobin, QueueMode::Fair];

    #[test]
    fn whatever_comes_something_runs_while_anything_waits_and_a_users_order_is_kept() {
        for seed in 0..60 {
            for mode in MODES {
                let (mut dice, mut model) = (Dice(seed), Model::default());
                let mut expected: BTreeMap<u64, Vec<(i64, i64)>> = BTreeMap::new();
                for _ in 0..300 {
                    if dice.below(5) < 3 {
                        let (user, priority) = (dice.below(6), i64::try_from(dice.below(3)).unwrap());
                        let row = model.enqueue(user, priority, 1.0 + dice.below(500) as f64);
                        expected.entry(user).or_default().push((-priority, row));
                    } else {
                        let waited = model.waits();
                        let loaded = |turn: &Turn| turn.batch_row % 3 == 0;
                        let affinity = Affinity {
                            in_a_row: u32::try_from(dice.below(5)).unwrap(),
                            loaded: &loaded,
                        };
                        let served = model.serve(mode, Some(&affinity));
                        assert_eq!(served.is_some(), waited > 0, "work-conserving");
                        if let Some((user, priority, row, _)) = served {
                            let own = expected.get_mut(&user).unwrap();
                            own.sort_unstable();
                            assert_eq!(own.remove(0), (-priority, row), "the order within a user is kept");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn nobody_starves_and_busy_users_get_the_same() {
        const DEAREST: u64 = 600;
        for seed in 0..40 {
            let (mut dice, mut model) = (Dice(seed), Model::default());
            let users = 2 + dice.below(6);
            let costs: Vec<u64> = (0..users).map(|_| 1 + dice.below(DEAREST)).collect();
            let mut in_a_row = 0;
            let mut passed_over: BTreeMap<u64, u64> = BTreeMap::new();
            for _ in 0..2000 {
                for user in 0..users {
                    if model.users.get(&user).is_none_or(|u| u.waiting.len() < 3) {
                        // Each user's own priorities are as high as they like; others must not feel them.
                        model.enqueue(user, i64::try_from(user * 10 + dice.below(3)).unwrap(), costs[user as usize] as f64);
                    }
                }
                // One user's model is always loaded.
                let heads: Vec<i64> = model.users[&0].waiting.iter().map(|w| w.1).collect();
                let loaded = |turn: &Turn| heads.contains(&turn.batch_row);
                let (served, _, _, out_of_turn) = model.serve(QueueMode::Fair, Some(&Affinity { in_a_row, loaded: &loaded })).unwrap();
                in_a_row = if out_of_turn { in_a_row + 1 } else { 0 };
                for user in 0..users {
                    *passed_over.entry(user).or_default() += 1;
                }
                passed_over.insert(served, 0);
                let amounts: Vec<f64> = model.users.values().map(|u| u.served).collect();
                let least = amounts.iter().copied().fold(f64::INFINITY, f64::min);
                let most = amounts.iter().copied().fold(0.0, f64::max);
                assert!(most - least <= MOST_AHEAD + DEAREST as f64, "{amounts:?}");
                // Until somebody is served, others can at most catch up with them and go ahead by one item and the allowance.
                let dearest = DEAREST as f64 + MOST_AHEAD;
                let bound = costs.iter().map(|cost| 2.0 * (dearest / *cost as f64).ceil()).sum::<f64>() * f64::from(MOST_IN_A_ROW + 1);
                assert!(passed_over.values().all(|n| (*n as f64) <= bound), "{passed_over:?}");
            }
        }
    }

    #[test]
    fn in_turn_nobody_is_passed_over_more_often_than_there_are_others() {
        for seed in 0..40 {
            let (mut dice, mut model) = (Dice(seed), Model::default());
            let users = 2 + dice.below(6);
            let mut passed_over: BTreeMap<u64, u64> = BTreeMap::new();
            for _ in 0..500 {
                for user in 0..users {
                    if model.users.get(&user).is_none_or(|u| u.waiting.len() < 3) {
                        model.enqueue(
                            user,
                            i64::try_from(user * 10 + dice.below(3)).unwrap(),
                            1.0 + dice.below(500) as f64,
                        );
                    }
                }
                let (served, ..) = model.serve(QueueMode::RoundRobin, None).unwrap();
                for user in 0..users {
                    *passed_over.entry(user).or_default() += 1;
                }
                passed_over.insert(served, 0);
                assert!(passed_over.values().all(|n| *n < users), "{passed_over:?}");
            }
        }
    }

    /// The same things enqueued with and without one user's priorities: nobody else is served later for them. (Between users who were never served the older
    /// head goes first, so whoever puts a newer one in front may even come later.)
    #[test]
    fn whatever_priorities_somebody_gives_others_are_served_no_later() {
        for seed in 0..200 {
            for mode in [QueueMode::RoundRobin, QueueMode::Fair] {
                let run = |with_priorities: bool| {
                    let (mut dice, mut model) = (Dice(seed), Model::default());
                    let mut served: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
                    for step in 0..300 {
                        if dice.below(5) < 3 {
                            let (user, priority) = (dice.below(6), i64::try_from(dice.below(9)).unwrap());
                            model.enqueue(user, if with_priorities && user == 0 { priority } else { 0 }, 1.0 + user as f64);
                        } else if let Some((user, ..)) = model.serve(mode, None) {
                            served.entry(user).or_default().push(step);
                        }
                    }
                    served
                };
                let (with, without) = (run(true), run(false));
                for user in 1..6 {
                    let (with, without) = (&with[&user], &without[&user]);
                    let no_later = with.iter().zip(without).all(|(with, without)| with <= without);
                    assert!(
                        no_later && with.len() >= without.len(),
                        "{mode:?} {seed}: {user}: {with:?} {without:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn staying_away_saves_nothing_up() {
        let mut model = Model::default();
        for _ in 0..50 {
            model.enqueue(1, 0, 10.0);
        }
        for _ in 0..40 {
            model.serve(QueueMode::Fair, None);
        }
        for _ in 0..10 {
            model.enqueue(2, 0, 10.0);
        }
        let order: Vec<u64> = (0..10).map(|_| model.serve(QueueMode::Fair, None).unwrap().0).collect();
        assert_eq!(order, [2, 1, 2, 1, 2, 1, 2, 1, 2, 1]);
        // Both gone: who comes first has no more than the other.
        while model.serve(QueueMode::Fair, None).is_some() {}
        model.enqueue(3, 0, 10.0);
        model.enqueue(1, 0, 10.0);
        model.enqueue(3, 0, 10.0);
        let order: Vec<u64> = (0..3).map(|_| model.serve(QueueMode::Fair, None).unwrap().0).collect();
        assert_eq!(order, [3, 1, 3]);
    }

    #[test]
    fn a_priority_reorders_its_owners_items_and_nobody_elses() {
        for mode in [QueueMode::RoundRobin, QueueMode::Fair] {
            let mut model = Model::default();
            for (user, priority) in [(1, 0), (1, 0), (2, 0), (2, 0), (2, 9)] {
                model.enqueue(user, priority, 1.0);
            }
            let order: Vec<i64> = (0..5).map(|_| model.serve(mode, None).unwrap().2).collect();
            assert_eq!(order, [1, 5, 2, 3, 4], "{mode:?}");
        }
    }
}

//! The books that triggers and writers keep say what counting would say, whatever happens.

use super::*;
use crate::{
    authz::{Action, Actor, Powers, Reach, acts, authorize_global, outlined},
    db::{Db, ReadTx, WriteTx},
    domain::{
        BatchId, QueueId, SessionId, UserId,
        queue_item::{Ending, Failure, Turn},
        user::User,
    },
    env::Timestamp,
};

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

fn at(moment: i64) -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000 + moment)
}

fn user(n: u64) -> UserId {
    UserId::new(format!("user {n}"))
}

fn user_actor(user_id: &UserId) -> Actor {
    Actor::from_account(&User {
        user_id: user_id.clone(),
        email: String::new(),
        display_name: None,
        is_admin: false,
        is_active: true,
        created_at: at(0),
        updated_at: at(0),
        last_login_at: None,
        token_epoch: 0,
    })
}

fn queue(n: u64) -> QueueId {
    QueueId::new(if n == 0 { "other" } else { "default" })
}

fn insert(db: &Db, owner: &UserId, queue: &QueueId, batch: &str, priority: i64, n: u64, now: Timestamp) -> Vec<i64> {
    let leave = authorize_global::<acts::UseServer>(&Actor::local_operator()).unwrap();
    let batch = NewBatch {
        queue_id: queue,
        batch_id: &BatchId::new(batch),
        user_id: owner,
        by_key: false,
        origin: None,
        destination: Some("canvas"),
        priority,
        cost: 2.0,
        models: &["m".to_owned()],
        fields: Some(r#"[["n","v"]]"#.into()),
        graph: "{}",
        workflow: None,
        now,
    };
    let items = (0..n).map(|value| NewItem {
        session_id: Some(SessionId::new(value.to_string())),
        values: Some(format!("[{value}]")),
        ..NewItem::default()
    });
    let ids: rusqlite::Result<_> = db.write(|tx| insert_batch(tx, &leave, &batch, items));
    ids.unwrap().collect()
}

fn list<T: rusqlite::types::FromSql>(tx: &ReadTx<'_>, sql: &str) -> Vec<Vec<T>> {
    let mut statement = tx.sql().prepare(sql).unwrap();
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|at| row.get(at)).collect()).unwrap();
    rows.map(Result::unwrap).collect()
}

type Cell = rusqlite::types::Value;

/// What is kept beside what counting gives, each as sorted rows.
fn books(db: &Db) -> Vec<(Vec<Vec<Cell>>, Vec<Vec<Cell>>)> {
    const COUNTED: &str = "SUM(status = 'pending'), SUM(status = 'in_progress'), SUM(status = 'waiting'), SUM(status = 'completed'), SUM(status = 'failed'), SUM(status = 'canceled')";
    const KEPT: &str = "pending, in_progress, waiting, completed, failed, canceled";
    let read: rusqlite::Result<_> = db.read(|tx| {
        let pair = |kept: &str, counted: &str| (list::<Cell>(tx, kept), list::<Cell>(tx, counted));
        let some = "pending + in_progress + waiting + completed + failed + canceled > 0";
        Ok(vec![
            pair(
                &format!("SELECT queue_id, user_id, {KEPT} FROM queue_counts WHERE user_id <> '' AND {some} ORDER BY 1, 2"),
                &format!("SELECT queue_id, user_id, {COUNTED} FROM session_queue GROUP BY 1, 2 ORDER BY 1, 2"),
            ),
            pair(
                &format!("SELECT queue_id, {KEPT} FROM queue_counts WHERE user_id = '' AND {some} ORDER BY 1"),
                &format!("SELECT queue_id, {COUNTED} FROM session_queue GROUP BY 1 ORDER BY 1"),
            ),
            pair(
                &format!("SELECT batch_row, user_id, queue_id, {KEPT} FROM queue_batches ORDER BY 1"),
                &format!("SELECT batch_row, user_id, queue_id, {COUNTED} FROM session_queue GROUP BY 1 ORDER BY 1"),
            ),
            pair(
                "SELECT batch_row FROM queue_graphs ORDER BY 1",
                "SELECT DISTINCT batch_row FROM session_queue ORDER BY 1",
            ),
            pair(
                "SELECT user_id, batch_row, priority FROM queue_turns WHERE batch_row IS NOT NULL ORDER BY 1",
                "SELECT user_id, batch_row, priority FROM (
                     SELECT q.user_id, q.batch_row, b.priority, ROW_NUMBER() OVER (PARTITION BY q.user_id ORDER BY b.priority DESC, q.item_id) AS place
                     FROM session_queue q JOIN queue_batches b ON b.batch_row = q.batch_row WHERE q.status = 'pending'
                 ) WHERE place = 1 ORDER BY 1",
            ),
            pair(
                "SELECT user_id, last_started FROM queue_turns WHERE last_started IS NOT NULL ORDER BY 1",
                "SELECT user_id, MAX(started_at) FROM session_queue WHERE started_at IS NOT NULL GROUP BY 1 ORDER BY 1",
            ),
            pair("SELECT COUNT(*) FROM queue_turns WHERE served < 0", "SELECT 0"),
        ])
    });
    read.unwrap()
}

/// The first of a turn's items begins.
fn begin_of(tx: &mut WriteTx<'_>, turn: &Turn, now: Timestamp) -> rusqlite::Result<Option<Change>> {
    match first_waiting(tx, turn.batch_row)? {
        Some(item_id) => begin(tx, item_id, "cpu", now),
        None => Ok(None),
    }
}

#[test]
fn the_books_are_right_whatever_happens() {
    for seed in 0..12 {
        let (mut dice, db) = (Dice(seed), Db::in_memory(at(0)).unwrap());
        for moment in 1..250 {
            let now = at(moment);
            let (somebody, some_queue) = (user(dice.below(4)), queue(dice.below(5)));
            let batch = BatchId::new(format!("batch {}", dice.below(12)));
            let batches = [batch.clone()];
            let actor = if dice.below(3) == 0 {
                Actor::local_operator()
            } else {
                user_actor(&somebody)
            };
            let reach = Reach::of(&actor, Action::DeleteQueueItem, &Powers::default());
            let selection = match dice.below(3) {
                0 => Selection::All,
                1 => Selection::Batches(&batches),
                _ => Selection::Destination("canvas"),
            };
            let kind = dice.below(20);
            let done: rusqlite::Result<()> = match kind {
                0..=5 => {
                    insert(
                        &db,
                        &somebody,
                        &some_queue,
                        &batch.to_string(),
                        i64::try_from(dice.below(3)).unwrap(),
                        dice.below(6),
                        now,
                    );
                    Ok(())
                }
                6..=11 => db.write(|tx| {
                    let turns = turns(tx)?;
                    if turns.is_empty() {
                        return Ok(());
                    }
                    let turn = &turns[usize::try_from(dice.below(turns.len() as u64)).unwrap()];
                    let Change(item) = begin_of(tx, turn, now)?.expect("a turn has something that waits");
                    assert_eq!(item.priority, turn.priority);
                    let ending = match dice.below(4) {
                        0 => return Ok(()),
                        1 => Ending::Canceled,
                        2 => Ending::Failed(Failure {
                            error_type: "E".into(),
                            error_message: "m".into(),
                            error_traceback: "t".into(),
                        }),
                        _ => Ending::Completed,
                    };
                    finish(tx, item.item_id, &ending, Some("{}"), now)?;
                    assert!(finish(tx, item.item_id, &Ending::Completed, None, now)?.is_none(), "it ends once");
                    Ok(())
                }),
                12 => db.write(|tx| {
                    for (id, _) in in_progress_of(tx, &reach, &some_queue, &Selection::All)? {
                        requeue(tx, id, now)?;
                    }
                    Ok(())
                }),
                13 => db.write(|tx| cancel_waiting(tx, &reach, &some_queue, &selection, now).map(drop)),
                14 => db.write(|tx| delete_rows(tx, &reach, &some_queue, &selection, Deleted::Waiting).map(drop)),
                15 => db.write(|tx| delete_rows(tx, &reach, &some_queue, &selection, Deleted::Ended).map(drop)),
                16 if dice.below(4) == 0 => db.write(|tx| delete_rows(tx, &reach, &some_queue, &selection, Deleted::Everything).map(drop)),
                17 => db.write(|tx| keep_newest(tx, dice.below(20)).map(drop)),
                18 => db.write(|tx| cancel_unfinished(tx, now).map(drop)),
                19 if somebody != user(0) => db.write(|tx| hand_over(tx, &somebody, &user(0)).map(drop)),
                _ => Ok(()),
            };
            done.unwrap();
            for (number, (kept, counted)) in books(&db).into_iter().enumerate() {
                assert_eq!(kept, counted, "book {number}, seed {seed}, moment {moment}, act {kind}");
            }
        }
    }
}

#[test]
fn numbers_are_never_given_twice_and_a_batchs_items_follow_each_other() {
    let db = Db::in_memory(at(0)).unwrap();
    let (alice, default) = (UserId::new("alice"), QueueId::new("default"));
    assert_eq!(insert(&db, &alice, &default, "a", 0, 3, at(1)), [1, 2, 3]);
    let reach = Reach::of(&Actor::local_operator(), Action::DeleteQueueItem, &Powers::default());
    let gone: rusqlite::Result<_> = db.write(|tx| delete_rows(tx, &reach, &default, &Selection::All, Deleted::Everything));
    assert_eq!(gone.unwrap().len(), 3);
    assert_eq!(insert(&db, &alice, &default, "b", 0, 0, at(2)), [] as [i64; 0]);
    assert_eq!(insert(&db, &alice, &default, "b", 0, 2, at(2)), [4, 5]);
    let names: rusqlite::Result<Vec<String>> = db.read(|tx| {
        let items = list_items(tx, &default)?;
        Ok(items
            .into_iter()
            .flat_map(|item| item.field_values.unwrap())
            .map(|v| format!("{}.{}={}", v.node_path, v.field_name, v.value))
            .collect())
    });
    assert_eq!(names.unwrap(), ["n.v=0", "n.v=1"]);
}

fn list_items(tx: &ReadTx<'_>, queue_id: &QueueId) -> rusqlite::Result<Vec<crate::domain::queue_item::QueueItem>> {
    let admin = Actor::local_operator();
    let seen = super::list(tx, queue_id, None)?.into_iter();
    Ok(seen
        .filter_map(|item| outlined(&admin, item))
        .map(|seen| seen.get().clone())
        .collect())
}

#[test]
fn who_comes_back_is_lifted_and_who_is_put_back_is_not_charged() {
    let db = Db::in_memory(at(0)).unwrap();
    let (alice, bob, default) = (UserId::new("alice"), UserId::new("bob"), QueueId::new("default"));
    let served = |name: &UserId| -> f64 {
        let found: rusqlite::Result<f64> = db.read(|tx| {
            tx.sql()
                .query_row("SELECT served FROM queue_turns WHERE user_id = ?1", [name], |row| row.get(0))
        });
        found.unwrap()
    };
    let run = |turn: &Turn, now| -> i64 {
        let begun: rusqlite::Result<_> = db.write(|tx| begin_of(tx, turn, now));
        begun.unwrap().unwrap().0.item_id
    };
    let turn_of = |row: i64| Turn {
        batch_row: row,
        priority: 0,
        last_started: None,
        served: 0.0,
    };
    insert(&db, &alice, &default, "a", 0, 5, at(1));
    let first = run(&turn_of(1), at(2));
    run(&turn_of(1), at(3));
    assert_eq!(served(&alice), 4.0);
    insert(&db, &bob, &default, "b", 0, 1, at(4));
    assert_eq!(served(&bob), 4.0, "no less than the least served who waits");
    let back: rusqlite::Result<_> = db.write(|tx| requeue(tx, first, at(5)));
    assert!(back.unwrap().is_some());
    assert_eq!(served(&alice), 2.0);
    run(&turn_of(6), at(6));
    assert_eq!(served(&bob), 6.0);
}

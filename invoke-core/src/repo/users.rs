//! Accounts' rows.

use rusqlite::{OptionalExtension, Row};

use crate::{
    authz::{Permit, Sealed, acts},
    db::{ReadTx, WriteTx},
    domain::{UserId, user::User},
    env::Timestamp,
};

const USER: &str = "user_id, email, display_name, is_admin, is_active, created_at, updated_at, last_login_at, token_epoch";

fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Timestamp> {
    let text: String = row.get(index)?;
    Ok(Timestamp::parse(&text).unwrap_or(Timestamp::from_millis(0)))
}

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    let last_login_at: Option<String> = row.get(7)?;
    Ok(User {
        user_id: row.get(0)?,
        email: row.get(1)?,
        display_name: row.get(2)?,
        is_admin: row.get(3)?,
        is_active: row.get(4)?,
        created_at: time(row, 5)?,
        updated_at: time(row, 6)?,
        last_login_at: last_login_at.as_deref().and_then(Timestamp::parse),
        token_epoch: row.get(8)?,
    })
}

fn one(tx: &ReadTx<'_>, condition: &str, value: &str) -> rusqlite::Result<Option<User>> {
    tx.sql()
        .prepare_cached(&format!("SELECT {USER} FROM users WHERE {condition} = ?1"))?
        .query_row([value], user)
        .optional()
}

/// The account of this id, sealed.
pub fn find(tx: &ReadTx<'_>, user_id: &UserId) -> rusqlite::Result<Sealed<User>> {
    one(tx, "user_id", user_id.as_str()).map(|row| tx.seal(row))
}

/// The account of this e-mail, sealed. Compared exactly.
pub fn find_by_email(tx: &ReadTx<'_>, email: &str) -> rusqlite::Result<Sealed<User>> {
    one(tx, "email", email).map(|row| tx.seal(row))
}

/// The account of this id: for finding out who asks, before anybody can be asked for leave.
pub(crate) fn identity(tx: &ReadTx<'_>, user_id: &UserId) -> rusqlite::Result<Option<User>> {
    one(tx, "user_id", user_id.as_str())
}

/// An account and its password hash: for finding out who asks.
pub(crate) fn credentials(tx: &ReadTx<'_>, email: &str) -> rusqlite::Result<Option<(User, String)>> {
    tx.sql()
        .prepare_cached(&format!("SELECT {USER}, password_hash FROM users WHERE email = ?1"))?
        .query_row([email], |row| Ok((user(row)?, row.get(9)?)))
        .optional()
}

/// Whether hashes of an imported InvokeAI remain.
pub(crate) fn imported_hashes_remain(tx: &ReadTx<'_>) -> rusqlite::Result<bool> {
    tx.sql()
        .prepare_cached("SELECT 1 FROM users WHERE password_hash LIKE '$2%' LIMIT 1")?
        .exists([])
}

/// The hash of one's own password.
pub fn own_password_hash(tx: &ReadTx<'_>, own: &Permit<acts::ManageSelf, User>) -> rusqlite::Result<String> {
    tx.sql()
        .prepare_cached("SELECT password_hash FROM users WHERE user_id = ?1")?
        .query_row([&own.user_id], |row| row.get(0))
}

/// All accounts, newest first.
pub fn list(tx: &ReadTx<'_>, _leave: &Permit<acts::ManageUsers, ()>) -> rusqlite::Result<Vec<User>> {
    let sql = format!("SELECT {USER} FROM users ORDER BY created_at DESC, rowid DESC");
    tx.sql().prepare_cached(&sql)?.query_map([], user)?.collect()
}

/// What decides about an account's access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) is_admin: bool,
    pub(crate) is_active: bool,
    pub(crate) token_epoch: i64,
}

/// Every account's access.
pub(crate) fn access_of_all(tx: &ReadTx<'_>) -> rusqlite::Result<Vec<(UserId, Access)>> {
    let access = |row: &Row<'_>| {
        Ok((
            row.get(0)?,
            Access {
                is_admin: row.get(1)?,
                is_active: row.get(2)?,
                token_epoch: row.get(3)?,
            },
        ))
    };
    tx.sql()
        .prepare_cached("SELECT user_id, is_admin, is_active, token_epoch FROM users")?
        .query_map([], access)?
        .collect()
}

/// How many administrators can sign in.
pub fn count_active_admins(tx: &ReadTx<'_>) -> rusqlite::Result<i64> {
    tx.sql()
        .prepare_cached("SELECT COUNT(*) FROM users WHERE is_admin AND is_active")?
        .query_row([], |row| row.get(0))
}

/// A new account's row.
#[derive(Debug)]
pub struct NewUser<'a> {
    /// Identifier.
    pub user_id: &'a UserId,
    /// Normalised e-mail.
    pub email: &'a str,
    /// The name other users see.
    pub display_name: Option<&'a str>,
    /// Hash of its password.
    pub password_hash: &'a str,
    /// Whether it is an administrator.
    pub is_admin: bool,
    /// Now.
    pub now: Timestamp,
}

fn insert_if(tx: &mut WriteTx<'_>, new: &NewUser<'_>, condition: &str) -> rusqlite::Result<bool> {
    let sql = format!(
        "INSERT INTO users (user_id, email, display_name, password_hash, is_admin, created_at, updated_at)
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?6 WHERE {condition}"
    );
    let row = rusqlite::params![
        new.user_id,
        new.email,
        new.display_name,
        new.password_hash,
        new.is_admin,
        new.now.sql()
    ];
    Ok(tx.sql().prepare_cached(&sql)?.execute(row)? == 1)
}

/// Adds an account.
pub fn insert(tx: &mut WriteTx<'_>, _leave: &Permit<acts::ManageUsers, ()>, new: &NewUser<'_>) -> rusqlite::Result<()> {
    insert_if(tx, new, "TRUE").map(|_| ())
}

/// Adds an account, with nobody's leave, if there is no active administrator; says whether it did.
pub fn insert_first_administrator(tx: &mut WriteTx<'_>, new: &NewUser<'_>) -> rusqlite::Result<bool> {
    insert_if(tx, new, "NOT EXISTS (SELECT 1 FROM users WHERE is_admin AND is_active)")
}

/// What changes about an account; `None` leaves a thing as it is.
#[derive(Debug, Default)]
pub struct UserChange<'a> {
    /// Normalised e-mail.
    pub email: Option<&'a str>,
    /// The name other users see.
    pub display_name: Option<&'a str>,
    /// Hash of a new password; ends all sessions.
    pub password_hash: Option<&'a str>,
    /// Whether it is an administrator.
    pub is_admin: Option<bool>,
    /// Whether it may sign in.
    pub is_active: Option<bool>,
}

fn change(tx: &mut WriteTx<'_>, user_id: &UserId, change: &UserChange<'_>) -> rusqlite::Result<User> {
    let sql = "UPDATE users SET email = COALESCE(?2, email), display_name = COALESCE(?3, display_name),
                password_hash = COALESCE(?4, password_hash), token_epoch = token_epoch + (?4 IS NOT NULL),
                is_admin = COALESCE(?5, is_admin), is_active = COALESCE(?6, is_active)
         WHERE user_id = ?1";
    let values = rusqlite::params![
        user_id,
        change.email,
        change.display_name,
        change.password_hash,
        change.is_admin,
        change.is_active
    ];
    tx.sql().prepare_cached(sql)?.execute(values)?;
    // A trigger dates the row, so it is read anew.
    tx.sql()
        .prepare_cached(&format!("SELECT {USER} FROM users WHERE user_id = ?1"))?
        .query_row([user_id], user)
}

/// Changes an account; gives it back as it is now.
pub fn update(tx: &mut WriteTx<'_>, of: &Permit<acts::ManageUsers, User>, to: &UserChange<'_>) -> rusqlite::Result<User> {
    change(tx, &of.user_id, to)
}

/// Changes what an owner may change of the own account: the name, the password. Gives it back as it is now.
pub fn update_own(
    tx: &mut WriteTx<'_>,
    own: &Permit<acts::ManageSelf, User>,
    display_name: Option<&str>,
    password_hash: Option<&str>,
) -> rusqlite::Result<User> {
    change(
        tx,
        &own.user_id,
        &UserChange {
            display_name,
            password_hash,
            ..UserChange::default()
        },
    )
}

/// Notes that a password was accepted and, if given, puts a present-day hash in place of the one it was compared with. `None` if that
/// hash is the account's no longer.
pub(crate) fn record_login(
    tx: &mut WriteTx<'_>,
    user_id: &UserId,
    compared_with: &str,
    replacement: Option<&str>,
    now: Timestamp,
) -> rusqlite::Result<Option<User>> {
    let sql = "UPDATE users SET last_login_at = ?3, password_hash = COALESCE(?4, password_hash) WHERE user_id = ?1 AND password_hash = ?2";
    let at = format!("{}+00:00", now.iso_micros());
    if tx.sql().prepare_cached(sql)?.execute((user_id, compared_with, at, replacement))? == 0 {
        return Ok(None);
    }
    one(tx, "user_id", user_id.as_str())
}

/// Removes an account. Its settings and keys go with it, its content stays.
pub fn delete(tx: &mut WriteTx<'_>, of: &Permit<acts::ManageUsers, User>) -> rusqlite::Result<()> {
    tx.sql()
        .prepare_cached("DELETE FROM users WHERE user_id = ?1")?
        .execute([&of.user_id])?;
    Ok(())
}

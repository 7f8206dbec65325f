//! Passwords: what makes one acceptable, and how it is kept.
//!
//! They are kept as argon2id hashes at OWASP's floor. The bcrypt hashes of an imported InvokeAI are checked by InvokeAI's own rule, which
//! cuts a password at 72 bytes, and are replaced when their owner next signs in. Hashing is made to be slow and to need memory, so only
//! so many are computed at once, however many people sign in.

mod generate;
mod strength;

use argon2::{Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version, password_hash::SaltString};
use parking_lot::{Condvar, Mutex};

pub use generate::generate;
pub use strength::{Strictness, Unmet, WeakPassword, check, unmet};

use crate::env::Env;

/// Memory, in KiB, that one hash needs.
const MEMORY_KIB: u32 = 19_456;
/// Passes over it.
const PASSES: u32 = 2;
/// Lanes within one hash.
const PARALLELISM: u32 = 1;
/// The most that are computed at once.
const MOST_AT_ONCE: usize = 8;
/// Bytes of a password that bcrypt takes in.
const BCRYPT_BYTES: usize = 72;

/// Computes and compares hashes.
pub struct Hasher {
    argon2: Argon2<'static>,
    lanes: Lanes,
    /// What the password of an account that does not exist is compared with.
    nobodys: String,
    nobodys_bcrypt: String,
    /// Hashes that were compared.
    #[cfg(test)]
    pub(crate) compared: std::sync::atomic::AtomicUsize,
}

/// How a comparison ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// The password is wrong.
    No,
    /// The password is right.
    Yes,
    /// The password is right, and its hash should be replaced by a present-day one.
    YesButOutdated,
}

/// A place among those that hash at this moment.
pub struct Lane<'h> {
    hasher: &'h Hasher,
}

impl Hasher {
    /// At most half the machine's cores hash at once, so that the others answer.
    pub fn new(env: &Env) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_lanes(env, (cores / 2).clamp(1, MOST_AT_ONCE))
    }

    /// At most so many hash at once.
    pub fn with_lanes(env: &Env, lanes: usize) -> Self {
        let params = Params::new(MEMORY_KIB, PASSES, PARALLELISM, None).expect("the parameters are constants within argon2's limits");
        let mut hasher = Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            lanes: Lanes::new(lanes.max(1)),
            nobodys: String::new(),
            // Of a password that was thrown away; only the time that it takes matters.
            nobodys_bcrypt: "$2b$12$VA1P0Y0BgeIGjwgDNe9Z7.Fk3sVLrZcC2QzyEbFhQpKYsMgF3cZ1m".into(),
            #[cfg(test)]
            compared: std::sync::atomic::AtomicUsize::new(0),
        };
        let mut secret = [0; 16];
        env.fill(&mut secret);
        let nobodys = hasher.lane().hash(env, &uuid::Uuid::from_bytes(secret).to_string());
        hasher.nobodys = nobodys;
        hasher
    }

    /// How many hash at once. A front lets no more than so many requests that hash into its pool of threads, so that the rest stay free.
    pub fn lanes(&self) -> usize {
        self.lanes.total
    }

    /// Waits for a place; holding it, one hashes.
    pub fn lane(&self) -> Lane<'_> {
        self.lanes.enter();
        Lane { hasher: self }
    }
}

impl Lane<'_> {
    /// A hash to be stored.
    pub fn hash(&self, env: &Env, password: &str) -> String {
        let mut salt = [0; 16];
        env.fill(&mut salt);
        let salt = SaltString::encode_b64(&salt).expect("16 bytes are a salt");
        self.hasher
            .argon2
            .hash_password(password.as_bytes(), &salt)
            .expect("argon2 takes any password of a request's length")
            .to_string()
    }

    /// Compares a password with a stored hash; one that is empty, malformed or of an unknown kind matches nothing.
    pub fn compare(&self, password: &str, stored: &str) -> Match {
        if is_bcrypt(stored) {
            #[cfg(test)]
            self.hasher.compared.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let matches = bcrypt::verify(bcrypt_input(password), stored).unwrap_or(false);
            return if matches && !password.contains('\0') {
                Match::YesButOutdated
            } else {
                Match::No
            };
        }
        let Ok(hash) = PasswordHash::new(stored) else { return Match::No };
        #[cfg(test)]
        self.hasher.compared.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if self.hasher.argon2.verify_password(password.as_bytes(), &hash).is_err() {
            return Match::No;
        }
        if is_current(&hash) { Match::Yes } else { Match::YesButOutdated }
    }

    /// Takes the time that a comparison takes, for an account that does not exist. While hashes of an imported InvokeAI remain, every
    /// refusal takes the time of one comparison of each kind, so that the kinds do not tell accounts apart.
    pub fn spend_refusal(&self, password: &str, stored: Option<&str>, imported_remain: bool) {
        let has = |bcrypt| stored.is_some_and(|stored| !stored.is_empty() && is_bcrypt(stored) == bcrypt);
        if !has(false) {
            self.compare(password, &self.hasher.nobodys);
        }
        if imported_remain && !has(true) {
            self.compare(password, &self.hasher.nobodys_bcrypt);
        }
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        self.hasher.lanes.leave();
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hasher").field("lanes", &self.lanes.total).finish_non_exhaustive()
    }
}

/// Whether a stored hash is one that InvokeAI made.
pub fn is_bcrypt(stored: &str) -> bool {
    stored.starts_with("$2")
}

/// What InvokeAI gives to bcrypt: at most 72 bytes of UTF-8, a character cut in two left out.
fn bcrypt_input(password: &str) -> &[u8] {
    let mut end = password.len().min(BCRYPT_BYTES);
    while !password.is_char_boundary(end) {
        end -= 1;
    }
    &password.as_bytes()[..end]
}

fn is_current(hash: &PasswordHash<'_>) -> bool {
    hash.algorithm.as_str() == "argon2id"
        && Params::try_from(hash).is_ok_and(|p| p.m_cost() >= MEMORY_KIB && p.t_cost() >= PASSES && p.p_cost() >= PARALLELISM)
}

/// A counting semaphore.
struct Lanes {
    total: usize,
    free: Mutex<usize>,
    freed: Condvar,
}

impl Lanes {
    fn new(total: usize) -> Self {
        Self {
            total,
            free: Mutex::new(total),
            freed: Condvar::new(),
        }
    }

    fn enter(&self) {
        let mut free = self.free.lock();
        while *free == 0 {
            self.freed.wait(&mut free);
        }
        *free -= 1;
    }

    fn leave(&self) {
        *self.free.lock() += 1;
        self.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn hasher(lanes: usize) -> (Hasher, Env) {
        let env = Env::system();
        (Hasher::with_lanes(&env, lanes), env)
    }

    #[test]
    fn hashes_are_argon2id_at_the_floor_and_salted() {
        let (hasher, env) = hasher(1);
        let lane = hasher.lane();
        let (one, two) = (lane.hash(&env, "Str0ngPass"), lane.hash(&env, "Str0ngPass"));
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(one, two);
        assert_eq!(lane.compare("Str0ngPass", &one), Match::Yes);
        assert_eq!(lane.compare("str0ngPass", &one), Match::No);
    }

    #[test]
    fn long_passwords_are_not_cut() {
        let (hasher, env) = hasher(1);
        let (long, longer) = ("x".repeat(100), "x".repeat(101));
        let hash = hasher.lane().hash(&env, &long);
        assert_eq!(hasher.lane().compare(&longer, &hash), Match::No);
    }

    #[test]
    fn weaker_parameters_are_outdated() {
        let (hasher, _) = hasher(1);
        let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
        let salt = SaltString::encode_b64(&[1; 16]).unwrap();
        let stored = weak.hash_password(b"Str0ngPass", &salt).unwrap().to_string();
        assert_eq!(hasher.lane().compare("Str0ngPass", &stored), Match::YesButOutdated);
        assert_eq!(hasher.lane().compare("wrong", &stored), Match::No);
    }

    #[test]
    fn invokeais_hashes_follow_invokeais_rule() {
        let (hasher, _) = hasher(1);
        let lane = hasher.lane();
        // 71 letters, then a character of two bytes: cut at 72 bytes, and the half of it is dropped.
        let cut = format!("{}é and more", "x".repeat(71));
        let stored = bcrypt::hash("x".repeat(71), 4).unwrap();
        assert_eq!(lane.compare(&cut, &stored), Match::YesButOutdated);
        let stored = bcrypt::hash("x".repeat(72), 4).unwrap();
        assert_eq!(lane.compare(&"x".repeat(80), &stored), Match::YesButOutdated);
        assert_eq!(lane.compare(&"x".repeat(71), &stored), Match::No);
        assert_eq!(lane.compare("x\0", &bcrypt::hash("x", 4).unwrap()), Match::No);
    }

    #[test]
    fn malformed_hashes_match_nothing() {
        let (hasher, _) = hasher(1);
        for stored in ["", "$2b$12$short", "$2b$99$", "plain", "$argon2id$v=19$m=1", "$1$md5$x"] {
            for password in ["", "plain", stored] {
                assert_eq!(hasher.lane().compare(password, stored), Match::No, "{stored:?}");
            }
        }
    }

    #[test]
    fn the_comparison_for_nobody_is_a_real_one() {
        let (hasher, _) = hasher(1);
        assert!(PasswordHash::new(&hasher.nobodys).is_ok_and(|hash| is_current(&hash)));
        assert!(bcrypt::verify("x", &hasher.nobodys_bcrypt).is_ok_and(|matches| !matches));
    }

    #[test]
    fn no_more_hash_at_once_than_there_are_lanes() {
        let lanes = Lanes::new(2);
        let (inside, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        lanes.enter();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        lanes.leave();
                    }
                });
            }
        });
        assert!((1..=2).contains(&most.load(Ordering::SeqCst)));
        assert_eq!(*lanes.free.lock(), 2);
    }
}

//! Slowing down whoever guesses passwords.
//!
//! Wrong passwords are counted for each account name and for each network address. The first few cost nothing; each further one doubles
//! the wait before the next attempt is looked at. An address from which an account's password has been given rightly is counted apart
//! from all others for that account, so that a stranger who guesses cannot lock its owner out.

use std::{collections::HashMap, hash::Hash, net::IpAddr};

use parking_lot::Mutex;

use crate::env::Timestamp;

/// Wrong passwords for one account that cost no wait.
const FREE_FOR_ACCOUNT: u32 = 10;
/// Wrong passwords from one address that cost no wait; many people may share an address.
const FREE_FOR_ADDRESS: u32 = 50;
/// The longest wait for an account, in seconds.
const LONGEST_FOR_ACCOUNT_S: u64 = 900;
/// The longest wait for an address, in seconds.
const LONGEST_FOR_ADDRESS_S: u64 = 60;
/// After so long without a wrong password the count starts anew, in milliseconds.
const FORGOTTEN_AFTER_MS: i64 = 3_600_000;
/// Names and addresses that are remembered at most, of each kind.
const REMEMBERED: usize = 10_000;

/// Counts wrong passwords. It forgets with the process.
#[derive(Default)]
pub struct Throttle {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    accounts: Counters<(String, Option<IpAddr>)>,
    addresses: Counters<IpAddr>,
    /// Where an account's password has been given rightly, and when last.
    known: HashMap<(String, IpAddr), Timestamp>,
}

#[derive(Clone, Copy)]
struct Count {
    failures: u32,
    last: Timestamp,
    blocked_until: Timestamp,
}

struct Counters<K>(HashMap<K, Count>);

impl<K> Default for Counters<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq + Clone> Counters<K> {
    fn wait_ms(&self, key: &K, now: Timestamp) -> i64 {
        self.0.get(key).map_or(0, |count| count.blocked_until.millis() - now.millis())
    }

    fn failed(&mut self, key: K, now: Timestamp, free: u32, longest_s: u64) {
        self.make_room(&key, now);
        let count = self.0.entry(key).or_insert(Count {
            failures: 0,
            last: now,
            blocked_until: now,
        });
        if now.millis() - count.last.millis() > FORGOTTEN_AFTER_MS {
            count.failures = 0;
        }
        count.failures = count.failures.saturating_add(1);
        count.last = now;
        if let Some(over) = count.failures.checked_sub(free + 1) {
            let wait_s = 1u64.checked_shl(over).unwrap_or(u64::MAX).min(longest_s);
            count.blocked_until = now.plus_millis(i64::try_from(wait_s * 1000).unwrap_or(i64::MAX));
        }
    }

    /// Keeps the table bounded: what has lapsed goes first, then what counts least.
    fn make_room(&mut self, key: &K, now: Timestamp) {
        if self.0.len() < REMEMBERED || self.0.contains_key(key) {
            return;
        }
        self.0.retain(|_, count| now.millis() - count.last.millis() <= FORGOTTEN_AFTER_MS);
        if self.0.len() >= REMEMBERED
            && let Some(least) = self
                .0
                .iter()
                .min_by_key(|(_, count)| (count.failures, count.last))
                .map(|(key, _)| key.clone())
        {
            self.0.remove(&least);
        }
    }
}

impl Inner {
    /// The account's count that attempts from this address belong to.
    fn account_key(&self, account: &str, address: Option<IpAddr>) -> (String, Option<IpAddr>) {
        let known = address.filter(|&address| self.known.contains_key(&(account.to_owned(), address)));
        (account.to_owned(), known)
    }
}

/// What counts as one address: an IPv6 network of 64 bits belongs to one subscriber.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
    }
}

impl Throttle {
    /// `Err` with the whole seconds to wait, if an attempt may not be looked at yet.
    pub fn check(&self, account: &str, address: Option<IpAddr>, now: Timestamp) -> Result<(), u64> {
        let address = address.map(network);
        let inner = self.inner.lock();
        let for_account = inner.accounts.wait_ms(&inner.account_key(account, address), now);
        let for_address = address.map_or(0, |address| inner.addresses.wait_ms(&address, now));
        match u64::try_from(for_account.max(for_address)) {
            Ok(wait_ms) if wait_ms > 0 => Err(wait_ms.div_ceil(1000)),
            _ => Ok(()),
        }
    }

    /// A wrong password was given.
    pub fn failed(&self, account: &str, address: Option<IpAddr>, now: Timestamp) {
        let address = address.map(network);
        let mut inner = self.inner.lock();
        let key = inner.account_key(account, address);
        inner.accounts.failed(key, now, FREE_FOR_ACCOUNT, LONGEST_FOR_ACCOUNT_S);
        if let Some(address) = address {
            inner.addresses.failed(address, now, FREE_FOR_ADDRESS, LONGEST_FOR_ADDRESS_S);
        }
    }

    /// The right password was given: the account's count starts anew, for that address if it is known. The address's own count stays,
    /// or else an account of one's own would be a means to guess at those of others.
    pub fn succeeded(&self, account: &str, address: Option<IpAddr>, now: Timestamp) {
        let address = address.map(network);
        let mut inner = self.inner.lock();
        let key = inner.account_key(account, address);
        inner.accounts.0.remove(&key);
        if let Some(address) = address {
            if inner.known.len() >= REMEMBERED
                && let Some(oldest) = inner.known.iter().min_by_key(|(_, at)| **at).map(|(key, _)| key.clone())
            {
                inner.known.remove(&oldest);
            }
            inner.known.insert((account.to_owned(), address), now);
        }
    }
}

impl std::fmt::Debug for Throttle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Throttle")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);
    const HOME: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 0, 7)));
    const ELSEWHERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9)));

    fn fail(throttle: &Throttle, account: &str, address: Option<IpAddr>, times: u32) {
        for _ in 0..times {
            throttle.failed(account, address, START);
        }
    }

    #[test]
    fn waits_double_after_the_free_attempts() {
        let throttle = Throttle::default();
        fail(&throttle, "a@x.com", None, FREE_FOR_ACCOUNT);
        assert_eq!(throttle.check("a@x.com", None, START), Ok(()));
        let mut waits = Vec::new();
        for _ in 0..12 {
            fail(&throttle, "a@x.com", None, 1);
            waits.push(throttle.check("a@x.com", None, START).unwrap_err());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        assert_eq!(throttle.check("a@x.com", None, START.plus_millis(899_500)), Err(1));
        assert_eq!(throttle.check("a@x.com", None, START.plus_millis(900_000)), Ok(()));
        assert_eq!(throttle.check("b@x.com", None, START), Ok(()));
    }

    #[test]
    fn the_right_password_and_time_both_forgive() {
        let throttle = Throttle::default();
        fail(&throttle, "a@x.com", None, 12);
        throttle.succeeded("a@x.com", None, START);
        assert_eq!(throttle.check("a@x.com", None, START), Ok(()));
        fail(&throttle, "a@x.com", None, FREE_FOR_ACCOUNT + 5);
        let later = START.plus_millis(FORGOTTEN_AFTER_MS + 1);
        throttle.failed("a@x.com", None, later);
        assert_eq!(throttle.check("a@x.com", None, later), Ok(()));
    }

    #[test]
    fn a_stranger_cannot_lock_the_owner_out() {
        let throttle = Throttle::default();
        throttle.succeeded("a@x.com", HOME, START);
        fail(&throttle, "a@x.com", ELSEWHERE, 30);
        assert!(throttle.check("a@x.com", ELSEWHERE, START).is_err());
        assert_eq!(throttle.check("a@x.com", HOME, START), Ok(()));
        fail(&throttle, "a@x.com", HOME, 11);
        assert!(
            throttle.check("a@x.com", HOME, START).is_err(),
            "a known address is counted all the same"
        );
    }

    #[test]
    fn an_address_that_tries_many_names_waits_too() {
        let throttle = Throttle::default();
        for n in 0..=FREE_FOR_ADDRESS {
            throttle.failed(&format!("user{n}@x.com"), ELSEWHERE, START);
        }
        assert_eq!(throttle.check("fresh@x.com", ELSEWHERE, START), Err(1));
        assert_eq!(throttle.check("fresh@x.com", HOME, START), Ok(()));
        throttle.succeeded("own@x.com", ELSEWHERE, START);
        assert!(
            throttle.check("fresh@x.com", ELSEWHERE, START).is_err(),
            "an account of one's own does not help"
        );
    }

    #[test]
    fn an_ipv6_network_is_one_address() {
        let throttle = Throttle::default();
        for n in 0..=FREE_FOR_ADDRESS {
            let address = format!("2001:db8:1:2::{n:x}").parse().unwrap();
            throttle.failed(&format!("user{n}@x.com"), Some(address), START);
        }
        assert!(
            throttle
                .check("a@x.com", Some("2001:db8:1:2:ffff::1".parse().unwrap()), START)
                .is_err()
        );
        assert!(throttle.check("a@x.com", Some("2001:db8:1:3::1".parse().unwrap()), START).is_ok());
    }

    #[test]
    fn memory_is_bounded_and_the_most_guessed_is_kept() {
        let throttle = Throttle::default();
        fail(&throttle, "victim@x.com", None, 20);
        for n in 0..REMEMBERED + 50 {
            throttle.failed(&format!("noise{n}@x.com"), None, START);
        }
        assert_eq!(throttle.inner.lock().accounts.0.len(), REMEMBERED);
        assert!(throttle.check("victim@x.com", None, START).is_err());
    }
}

//! Making a password up.

use crate::env::Env;

const LENGTH: usize = 16;
const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &[u8] = b"0123456789";
const OTHERS: &[u8] = br##"!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~"##;

/// 16 random letters, digits and punctuation marks, of which at least one capital, one small letter and one digit.
pub fn generate(env: &Env) -> String {
    let all = [LOWER, UPPER, DIGITS, OTHERS].concat();
    loop {
        let password: String = (0..LENGTH).map(|_| char::from(pick(env, &all))).collect();
        let has = |set: &[u8]| password.bytes().any(|byte| set.contains(&byte));
        if has(LOWER) && has(UPPER) && has(DIGITS) {
            return password;
        }
    }
}

/// One of a set, each as likely as any other.
fn pick(env: &Env, set: &[u8]) -> u8 {
    let n = set.len() as u32;
    let fair = u32::MAX - u32::MAX % n;
    loop {
        let chance = env.random_u32();
        if chance < fair {
            return set[(chance % n) as usize];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authn::password::{Strictness, check};

    #[test]
    fn made_up_passwords_are_strong_and_differ() {
        let env = Env::system();
        let made: std::collections::HashSet<String> = (0..100).map(|_| generate(&env)).collect();
        assert_eq!(made.len(), 100);
        for password in made {
            assert_eq!(password.chars().count(), 16);
            check(&password, Strictness::Strict).unwrap();
        }
    }
}

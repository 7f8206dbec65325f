//! API keys: long-lived secrets for programs, each with a name, a scope and, if wanted, an end.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::env::Env;

/// How every key begins, so that it is known for one wherever it turns up.
pub const PREFIX: &str = "ivk_";
/// Random bytes in a key.
const SECRET_BYTES: usize = 32;

/// A fresh key; its text is shown once and never stored.
pub struct NewSecret {
    /// The key.
    pub text: String,
    /// What is stored of it.
    pub hash: [u8; 32],
}

impl NewSecret {
    /// 256 bits of chance.
    pub fn generate(env: &Env) -> Self {
        let mut bytes = [0; SECRET_BYTES];
        env.fill(&mut bytes);
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        let hash = digest(&text);
        Self { text, hash }
    }
}

/// What is stored of a key. A key is all chance, so a fast digest keeps it as safe as a slow one would.
pub(super) fn digest(text: &str) -> [u8; 32] {
    *blake3::hash(text.as_bytes()).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_and_differ() {
        let env = Env::system();
        let (a, b) = (NewSecret::generate(&env), NewSecret::generate(&env));
        assert!(a.text.starts_with("ivk_") && a.text.len() == 47, "{}", a.text.len());
        assert_ne!(a.text, b.text);
        assert_eq!(a.hash, digest(&a.text));
    }
}

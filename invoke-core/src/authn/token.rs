//! Tokens: signed statements of who signed in, and until when.
//!
//! They are InvokeAI's JSON Web Tokens (HS256, the same claims, the same key), with issuer, audience, kind and number added. A token
//! proves an identity only; what its owner may do is read from the account's row each time.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::{
    domain::{UserId, user::User},
    env::{Env, Timestamp},
};

/// How long a token lives, in seconds.
pub const DAY_S: i64 = 86_400;
/// How long one lives if the owner asked to be remembered, in seconds.
pub const WEEK_S: i64 = 7 * DAY_S;

const ISSUER: &str = "invoke";
const AUDIENCE: &str = "invoke";
/// Bytes that a key must have (RFC 7518, 3.2).
const SHORTEST_KEY: usize = 32;

/// What a token is good for. One kind never serves as the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// The API, in an `Authorization` header.
    Api,
    /// Pictures, in a cookie.
    Media,
}

/// What a token states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The account.
    pub user_id: UserId,
    /// Its e-mail when the token was made; for clients, not for us.
    pub email: String,
    /// Whether it was an administrator then; for clients, not for us.
    pub is_admin: bool,
    /// Whether the owner asked to be remembered for a week.
    #[serde(default)]
    pub remember_me: bool,
    /// The account's token epoch then.
    #[serde(default)]
    pub token_epoch: i64,
    /// When it expires, in seconds since 1970.
    pub exp: i64,
    /// When it was made, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<i64>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Whom it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
    /// What it is good for; absent from the tokens of InvokeAI, which serve as both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub typ: Option<TokenKind>,
    /// Its number, so that no two tokens are equal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// Not before, in seconds since 1970; never set here, but heeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
}

/// A fresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued {
    /// The token.
    pub token: String,
    /// Seconds that it lives.
    pub expires_in: i64,
}

/// Makes and checks tokens with one key.
pub(super) struct Tokens {
    signing: EncodingKey,
    checking: DecodingKey,
    rules: Validation,
}

/// Why a key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signing key has {0} bytes and needs at least {SHORTEST_KEY}")]
pub struct ShortKey(usize);

impl Tokens {
    /// The key is used as the bytes of its text, as InvokeAI does.
    pub(super) fn new(key: &str) -> Result<Self, ShortKey> {
        if key.len() < SHORTEST_KEY {
            return Err(ShortKey(key.len()));
        }
        let mut rules = Validation::new(Algorithm::HS256);
        // The signature is the library's to check, everything else ours: it reads the machine's clock and allows a leeway.
        rules.leeway = 0;
        rules.validate_exp = false;
        rules.validate_aud = false;
        rules.required_spec_claims.clear();
        Ok(Self {
            signing: EncodingKey::from_secret(key.as_bytes()),
            checking: DecodingKey::from_secret(key.as_bytes()),
            rules,
        })
    }

    /// A token for this account as it is now.
    pub(super) fn issue(&self, env: &Env, user: &User, kind: TokenKind, remember_me: bool) -> Issued {
        let lifetime = if remember_me { WEEK_S } else { DAY_S };
        self.issue_until(env, user, kind, remember_me, env.now().seconds() + lifetime)
    }

    /// A token that expires at a given second.
    pub(super) fn issue_until(&self, env: &Env, user: &User, kind: TokenKind, remember_me: bool, exp: i64) -> Issued {
        let now = env.now().seconds();
        let claims = Claims {
            user_id: user.user_id.clone(),
            email: user.email.clone(),
            is_admin: user.is_admin,
            remember_me,
            token_epoch: user.token_epoch,
            exp,
            iat: Some(now),
            iss: Some(ISSUER.into()),
            aud: Some(AUDIENCE.into()),
            typ: Some(kind),
            jti: Some(env.uuid()),
            nbf: None,
        };
        Issued {
            token: self.sign(&claims),
            expires_in: exp - now,
        }
    }

    fn sign(&self, claims: &Claims) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.signing).expect("claims are JSON and an HMAC takes any key")
    }

    /// The claims of a token that is genuine, alive and of this kind.
    pub(super) fn verify(&self, token: &str, kind: TokenKind, now: Timestamp) -> Option<Claims> {
        let claims = jsonwebtoken::decode::<Claims>(token, &self.checking, &self.rules).ok()?.claims;
        let from_invokeai = claims.iss.is_none() && claims.aud.is_none() && claims.typ.is_none();
        let ours = claims.iss.as_deref() == Some(ISSUER) && claims.aud.as_deref() == Some(AUDIENCE) && claims.typ == Some(kind);
        let alive = now.seconds() < claims.exp && claims.nbf.is_none_or(|nbf| nbf <= now.seconds());
        ((from_invokeai || ours) && alive).then_some(claims)
    }
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::{Value, json};

    use super::*;
    use crate::env::{ManualClock, SeededRng};

    const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const NOW: Timestamp = Timestamp::from_millis(1_790_000_000_999);

    fn env() -> Env {
        Env::new(Arc::new(ManualClock::at(NOW)), Arc::new(SeededRng::new(1)))
    }

    fn alice() -> User {
        User {
            user_id: UserId::new("alice"),
            email: "alice@example.com".into(),
            display_name: None,
            is_admin: false,
            is_active: true,
            created_at: NOW,
            updated_at: NOW,
            last_login_at: None,
            token_epoch: 3,
        }
    }

    fn signed(claims: &Value) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(KEY.as_bytes())).unwrap()
    }

    #[test]
    fn a_token_lives_to_its_last_second() {
        let (tokens, env) = (Tokens::new(KEY).unwrap(), env());
        for (remember_me, lifetime) in [(false, 86_400), (true, 604_800)] {
            let issued = tokens.issue(&env, &alice(), TokenKind::Api, remember_me);
            assert_eq!(issued.expires_in, lifetime);
            let end = NOW.seconds() + lifetime;
            let claims = tokens
                .verify(&issued.token, TokenKind::Api, Timestamp::from_millis(end * 1000 - 1))
                .unwrap();
            assert_eq!((claims.token_epoch, claims.remember_me, claims.exp), (3, remember_me, end));
            assert_eq!(
                tokens.verify(&issued.token, TokenKind::Api, Timestamp::from_millis(end * 1000)),
                None
            );
        }
    }

    #[test]
    fn kinds_exclude_each_other_and_no_two_tokens_are_equal() {
        let (tokens, env) = (Tokens::new(KEY).unwrap(), env());
        let api = tokens.issue(&env, &alice(), TokenKind::Api, false).token;
        let media = tokens.issue(&env, &alice(), TokenKind::Media, false).token;
        assert!(tokens.verify(&api, TokenKind::Media, NOW).is_none());
        assert!(tokens.verify(&media, TokenKind::Api, NOW).is_none());
        assert!(tokens.verify(&media, TokenKind::Media, NOW).is_some());
        assert_ne!(api, tokens.issue(&env, &alice(), TokenKind::Api, false).token);
    }

    #[test]
    fn tokens_of_an_imported_invokeai_are_honoured() {
        let tokens = Tokens::new(KEY).unwrap();
        let exp = NOW.seconds() + 60;
        let old = signed(&json!({"user_id": "alice", "email": "a@x.com", "is_admin": true, "exp": exp}));
        for kind in [TokenKind::Api, TokenKind::Media] {
            let claims = tokens.verify(&old, kind, NOW).unwrap();
            assert_eq!((claims.token_epoch, claims.remember_me), (0, false));
        }
    }

    #[test]
    fn forged_foreign_and_unfinished_tokens_are_refused() {
        let tokens = Tokens::new(KEY).unwrap();
        let exp = NOW.seconds() + 60;
        let base = json!({"user_id": "alice", "email": "a@x.com", "is_admin": false, "exp": exp});
        let with = |key: &str, value: Value| {
            let mut claims = base.clone();
            claims[key] = value;
            signed(&claims)
        };
        let without = |key: &str| {
            let mut claims = base.clone();
            claims.as_object_mut().unwrap().remove(key);
            signed(&claims)
        };
        let none = format!(
            "{}.{}.",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#),
            URL_SAFE_NO_PAD.encode(serde_json::to_vec(&base).unwrap())
        );
        let other_key = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &base, &EncodingKey::from_secret(&[7; 64])).unwrap();
        let other_algorithm =
            jsonwebtoken::encode(&Header::new(Algorithm::HS512), &base, &EncodingKey::from_secret(KEY.as_bytes())).unwrap();
        for (what, token) in [
            ("empty", String::new()),
            ("junk", "junk".into()),
            ("unsigned", none),
            ("of another key", other_key),
            ("of another algorithm", other_algorithm),
            ("with a letter added", format!("{}x", signed(&base))),
            ("for another audience", with("aud", json!("elsewhere"))),
            ("of another issuer", with("iss", json!("elsewhere"))),
            ("with a kind but no issuer", with("typ", json!("api"))),
            ("not yet valid", with("nbf", json!(exp))),
            ("expired", with("exp", json!(NOW.seconds()))),
            ("without expiry", without("exp")),
            ("without account", without("user_id")),
        ] {
            assert_eq!(tokens.verify(&token, TokenKind::Api, NOW), None, "{what}");
        }
    }

    #[test]
    fn weak_keys_are_refused() {
        assert_eq!(Tokens::new("short").unwrap_err(), ShortKey(5));
    }
}

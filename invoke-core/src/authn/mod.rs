//! Who is asking: passwords, tokens, API keys, and the one place that makes an [`Actor`](crate::authz::Actor) out of them.

mod api_key;
mod authenticator;
mod email;
pub mod password;
mod throttle;
mod token;

pub use api_key::{NewSecret, PREFIX as API_KEY_PREFIX};
pub use authenticator::{Authenticator, Intent, OpenError, Presented, Session};
pub use email::{Email, EmailError};
pub use throttle::Throttle;
pub use token::{Claims, DAY_S, Issued, TokenKind, WEEK_S};

//! Asking over HTTP, where nobody can make this machine reach what only it can reach.
//!
//! The address is judged where names become addresses, and the connection is opened to the very addresses that were judged, so that a name that
//! answers differently the second time gains nothing. Redirects are followed here, one by one, each judged the same way.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use ureq::{
    Agent, Body, Proxy,
    config::Config,
    http::{HeaderMap, Uri},
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};
use url::{Host, Url};

use super::address::is_public;

/// Redirects that are followed at most.
const MOST_REDIRECTS: usize = 10;
/// Longest wait for a connection, and for the next byte.
const CONNECT: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(30);

/// Where requests may go, and by which way.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Whether addresses that are not public may be asked.
    pub allow_private: bool,
    /// A proxy, which then decides where it goes itself.
    pub proxy: Option<String>,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The address is not public.
    #[error("Downloads from '{0}' are refused, it is not a public address; `allow_private_download_urls` in invokeai.yaml permits them")]
    Private(String),
    /// The address is no address of the web.
    #[error("'{0}' is not an http or https address")]
    Scheme(String),
    /// Redirected over and over, or to nowhere.
    #[error("'{0}' redirects more than {MOST_REDIRECTS} times, or to what is no address")]
    Redirects(String),
    /// The proxy of the configuration cannot be used.
    #[error("`download_proxy` is not the address of a proxy")]
    Proxy,
    /// The network, or the other side.
    #[error("{host} could not be asked: {reason}")]
    Failed {
        /// Who was asked.
        host: String,
        /// What went wrong.
        reason: String,
    },
}

impl HttpError {
    /// The class by which jobs name it.
    pub const fn class(&self) -> &'static str {
        match self {
            Self::Private(_) | Self::Scheme(_) => "UnsafeDownloadURLException",
            Self::Redirects(_) => "TooManyRedirects",
            Self::Proxy => "InvalidProxyURL",
            Self::Failed { .. } => "ConnectionError",
        }
    }
}

/// A maker of connections under a policy.
#[derive(Debug, Clone)]
pub struct Client {
    config: Config,
    allow_private: bool,
    proxied: bool,
    #[cfg(test)]
    pretended: Option<(String, u16)>,
}

/// Connections of one piece of work, which can be cut.
#[derive(Debug, Clone)]
pub struct Line {
    agent: Agent,
    allow_private: bool,
}

/// A reply whose body is still to be read.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Where it came from, redirects followed.
    pub url: Url,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Body,
}

impl Reply {
    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The usual words for its status.
    pub fn reason(&self) -> String {
        let known = ureq::http::StatusCode::from_u16(self.status).ok();
        known
            .and_then(|status| status.canonical_reason())
            .map_or_else(|| format!("HTTP {}", self.status), str::to_owned)
    }

    /// The whole body as text, of at most so many bytes.
    pub fn text(&mut self, most: u64) -> Result<String, HttpError> {
        let host = self.url.host_str().unwrap_or_default().to_owned();
        self.body
            .with_config()
            .limit(most)
            .lossy_utf8(true)
            .read_to_string()
            .map_err(|error| HttpError::Failed {
                host,
                reason: error.to_string(),
            })
    }
}

/// Resolves names, and refuses those that lead where the policy forbids.
struct Judge {
    allow_private: bool,
    inner: DefaultResolver,
    #[cfg(test)]
    pretended: Option<(String, u16)>,
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge")
            .field("allow_private", &self.allow_private)
            .finish_non_exhaustive()
    }
}

/// What [`Judge`] answers for a forbidden name.
#[derive(Debug, thiserror::Error)]
#[error("not a public address")]
struct Forbidden;

impl Resolver for Judge {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        #[cfg(test)]
        if let Some((name, port)) = &self.pretended
            && uri.host() == Some(name)
        {
            let mut here = self.inner.empty();
            here.push(([127, 0, 0, 1], *port).into());
            return Ok(here);
        }
        let found = self.inner.resolve(uri, config, timeout)?;
        // One private address among several is enough: which of them is used is not ours to choose.
        let forbidden = |address: &SocketAddr| !is_public(address.ip());
        if !self.allow_private && found.iter().any(forbidden) {
            return Err(ureq::Error::Other(Box::new(Forbidden)));
        }
        Ok(found)
    }
}

impl Client {
    /// A client under this policy. No proxy of the environment is used.
    pub fn new(policy: &Policy) -> Result<Self, HttpError> {
        let proxy = policy.proxy.as_deref().map(Proxy::new).transpose().map_err(|_| HttpError::Proxy)?;
        let config = Agent::config_builder()
            .proxy(proxy)
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(SILENCE))
            .user_agent(concat!("invoke/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            config,
            allow_private: policy.allow_private,
            proxied: policy.proxy.is_some(),
            #[cfg(test)]
            pretended: None,
        })
    }

    /// A client for which a name leads to a port of this machine as if it were public.
    #[cfg(test)]
    pub(crate) fn pretending(name: &str, port: u16) -> Self {
        let client = Self::new(&Policy::default()).expect("there is no proxy");
        Self {
            pretended: Some((name.to_owned(), port)),
            ..client
        }
    }

    /// Connections for one piece of work.
    pub fn line(&self) -> Line {
        let judge = Judge {
            // A proxy is the operator's choice, wherever it stands; the names that it resolves are its own business.
            allow_private: self.allow_private || self.proxied,
            inner: DefaultResolver::default(),
            #[cfg(test)]
            pretended: self.pretended.clone(),
        };
        Line {
            agent: Agent::with_parts(self.config.clone(), DefaultConnector::default(), judge),
            allow_private: self.allow_private,
        }
    }
}

impl Line {
    /// Asks, and follows redirects. `token` is sent to the host that was asked and to no other.
    pub fn get(&self, url: &Url, headers: &[(&str, &str)], token: Option<&str>) -> Result<Reply, HttpError> {
        let mut at = url.clone();
        for _ in 0..=MOST_REDIRECTS {
            if !matches!(at.scheme(), "http" | "https") || !at.has_host() {
                return Err(HttpError::Scheme(at.to_string()));
            }
            if !self.allow_private && literal(&at).is_some_and(|address| !is_public(address)) {
                return Err(HttpError::Private(at.host_str().unwrap_or_default().to_owned()));
            }
            let mut request = self.agent.get(at.as_str()).header("accept-encoding", "identity");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            if let Some(token) = token.filter(|_| keeps_trust(url, &at)) {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let reply = request.call().map_err(|error| failure(&at, &error))?;
            let status = reply.status().as_u16();
            let next = matches!(status, 301 | 302 | 303 | 307 | 308)
                .then(|| reply.headers().get("location").and_then(|value| value.to_str().ok()))
                .flatten();
            match next {
                Some(next) => at = at.join(next).map_err(|_| HttpError::Redirects(url.to_string()))?,
                None => {
                    let (parts, body) = reply.into_parts();
                    return Ok(Reply {
                        status,
                        url: at,
                        headers: parts.headers,
                        body,
                    });
                }
            }
        }
        Err(HttpError::Redirects(url.to_string()))
    }

    /// Ends every connection at once, whoever waits on it, and opens no more.
    pub fn cut(&self) {
        self.agent.clone().shutdown();
    }
}

/// The address that stands in a URL in place of a name, in whichever spelling.
fn literal(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

/// Whether what was meant for one address may be told to another: the same host and port, or the same host by the safer way.
fn keeps_trust(asked: &Url, now: &Url) -> bool {
    let same_host = asked.host_str() == now.host_str();
    let upgraded = asked.scheme() == "http" && now.scheme() == "https" && asked.port().is_none() && now.port().is_none();
    same_host && (upgraded || asked.scheme() == now.scheme() && asked.port_or_known_default() == now.port_or_known_default())
}

fn failure(at: &Url, error: &ureq::Error) -> HttpError {
    let host = at.host_str().unwrap_or_default().to_owned();
    match error {
        ureq::Error::Other(inner) if inner.is::<Forbidden>() => HttpError::Private(host),
        other => HttpError::Failed {
            host,
            reason: other.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stays_with_the_host_that_it_was_meant_for() {
        let trusts = |from: &str, to: &str| keeps_trust(&from.parse().unwrap(), &to.parse().unwrap());
        assert!(trusts("https://a.example/x", "https://a.example/y"));
        assert!(trusts("http://a.example/x", "https://a.example/y"));
        for (from, to) in [
            ("https://a.example/x", "https://b.example/x"),
            ("https://a.example/x", "http://a.example/x"),
            ("https://a.example/x", "https://a.example:8443/x"),
        ] {
            assert!(!trusts(from, to), "{from} {to}");
        }
    }

    #[test]
    fn spellings_of_this_machine_are_refused() {
        let line = Client::new(&Policy::default()).unwrap().line();
        for text in [
            "http://127.0.0.1:9/x",
            "http://2130706433:9/x",
            "http://0x7f.1:9/x",
            "http://%31%32%37.0.0.1:9/x",
            "http://[::ffff:127.0.0.1]:9/x",
            "http://localhost:9/x",
            "http://169.254.169.254/latest",
        ] {
            let error = line.get(&text.parse().unwrap(), &[], None).unwrap_err();
            assert!(matches!(error, HttpError::Private(_)), "{text}: {error}");
        }
        // A proxy may stand on this machine; it is not asked for what is plainly private.
        let policy = Policy {
            proxy: Some("http://127.0.0.1:9".into()),
            ..Policy::default()
        };
        let proxied = Client::new(&policy).unwrap().line();
        let error = proxied.get(&"http://10.0.0.1/x".parse().unwrap(), &[], None).unwrap_err();
        assert!(matches!(error, HttpError::Private(_)), "{error}");
        let error = proxied.get(&"http://example.com/x".parse().unwrap(), &[], None).unwrap_err();
        assert!(matches!(error, HttpError::Failed { .. }), "{error}");
        let error = line.get(&"ftp://example.com/x".parse().unwrap(), &[], None).unwrap_err();
        assert!(matches!(error, HttpError::Scheme(_)), "{error}");
    }
}

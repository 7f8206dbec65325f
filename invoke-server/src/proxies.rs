//! Proxies whose word about their clients is taken.

use std::net::IpAddr;

use http::HeaderMap;

/// Proxies by address; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    all: bool,
    /// Addresses, and of how many bits the beginning counts.
    networks: Vec<(IpAddr, u32)>,
}

impl Proxies {
    /// Reads `forwarded_allow_ips`: addresses and networks (`10.0.0.0/8`) between commas, or `*` for everybody. What is none of these is left out, and
    /// said to be.
    pub fn parse(text: &str) -> Self {
        let mut proxies = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match network(part) {
                _ if part == "*" => proxies.all = true,
                Some(network) => proxies.networks.push(network),
                None => tracing::warn!("forwarded_allow_ips: `{part}` is no address and no network, and is left out"),
            }
        }
        proxies
    }

    fn has(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let within = |(network, bits): &(IpAddr, u32)| match (network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => same(network.to_bits().into(), address.to_bits().into(), 32 - bits),
            (IpAddr::V6(network), IpAddr::V6(address)) => same(network.to_bits(), address.to_bits(), 128 - bits),
            _ => false,
        };
        self.all || self.networks.iter().any(within)
    }

    /// Whether a peer is a proxy whose word is taken.
    pub fn trust(&self, peer: Option<IpAddr>) -> bool {
        peer.is_some_and(|peer| self.has(peer))
    }

    /// Who asks: the peer, or, where that is a proxy, whom it says it asks for. Of a chain of addresses the last one counts that is no proxy, since whatever
    /// stands before it may be made up.
    pub fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        if !self.trust(peer) {
            return peer;
        }
        let told = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
        let chain: Vec<IpAddr> = told
            .flat_map(|text| text.split(','))
            .map_while(|one| one.trim().parse().ok())
            .collect();
        let client = chain.iter().rev().find(|address| !self.has(**address)).or(chain.first());
        client.copied().or(peer)
    }
}

fn same(a: u128, b: u128, behind: u32) -> bool {
    a.checked_shr(behind) == b.checked_shr(behind)
}

fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    Some((address, bits.unwrap_or(most))).filter(|(_, bits)| *bits <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(proxies: &str, peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let client = Proxies::parse(proxies).client(peer.parse().ok(), &headers);
        client.map(|client| client.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_proxys_word_is_taken_and_nobody_elses() {
        assert_eq!(asked("127.0.0.1", "127.0.0.1", &["1.2.3.4"]), "1.2.3.4");
        assert_eq!(asked("127.0.0.1", "::ffff:127.0.0.1", &["1.2.3.4"]), "1.2.3.4");
        assert_eq!(asked("127.0.0.1", "9.9.9.9", &["1.2.3.4"]), "9.9.9.9");
        assert_eq!(asked("127.0.0.1", "127.0.0.1", &[]), "127.0.0.1");
        // What a client claims stands before what the proxies add.
        assert_eq!(
            asked("127.0.0.1, 10.0.0.0/8", "127.0.0.1", &["6.6.6.6, 1.2.3.4", "10.1.2.3"]),
            "1.2.3.4"
        );
        assert_eq!(asked("10.0.0.0/8", "11.0.0.1", &["1.2.3.4"]), "11.0.0.1");
        assert_eq!(asked("*", "8.8.8.8", &["1.2.3.4, 5.6.7.8"]), "1.2.3.4");
        assert_eq!(asked("fd00::/8, nonsense, 1.2.3.4/40", "fd12::1", &["2001:db8::1"]), "2001:db8::1");
        assert_eq!(asked("127.0.0.1", "127.0.0.1", &["nobody"]), "127.0.0.1");
        assert_eq!(asked("0.0.0.0/0", "8.8.8.8", &["1.2.3.4"]), "1.2.3.4");
    }
}

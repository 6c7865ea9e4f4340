//! Which host names and addresses are this machine.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::env;
use crate::error::Error;

/// The names that mean this machine without any setting: its own, the host as
/// a container sees it, and the containers of `docker-compose.yml`.
const LOCAL_NAMES: [&str; 5] =
    ["localhost", "host.docker.internal", "db", "dynamodb-local", "cognito-local"];

/// Which host names and addresses count as this machine.
#[derive(Debug, Clone, Default)]
pub struct LocalHosts {
    listed: Vec<String>,
}

impl LocalHosts {
    /// The usual names and those in `listed`, which are separated by commas.
    #[must_use]
    pub fn new(listed: Option<&str>) -> Self {
        let listed = listed.unwrap_or_default().split(',').map(str::trim);
        Self { listed: listed.filter(|name| !name.is_empty()).map(str::to_owned).collect() }
    }

    /// The usual names and those that `OPS_LOCAL_HOSTS` lists.
    #[must_use]
    pub fn from_env() -> Self {
        Self::new(env::var(env::OPS_LOCAL_HOSTS).as_deref())
    }

    /// Whether `host` (a name or an address, no port) counts as this machine.
    ///
    /// ```
    /// use ops_common::target::hosts::LocalHosts;
    /// let hosts = LocalHosts::new(Some("postgres-dev"));
    /// assert!(hosts.contains("127.0.0.2") && hosts.contains("::1") && hosts.contains("db"));
    /// assert!(hosts.contains("postgres-dev"));
    /// assert!(!hosts.contains("localhost.example.com") && !hosts.contains("10.0.0.1"));
    /// ```
    #[must_use]
    pub fn contains(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = host.parse::<IpAddr>()
            && address.to_canonical().is_loopback()
        {
            return true;
        }
        let names = LOCAL_NAMES.into_iter().chain(self.listed.iter().map(String::as_str));
        names.into_iter().any(|name| name.eq_ignore_ascii_case(host))
    }

    /// Refuses a host of `service`, which `origin` names, that target `local` may not
    /// talk to.
    ///
    /// # Errors
    /// Where it does not count as this machine.
    pub fn require(&self, service: &str, host: &str, origin: impl Display) -> Result<(), Error> {
        if self.contains(host) {
            return Ok(());
        }
        let error = Error::new(format!(
            "`local` talks to this machine only, and {origin} names the {service} host `{host}`"
        ))
        .hint("for production say `prod`");
        if host.ends_with(".amazonaws.com") {
            return Err(error);
        }
        Err(error.hint(format!(
            "a container or a machine of yours with another name: list the name in {}",
            env::OPS_LOCAL_HOSTS
        )))
    }
}

/// Whether `host` leads to this machine in any way that its name can tell: what
/// counts as local and what `local` would not take, `0.0.0.0` and `x.localhost`.
#[must_use]
pub fn leads_here(host: &str, local: &LocalHosts) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let unspecified = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
        .is_ok_and(|address| address.to_canonical().is_unspecified());
    unspecified || local.contains(&host) || host.ends_with(".localhost")
}

/// Whether `address` is one that the internet can reach: a name that counts as
/// local must not resolve to one. Private, link-local and shared ranges
/// (RFC 1918, 3927, 4193, 4291, 6598) are where containers live.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let shared = first == 100 && (64..128).contains(&second);
            !(v4.is_loopback() || v4.is_private() || v4.is_link_local() || shared)
                && v4 != Ipv4Addr::UNSPECIFIED
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local())
                && v6 != Ipv6Addr::UNSPECIFIED
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_count_as_local() {
        let hosts = LocalHosts::new(Some(" pg-dev , ddb-dev,,"));
        for host in [
            "localhost",
            "LOCALHOST",
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "[::1]",
            "::ffff:127.0.0.1",
            "db",
            "dynamodb-local",
            "host.docker.internal",
            "pg-dev",
            "ddb-dev",
        ] {
            assert!(hosts.contains(host), "{host}");
        }
        for host in [
            "",
            "localhost.",
            "localhost.evil.com",
            "mydb",
            "db.example.com",
            "10.0.0.1",
            "0.0.0.0",
            "192.168.1.1",
            "8.8.8.8",
            "::2",
            "127.0.0.1.nip.io",
            "ss@evil",
            "pg-dev,ddb-dev",
        ] {
            assert!(!hosts.contains(host), "{host}");
        }
    }

    #[test]
    fn public_addresses() {
        for address in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2600::1", "::ffff:8.8.8.8"] {
            assert!(is_public(address.parse().expect("address")), "{address}");
        }
        for address in [
            "127.0.0.1",
            "172.17.0.2",
            "10.1.2.3",
            "192.168.0.9",
            "169.254.1.1",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "fe80::1",
        ] {
            assert!(!is_public(address.parse().expect("address")), "{address}");
        }
    }
}

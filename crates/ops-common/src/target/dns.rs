//! The one look at DNS: a name that counts as local must not lead elsewhere.

use std::net::{IpAddr, SocketAddr};

use crate::error::Error;
use crate::target::endpoint::Endpoint;
use crate::target::hosts::{LocalHosts, is_public, leads_here};

/// Whether an endpoint is this machine's, by its name or by what the name
/// resolves to.
pub async fn is_this_machine(endpoint: &Endpoint, hosts: &LocalHosts) -> bool {
    let host = endpoint.host();
    leads_here(&host, hosts) || resolves_to_loopback(&host, endpoint.port()).await
}

async fn resolves_to_loopback(host: &str, port: u16) -> bool {
    tokio::net::lookup_host((host, port))
        .await
        .is_ok_and(|mut addresses| addresses.any(|a| a.ip().to_canonical().is_loopback()))
}

/// The first address that the endpoint's name leads to and that the internet cannot
/// reach, if there is one.
pub async fn private_address(endpoint: &Endpoint) -> Option<IpAddr> {
    let addresses = tokio::net::lookup_host((endpoint.host(), endpoint.port())).await;
    addresses.ok()?.map(|address| address.ip()).find(|address| !is_public(*address))
}

/// Refuses a local name that resolves to a public address. A name that does not
/// resolve is left to the connection, whose error says so.
///
/// # Errors
/// Where one of the addresses is public.
pub async fn refuse_public_address(host: &str, port: u16, origin: &str) -> Result<(), Error> {
    let Ok(addresses) = tokio::net::lookup_host((host, port)).await else {
        return Ok(());
    };
    let public: Option<IpAddr> = addresses.map(|a: SocketAddr| a.ip()).find(|ip| is_public(*ip));
    match public {
        None => Ok(()),
        Some(ip) => Err(Error::new(format!(
            "`local` talks to this machine only, and `{host}` in {origin} resolves to the public address {ip}"
        ))
        .hint("for production say `prod`")
        .hint("look at /etc/hosts and the DNS search domain, which can turn a short name into somebody else's")),
    }
}

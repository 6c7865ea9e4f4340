//! From a target to the endpoint of a service, with the one look at DNS: a name that
//! counts as local must not lead elsewhere, nor another one lead here.

use std::net::{IpAddr, SocketAddr};

use crate::env;
use crate::error::Error;
use crate::target::Target;
use crate::target::endpoint::{AwsService, Endpoint, Origin, THIS_MACHINE, choose, leftover};
use crate::target::hosts::{LocalHosts, is_public, leads_here};

/// Where requests go, and whose keys sign them.
#[derive(Debug)]
pub enum Route {
    /// this machine: dummy credentials
    Local(Endpoint),
    /// an account, by AWS's own endpoint where none is named
    Account(Option<Endpoint>),
}

/// The endpoint of `service` that `target` means, by the flag, the environment and the
/// default. `None` is a tool that has no target: Cognito's own endpoint decides there.
///
/// # Errors
/// See [`choose`]; besides, a local name that leads to a public address, and in `prod`
/// what [`refuse_leftover`] refuses.
pub async fn resolve(
    service: AwsService,
    target: Option<Target>,
    flag: Option<&str>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Route, Error> {
    let hosts = LocalHosts::new(environment(env::OPS_LOCAL_HOSTS).as_deref());
    let Some((endpoint, origin)) = choose(service, target, flag, environment, &hosts)? else {
        return Ok(Route::Account(None));
    };
    if target == Some(Target::Prod) {
        if origin != Origin::Flag {
            refuse_leftover(service, &endpoint, origin, &hosts).await?;
        }
        return Ok(Route::Account(Some(endpoint)));
    }
    if service == AwsService::Cognito && !is_this_machine(&endpoint, &hosts).await {
        return Ok(Route::Account(Some(endpoint)));
    }
    refuse_public_address(&endpoint.host(), endpoint.port(), endpoint.as_str()).await?;
    Ok(Route::Local(endpoint))
}

/// Refuses an endpoint that nobody named on the command line and that no account's
/// keys should sign for: left over from development, on this machine or, for DynamoDB,
/// on its network. Cognito and STS may be reached through a company's own endpoint.
///
/// # Errors
/// Where it is one.
pub async fn refuse_leftover(
    service: AwsService,
    endpoint: &Endpoint,
    origin: Origin,
    hosts: &LocalHosts,
) -> Result<(), Error> {
    let why = if is_this_machine(endpoint, hosts).await {
        THIS_MACHINE.to_owned()
    } else if service != AwsService::DynamoDb {
        return Ok(());
    } else if !endpoint.is_https() {
        "which is not encrypted".to_owned()
    } else if let Some(address) = private_address(endpoint).await {
        format!("which leads to the private address {address}")
    } else {
        return Ok(());
    };
    Err(leftover(service, endpoint, origin, &why))
}

/// Whether an endpoint is this machine's, by its name or by what the name
/// resolves to.
async fn is_this_machine(endpoint: &Endpoint, hosts: &LocalHosts) -> bool {
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
async fn private_address(endpoint: &Endpoint) -> Option<IpAddr> {
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

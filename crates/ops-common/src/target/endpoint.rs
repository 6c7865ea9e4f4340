//! Endpoints of AWS services, and which one a target means. Pure.

use url::{Host, Url};

use crate::error::Error;
use crate::target::Target;
use crate::target::hosts::{LocalHosts, leads_here};

/// An endpoint that has been looked at: http or https, a host, no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: Url,
}

impl Endpoint {
    /// Parses `text`, which came from `origin` (a flag or a variable's name).
    ///
    /// # Errors
    /// Where it is not an http or https URL, or holds a user or a password.
    pub fn parse(text: &str, origin: &str) -> Result<Self, Error> {
        let wrong = |why: &str| {
            Error::new(format!("the endpoint in {origin} is not usable"))
                .cause(why)
                .hint("an endpoint looks like `http://localhost:8000`")
        };
        let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(&format!("its scheme is `{}`, not http or https", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it holds a user or a password, which no AWS service has a use for"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it holds a path, a query or a fragment"));
        }
        Ok(Self { url })
    }

    /// The host without brackets.
    #[must_use]
    pub fn host(&self) -> String {
        match self.url.host() {
            Some(Host::Ipv6(address)) => address.to_string(),
            Some(host) => host.to_string(),
            None => String::new(),
        }
    }

    /// The port, given or the scheme's own.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(80)
    }

    /// Whether what is sent there is encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The URL without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }
}

/// Where a setting came from.
#[derive(Debug, Clone, Default)]
pub struct EndpointSettings {
    /// `--endpoint-url`
    pub flag: Option<String>,
    /// `AWS_ENDPOINT_URL_DYNAMODB`
    pub service: Option<String>,
    /// `AWS_ENDPOINT_URL`
    pub generic: Option<String>,
}

/// The DynamoDB endpoint that `target` means, or `None` for AWS's own.
///
/// # Errors
/// In `local`, a host that is not this machine. In `prod`, an endpoint from the
/// environment that is generic or local: the app's own containers set it, and
/// production calls would quietly go to the local table.
pub fn dynamodb_endpoint(
    target: Target,
    settings: &EndpointSettings,
    local: &LocalHosts,
) -> Result<Option<Endpoint>, Error> {
    use crate::env::{AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_DYNAMODB};
    let (flag, service, generic) = (
        settings.flag.as_deref().map(|text| (text, "--endpoint-url")),
        settings.service.as_deref().map(|text| (text, AWS_ENDPOINT_URL_DYNAMODB)),
        settings.generic.as_deref().map(|text| (text, AWS_ENDPOINT_URL)),
    );
    match target {
        Target::Local => {
            let default = ("http://localhost:8000", "the default");
            let (text, origin) = flag.or(service).or(generic).unwrap_or(default);
            let endpoint = Endpoint::parse(text, origin)?;
            if !local.contains(&endpoint.host()) {
                return Err(not_local("DynamoDB", &endpoint.host(), origin));
            }
            Ok(Some(endpoint))
        }
        Target::Prod => {
            if let Some((text, origin)) = flag {
                return Endpoint::parse(text, origin).map(Some);
            }
            if let Some((text, origin)) = service {
                let endpoint = Endpoint::parse(text, origin)?;
                if leads_here(&endpoint.host(), local) {
                    return Err(refused_in_prod(origin, endpoint.as_str()));
                }
                return Ok(Some(endpoint));
            }
            match generic {
                Some((text, origin)) => Err(refused_in_prod(origin, text)),
                None => Ok(None),
            }
        }
    }
}

fn refused_in_prod(variable: &str, value: &str) -> Error {
    // Only what was parsed is safe to show: the text may hold a password.
    let shown = Endpoint::parse(value, variable).map_or_else(
        |_| "something else".to_owned(),
        |endpoint| format!("`{}`", endpoint.as_str()),
    );
    Error::new(format!(
        "`prod` means AWS, and {variable} in the environment points DynamoDB at {shown}"
    ))
    .hint(format!("remove it for this call: `env -u {variable} …`"))
    .hint("or name the endpoint that you mean with --endpoint-url")
}

/// The error for a host that target `local` may not talk to.
#[must_use]
pub fn not_local(service: &str, host: &str, origin: &str) -> Error {
    let error = Error::new(format!(
        "`local` talks to this machine only, and {origin} names the {service} host `{host}`"
    ))
    .hint("for production say `prod`");
    if host.ends_with(".amazonaws.com") {
        return error;
    }
    error.hint(format!(
        "a container or a machine of yours with another name: list the name in {}",
        crate::env::OPS_LOCAL_HOSTS
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(flag: &str, service: &str, generic: &str) -> EndpointSettings {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        EndpointSettings { flag: some(flag), service: some(service), generic: some(generic) }
    }

    fn resolve(target: Target, flag: &str, service: &str, generic: &str) -> Result<String, String> {
        dynamodb_endpoint(target, &settings(flag, service, generic), &LocalHosts::default())
            .map(|endpoint| endpoint.map_or("AWS".to_owned(), |e| e.as_str().to_owned()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn local_takes_the_nearest_setting() {
        let local = |f, s, g| resolve(Target::Local, f, s, g);
        assert_eq!(local("", "", ""), Ok("http://localhost:8000".into()));
        assert_eq!(local("", "", "http://db:1"), Ok("http://db:1".into()));
        assert_eq!(
            local("", "http://dynamodb-local:8000", "http://db:1"),
            Ok("http://dynamodb-local:8000".into())
        );
        assert_eq!(local("http://[::1]:9/", "http://db:2", ""), Ok("http://[::1]:9".into()));
    }

    #[test]
    fn local_refuses_every_other_host() {
        for endpoint in [
            "https://dynamodb.ca-central-1.amazonaws.com",
            "http://10.0.0.1:8000",
            "http://localhost@evil.example:8000",
            "http://user:secret@localhost:8000",
            "http://evil.example/localhost",
            "http://localhost:8000/x",
            "ftp://localhost:8000",
            "localhost:8000",
            "http://",
            "not a url",
        ] {
            let error = resolve(Target::Local, endpoint, "", "").expect_err(endpoint);
            assert!(!error.contains("secret"), "{error}");
            assert!(resolve(Target::Local, "", "", endpoint).is_err(), "{endpoint}");
        }
    }

    #[test]
    fn prod_refuses_leftovers_in_the_environment() {
        let prod = |f, s, g| resolve(Target::Prod, f, s, g);
        assert_eq!(prod("", "", ""), Ok("AWS".into()));
        assert!(
            prod("", "", "http://localhost:8000")
                .expect_err("generic")
                .contains("AWS_ENDPOINT_URL in")
        );
        assert!(prod("", "", "https://vpce.example.com").is_err());
        assert!(prod("", "", "http://u:secret@x").is_err_and(|e| !e.contains("secret")));
        assert!(
            prod("", "http://dynamodb-local:8000", "")
                .expect_err("local")
                .contains("AWS_ENDPOINT_URL_DYNAMODB")
        );
        for here in
            ["http://0.0.0.0:1", "http://[::]:1", "http://localhost.:1", "http://a.LOCALHOST:1"]
        {
            assert!(prod("", here, "").is_err(), "{here}");
        }
        assert!(prod("", "nonsense", "").is_err());
        assert_eq!(prod("", "https://vpce.example.com", ""), Ok("https://vpce.example.com".into()));
        assert_eq!(
            prod("http://127.0.0.1:4000", "", "http://localhost:8000"),
            Ok("http://127.0.0.1:4000".into())
        );
    }
}

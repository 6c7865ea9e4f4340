//! Endpoints of AWS services, and which one a target means. Pure.

use std::fmt;

use url::{Host, Url};

use crate::env;
use crate::error::Error;
use crate::target::Target;
use crate::target::hosts::{LocalHosts, leads_here};

/// An endpoint that has been looked at: http or https, a host, no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: Url,
}

impl Endpoint {
    /// Parses `text`, which `origin` named.
    ///
    /// # Errors
    /// Where it is not an http or https URL, or holds a user or a password.
    pub fn parse(text: &str, origin: impl fmt::Display) -> Result<Self, Error> {
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

/// A service of AWS whose endpoint can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwsService {
    /// The one that the target switches. `AWS_ENDPOINT_URL` means it too: the app's
    /// containers set it so.
    DynamoDb,
    /// The app uses the real pool in development too: the endpoint alone tells.
    Cognito,
    /// Always AWS's: whoever asks it has an account.
    Sts,
}

impl AwsService {
    /// Its name, for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DynamoDb => "DynamoDB",
            Self::Cognito => "Cognito",
            Self::Sts => "STS",
        }
    }

    /// The environment variable of its endpoint.
    #[must_use]
    pub fn variable(self) -> &'static str {
        match self {
            Self::DynamoDb => env::AWS_ENDPOINT_URL_DYNAMODB,
            Self::Cognito => env::AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER,
            Self::Sts => env::AWS_ENDPOINT_URL_STS,
        }
    }
}

/// What named an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// `--endpoint-url`
    Flag,
    /// an environment variable
    Variable(&'static str),
    /// `endpoint_url` in the AWS profile
    Profile,
    /// nothing did
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "--endpoint-url",
            Self::Variable(name) => name,
            Self::Profile => "the profile's endpoint_url",
            Self::Default => "the default",
        })
    }
}

/// The endpoint that `target` means, and what named it; `None` for AWS's own. Judged
/// by its name alone: [`resolve`](super::resolve::resolve) looks at DNS too.
///
/// # Errors
/// An endpoint that is not usable. In `local`, a DynamoDB host that is not this
/// machine. In `prod`, an endpoint from the environment that is generic or local: the
/// app's own containers set it, and production calls would quietly go to the local
/// table.
pub fn choose(
    service: AwsService,
    target: Option<Target>,
    flag: Option<&str>,
    environment: impl Fn(&str) -> Option<String>,
    hosts: &LocalHosts,
) -> Result<Option<(Endpoint, Origin)>, Error> {
    let of_variable = |name| environment(name).map(|text| (text, Origin::Variable(name)));
    let is_dynamodb = service == AwsService::DynamoDb;
    let named = flag
        .map(|text| (text.to_owned(), Origin::Flag))
        .or_else(|| of_variable(service.variable()))
        .or_else(|| of_variable(env::AWS_ENDPOINT_URL).filter(|_| is_dynamodb))
        .or_else(|| {
            let default = ("http://localhost:8000".to_owned(), Origin::Default);
            (is_dynamodb && target == Some(Target::Local)).then_some(default)
        });
    let Some((text, origin)) = named else { return Ok(None) };
    let endpoint = Endpoint::parse(&text, origin)?;
    match (target, origin) {
        (Some(Target::Local), _) if is_dynamodb => {
            hosts.require(service.name(), &endpoint.host(), origin)?;
        }
        (Some(Target::Prod), Origin::Variable(env::AWS_ENDPOINT_URL)) => {
            return Err(leftover(service, &endpoint, origin, "which every service would follow"));
        }
        (Some(Target::Prod), Origin::Variable(_)) if leads_here(&endpoint.host(), hosts) => {
            return Err(leftover(service, &endpoint, origin, THIS_MACHINE));
        }
        _ => {}
    }
    Ok(Some((endpoint, origin)))
}

pub(super) const THIS_MACHINE: &str = "which is this machine";

/// The error for an endpoint that nobody named on the command line and that no
/// account's keys should sign for: left over from development.
pub(super) fn leftover(
    service: AwsService,
    endpoint: &Endpoint,
    origin: Origin,
    why: &str,
) -> Error {
    let meant = match service {
        AwsService::Sts => "this call is for AWS",
        _ => "`prod` means AWS",
    };
    let place = match origin {
        Origin::Variable(_) => " in the environment",
        _ => "",
    };
    let (name, url) = (service.name(), endpoint.as_str());
    let error = Error::new(format!("{meant}, and {origin}{place} points {name} at `{url}`, {why}"));
    let error = match origin {
        Origin::Variable(name) => error.hint(format!("remove it for this call: `env -u {name} …`")),
        _ => error.hint(format!(
            "choose another profile with --profile, or take {name}'s endpoint_url out of this one"
        )),
    };
    match service {
        AwsService::DynamoDb => error.hint(format!(
            "if you mean it (a VPC endpoint, for one), say so: --endpoint-url {url}"
        )),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(target: Target, flag: &str, service: &str, generic: &str) -> Result<String, String> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let environment = |name: &str| match name {
            env::AWS_ENDPOINT_URL_DYNAMODB => some(service),
            env::AWS_ENDPOINT_URL => some(generic),
            _ => None,
        };
        let (flag, hosts) = (some(flag), LocalHosts::default());
        choose(AwsService::DynamoDb, Some(target), flag.as_deref(), environment, &hosts)
            .map(|chosen| chosen.map_or("AWS".to_owned(), |(e, _)| e.as_str().to_owned()))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn cognito_and_sts_are_named_by_their_own_variable_only() {
        for (service, variable) in [
            (AwsService::Cognito, env::AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER),
            (AwsService::Sts, env::AWS_ENDPOINT_URL_STS),
        ] {
            let choose = |target, url: &str, set: &str| {
                let environment = |name: &str| (name == set).then(|| url.to_owned());
                choose(service, target, None, environment, &LocalHosts::default())
                    .map(|chosen| chosen.map(|(endpoint, _)| endpoint.as_str().to_owned()))
            };
            let here = "http://localhost:5000";
            assert_eq!(choose(None, here, env::AWS_ENDPOINT_URL).expect("generic"), None);
            assert_eq!(choose(None, here, variable).expect("own"), Some(here.into()));
            assert!(choose(Some(Target::Prod), here, variable).is_err());
            let elsewhere = "https://vpce.example.com";
            let prod = choose(Some(Target::Prod), elsewhere, variable).expect("a private endpoint");
            assert_eq!(prod, Some(elsewhere.into()));
        }
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

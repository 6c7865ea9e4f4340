//! Whose account a call in `prod` would change. STS is asked before anything is
//! written; reads do not ask.

use aws_config::SdkConfig;
use aws_sdk_sts::Client;
use aws_sdk_sts::config::retry::RetryConfig;

use crate::aws::{self, Service, Trace};
use crate::consent::Caller;
use crate::env;
use crate::error::Error;
use crate::target::Target;
use crate::target::endpoint::{AwsService, Endpoint, Origin};
use crate::target::hosts::LocalHosts;
use crate::target::resolve::refuse_leftover;
use crate::ui::Ui;

/// Asks STS who signs the requests of `config`, says so, and looks whether it is
/// the account that `OPS_EXPECTED_ACCOUNT_ID` names.
///
/// # Errors
/// Another account than the expected one, or one that cannot be told where one is
/// expected.
pub async fn identify(config: &SdkConfig, region: &str, ui: &Ui) -> Result<Caller, Error> {
    let expected = env::expected_account_id()?;
    let endpoint = match aws::endpoint_of_service(config, AwsService::Sts.name())? {
        None => None,
        Some(text) => {
            let endpoint = Endpoint::parse(&text, "the endpoint_url of STS")?;
            let hosts = LocalHosts::from_env();
            refuse_leftover(AwsService::Sts, &endpoint, Origin::Profile, &hosts).await?;
            Some(endpoint)
        }
    };
    let mut sts = aws_sdk_sts::config::Builder::from(config).retry_config(RetryConfig::standard());
    // Not what --endpoint-url and the profile say of another service.
    sts.set_endpoint_url(endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned()));
    if let Some(trace) = Trace::wanted(ui) {
        sts = sts.interceptor(trace);
    }
    let service = Service {
        name: AwsService::Sts.name(),
        endpoint,
        endpoint_setting: AwsService::Sts.variable(),
        container: "",
        region: region.to_owned(),
        local: false,
    };
    let answer = Client::from_conf(sts.build()).get_caller_identity().send().await;
    let known = match answer {
        Ok(identity) => match (identity.account, identity.arn) {
            (Some(account), Some(arn)) => Ok((account, arn)),
            _ => Err(Error::new("STS names no account")),
        },
        Err(error) => Err(service.error("ask STS whose account this is", &error)),
    };
    match (known, expected) {
        (Ok((account, arn)), Some(expected)) if account != expected => Err(Error::new(format!(
            "this is the account {account}, and {} is {expected}; nothing is changed",
            env::OPS_EXPECTED_ACCOUNT_ID
        ))
        .cause(format!("the credentials are those of `{arn}`"))
        .hint("choose the profile of the account that you mean with --profile or AWS_PROFILE")),
        (Ok((account, arn)), _) => {
            ui.announce(Target::Prod, format_args!("account: {account}  principal {arn}"));
            Ok(Caller::Known)
        }
        (Err(error), Some(expected)) => Err(Error::new(format!(
            "cannot tell whether this is the account {expected}, which {} names; nothing is changed",
            env::OPS_EXPECTED_ACCOUNT_ID
        ))
        .because(&error)),
        (Err(error), None) => {
            ui.warn(format_args!("the account is not known: {error}"));
            Ok(Caller::Unknown)
        }
    }
}

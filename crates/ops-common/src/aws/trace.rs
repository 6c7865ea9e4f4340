//! The trace of `-v`.

use std::time::Instant;

use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_smithy_types::config_bag::{Storable, StoreReplace};

use crate::aws::operation;
use crate::ui::Ui;

/// Shows each request of `-v`: operation, body, status, time. Never the headers,
/// which carry the signature.
#[derive(Debug)]
pub struct Trace(Ui);

impl Trace {
    /// The trace, where `-v` asks for it.
    #[must_use]
    pub fn wanted(ui: &Ui) -> Option<Self> {
        ui.is_verbose().then(|| Self(ui.clone()))
    }
}

#[derive(Debug)]
struct SentAt(Instant);

impl Storable for SentAt {
    type Storer = StoreReplace<Self>;
}

const TRACED_BODY_CHARS: usize = 400;

impl Intercept for Trace {
    fn name(&self) -> &'static str {
        "trace"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let operation = operation(request);
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default());
        let mut shown: String = body.chars().take(TRACED_BODY_CHARS).collect();
        if shown.len() < body.len() {
            shown.push_str(&format!("… ({} bytes)", body.len()));
        }
        self.0.verbose(format_args!("> {operation} {shown}"));
        cfg.interceptor_state().store_put(SentAt(Instant::now()));
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = match context.response() {
            Some(response) => response.status().as_u16().to_string(),
            None => "no answer".to_owned(),
        };
        let took = cfg.load::<SentAt>().map_or(0.0, |sent| sent.0.elapsed().as_secs_f64() * 1000.0);
        self.0.verbose(format_args!("< {answer} in {took:.1} ms"));
        Ok(())
    }
}

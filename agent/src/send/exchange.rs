//! One call whose body and answer are ours.
//!
//! Endpoint, credentials, signature, connections and time-outs are the SDK's. The SDK makes an object of each record and of
//! each verdict, though, which costs more than everything else that the agent does with a line. An interceptor puts our own
//! serializer and deserializer in the place of the operation's.
//!
//! Protocol: AWS JSON 1.1, <https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html>.

use std::error::Error as StdError;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_kinesis::config::{ConfigBag, Intercept};
use aws_sdk_kinesis::error::{ErrorMetadata, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextRef, Error, Input, Output, OutputOrError,
};
use aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::ser_de::{
    DeserializeResponse, SerializeRequest, SharedRequestSerializer, SharedResponseDeserializer,
};
use aws_smithy_types::body::SdkBody;
use base64_simd::STANDARD as BASE64;
use bytes::Bytes;

use super::clock;
use super::proxy::Refused;
use super::settle::{Answer, Form, read_answer};
use super::stream::{Fault, Outcome, Remedy};
use crate::batch::Batch;
use crate::buffers::Buffer;

/// What is said where a call was signed for another time than the service's.
const OFF: &str = "this host's clock is off, and calls are signed for the service's time from now on";

/// What one operation of a service is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    /// What the header `X-Amz-Target` calls it.
    pub(super) target: &'static str,
    /// Its answer.
    pub(super) form: Form,
    /// What the SDK takes for its answer.
    pub(super) output: fn() -> Result<Output, BoxError>,
    /// What the SDK takes for its error.
    pub(super) error: fn(ErrorMetadata) -> Error,
}

/// One call: what is sent, and what was answered.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    operation: Operation,
    body: Arc<Mutex<Option<Buffer>>>,
    offered: usize,
    answer: Arc<Mutex<Option<Answer>>>,
}

impl Exchange {
    /// One that offers so many entries in `body`.
    pub(super) fn new(operation: Operation, body: Buffer, offered: usize) -> Exchange {
        Exchange { operation, body: Arc::new(Mutex::new(Some(body))), offered, answer: Arc::default() }
    }

    /// What was answered, when the call has ended well.
    pub(super) fn answer(&self) -> Result<Answer, Fault> {
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        answer.ok_or_else(|| Fault {
            remedy: Remedy::Again,
            outcome: Outcome::Unknown,
            code: "NoAnswer".to_owned(),
            source: "the call ended without an answer".into(),
        })
    }
}

/// Whether an entry has a key in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyed {
    Yes,
    No,
}

/// The body of a request with the entries of `batch` at `indices`, up to the first of which it is `opening`.
pub(super) fn body(opening: &[u8], batch: &Batch, indices: &[usize], keyed: Keyed) -> Buffer {
    const DATA: &[u8] = b"{\"Data\":\"";
    const KEY: &[u8] = b"\",\"PartitionKey\":\"";
    const END: &[u8] = b"\"},";
    const KEY_BYTES: usize = 32;
    const HASH: &[u8] = b"\",\"ExplicitHashKey\":\"";
    const HASH_BYTES: usize = 39;
    let entry = |index: &usize| {
        let hash = batch.hash_key(*index).map_or(0, |_| HASH.len() + HASH_BYTES);
        DATA.len()
            + BASE64.encoded_length(batch.data(*index).len())
            + KEY.len()
            + KEY_BYTES
            + hash
            + END.len()
    };
    let len = opening.len() + indices.iter().map(entry).sum::<usize>() + 2;
    let mut body = batch.another_buffer(len);
    body.extend_from_slice(opening);
    for index in indices {
        body.extend_from_slice(DATA);
        BASE64.encode_append(batch.data(*index), &mut *body);
        if keyed == Keyed::Yes {
            body.extend_from_slice(KEY);
            batch.write_key(*index, &mut body);
            if let Some(hash) = batch.hash_key(*index) {
                body.extend_from_slice(HASH);
                body.extend_from_slice(hash.to_string().as_bytes());
            }
        }
        body.extend_from_slice(END);
    }
    if !indices.is_empty() {
        body.pop();
    }
    body.extend_from_slice(b"]}");
    body
}

#[dyn_dispatch_hint]
impl Intercept for Exchange {
    fn name(&self) -> &'static str {
        "Exchange"
    }

    fn read_before_execution(
        &self,
        _context: &BeforeSerializationInterceptorContextRef<'_>,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let state = config.interceptor_state();
        state.store_put(SharedRequestSerializer::new(self.clone()));
        state.store_put(SharedResponseDeserializer::new(self.clone()));
        Ok(())
    }
}

impl SerializeRequest for Exchange {
    fn serialize_input(&self, _input: Input, _config: &mut ConfigBag) -> Result<HttpRequest, BoxError> {
        let body = self.body.lock().unwrap_or_else(PoisonError::into_inner).take();
        let body = body.ok_or("a body is sent once: the SDK must not retry")?;
        let len = body.len();
        let mut request = HttpRequest::new(SdkBody::from(Bytes::from_owner(body)));
        request.set_method("POST")?;
        request.set_uri("/")?;
        let headers = request.headers_mut();
        headers.try_insert("content-type", "application/x-amz-json-1.1")?;
        headers.try_insert("x-amz-target", self.operation.target)?;
        headers.try_insert("content-length", len.to_string())?;
        Ok(request)
    }
}

impl DeserializeResponse for Exchange {
    fn deserialize_nonstreaming_with_config(
        &self,
        response: &HttpResponse,
        _config: &ConfigBag,
    ) -> OutputOrError {
        let body = response.body().bytes().unwrap_or_default();
        if !response.status().is_success() {
            let error = (self.operation.error)(service_error(response, body));
            return Err(OrchestratorError::operation(error));
        }
        let answer =
            read_answer(body, self.offered, &self.operation.form).map_err(OrchestratorError::other)?;
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        (self.operation.output)().map_err(OrchestratorError::other)
    }
}

/// The code and the message of an error, as AWS JSON 1.1 has them: in a header or in `__type`, behind a namespace or
/// before a URL. Source: <https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html#operation-error-serialization>.
fn service_error(response: &HttpResponse, body: &[u8]) -> ErrorMetadata {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| json.get(key).and_then(serde_json::Value::as_str);
    let code = response.headers().get("x-amzn-errortype").or(text("__type")).or(text("code"));
    let mut error = ErrorMetadata::builder();
    if let Some(code) = code {
        let code = code.split_once(':').map_or(code, |(code, _)| code);
        error = error.code(code.rsplit_once('#').map_or(code, |(_, code)| code));
    }
    if let Some(message) = text("message").or(text("Message")) {
        error = error.message(message);
    }
    error.build()
}

/// Sorts a call that failed as a whole.
pub(super) fn fault<E>(error: SdkError<E>) -> Fault
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let of = |remedy, outcome, code: &str, source: BoxError| Fault {
        remedy,
        outcome,
        code: code.to_owned(),
        source,
    };
    match error {
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            let code = service.err().code().map_or_else(|| format!("HTTP {status}"), str::to_owned);
            let message = service.err().message().unwrap_or("no message").to_owned();
            let was_off = clock::was_off(service.raw());
            let message = if was_off { format!("{message}; {OFF}") } else { message };
            let fault = Fault::of_service(&code, status, message.into());
            match fault.remedy {
                Remedy::Act if was_off => Fault { remedy: Remedy::Again, ..fault },
                Remedy::Act | Remedy::Again | Remedy::Split => fault,
            }
        }
        SdkError::ConstructionFailure(_) => of(Remedy::Act, Outcome::NotTaken, "Construction", error.into()),
        SdkError::TimeoutError(_) => of(Remedy::Again, Outcome::Unknown, "Timeout", error.into()),
        SdkError::DispatchFailure(ref failure) => {
            if has_cause::<Refused>(&error, |_| true) {
                return of(Remedy::Act, Outcome::NotTaken, "Proxy", error.into());
            }
            if failure.as_connector_error().is_some_and(|error| {
                has_cause::<hyper_util::client::legacy::Error>(
                    error,
                    hyper_util::client::legacy::Error::is_connect,
                )
            }) {
                return of(Remedy::Again, Outcome::NotTaken, "Connect", error.into());
            }
            if has_cause::<aws_credential_types::provider::error::CredentialsError>(&error, |_| true) {
                return of(Remedy::Act, Outcome::NotTaken, "Credentials", error.into());
            }
            of(Remedy::Again, Outcome::Unknown, "Connection", error.into())
        }
        SdkError::ResponseError(_) => of(Remedy::Again, Outcome::Unknown, "Response", error.into()),
        // The SDK's enum is open; what it adds is treated as what is known least about.
        _ => of(Remedy::Again, Outcome::Unknown, "Unknown", error.into()),
    }
}

/// Whether `error` or one of its causes is a `T` that `fits`.
fn has_cause<T: StdError + 'static>(error: &(dyn StdError + 'static), fits: impl Fn(&T) -> bool) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<T>().is_some_and(&fits) {
            return true;
        }
        next = error.source();
    }
    false
}

//! PutRecords of Kinesis Data Streams.
//!
//! Endpoint, credentials, signature, connections and time-outs are the SDK's. The request's body and the answer are
//! ours: the SDK makes an object of each record and of each verdict, which costs more than everything else that the
//! agent does with a line. An interceptor puts our own serializer and deserializer in the place of the operation's.
//!
//! Protocol: AWS JSON 1.1, `Kinesis_20131202.PutRecords`; source:
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>.

use std::error::Error as StdError;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{ConfigBag, Intercept};
use aws_sdk_kinesis::error::{ErrorMetadata, ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::put_records::{PutRecordsError, PutRecordsOutput};
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

use super::arn::StreamArn;
use super::aws::Aws;
use super::settle::{Answer, read_answer};
use super::stream::{Fault, Outcome, Remedy, Stream};
use super::wallet::Wallet;
use crate::batch::Batch;

/// One Kinesis stream.
#[derive(Debug)]
pub struct Kinesis {
    client: Client,
    wallet: Wallet,
    /// The stream's ARN, if that is what it is named by. The SDK makes a host of it.
    arn: Option<String>,
    /// The body up to its first record.
    opening: Vec<u8>,
}

impl Kinesis {
    /// The stream that is called `stream`, or has it for an ARN.
    #[must_use]
    pub fn new(aws: &Aws, stream: &str) -> Kinesis {
        let arn = StreamArn::parse(stream);
        let key = if arn.is_some() { "StreamARN" } else { "StreamName" };
        let named = serde_json::Value::from(stream);
        Kinesis {
            client: aws.kinesis(arn.map(|arn| arn.region)),
            wallet: aws.wallet(),
            arn: arn.map(|_| stream.to_owned()),
            opening: format!("{{\"{key}\":{named},\"Records\":[").into_bytes(),
        }
    }

    /// The body of a request with the records of `batch` at `indices`.
    fn body(&self, batch: &Batch, indices: &[usize]) -> Vec<u8> {
        const DATA: &[u8] = b"{\"Data\":\"";
        const KEY: &[u8] = b"\",\"PartitionKey\":\"";
        const END: &[u8] = b"\"},";
        const KEY_BYTES: usize = 32;
        let record = |index: &usize| {
            DATA.len() + BASE64.encoded_length(batch.data(*index).len()) + KEY.len() + KEY_BYTES + END.len()
        };
        let len = self.opening.len() + indices.iter().map(record).sum::<usize>() + 2;
        let mut body = Vec::with_capacity(len);
        body.extend_from_slice(&self.opening);
        for index in indices {
            body.extend_from_slice(DATA);
            let data = batch.data(*index);
            BASE64.encode_append(data, &mut body);
            body.extend_from_slice(KEY);
            batch.write_key(*index, &mut body);
            body.extend_from_slice(END);
        }
        if !indices.is_empty() {
            body.pop();
        }
        body.extend_from_slice(b"]}");
        body
    }
}

impl Stream for Kinesis {
    async fn offer(&self, batch: &Batch, indices: &[usize]) -> Result<Answer, Fault> {
        let exchange = Exchange {
            body: Arc::new(Mutex::new(Some(self.body(batch, indices)))),
            offered: indices.len(),
            answer: Arc::default(),
        };
        let answer = Arc::clone(&exchange.answer);
        let filling = self.wallet.filling();
        let call = self.client.put_records().set_stream_arn(self.arn.clone()).set_records(Some(Vec::new()));
        let call = call.customize().interceptor(exchange);
        call.send().await.map_err(|error| self.wallet.judge(filling, fault(error)))?;
        self.wallet.accept(filling);
        let answer = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        answer.ok_or_else(|| Fault {
            remedy: Remedy::Again,
            outcome: Outcome::Unknown,
            code: "NoAnswer".to_owned(),
            source: "the call ended without an answer".into(),
        })
    }
}

/// One call: what is sent, and what was answered.
#[derive(Clone, Debug)]
struct Exchange {
    body: Arc<Mutex<Option<Vec<u8>>>>,
    offered: usize,
    answer: Arc<Mutex<Option<Answer>>>,
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
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method("POST")?;
        request.set_uri("/")?;
        let headers = request.headers_mut();
        headers.try_insert("content-type", "application/x-amz-json-1.1")?;
        headers.try_insert("x-amz-target", "Kinesis_20131202.PutRecords")?;
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
            let error = PutRecordsError::generic(service_error(response, body));
            return Err(OrchestratorError::operation(Error::erase(error)));
        }
        let answer = read_answer(body, self.offered).map_err(OrchestratorError::other)?;
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        let output = PutRecordsOutput::builder().set_records(Some(Vec::new())).build();
        Ok(Output::erase(output.map_err(OrchestratorError::other)?))
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
fn fault(error: SdkError<PutRecordsError>) -> Fault {
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
            Fault::of_service(&code, status, message.into())
        }
        SdkError::ConstructionFailure(_) => of(Remedy::Act, Outcome::NotTaken, "Construction", error.into()),
        SdkError::TimeoutError(_) => of(Remedy::Again, Outcome::Unknown, "Timeout", error.into()),
        SdkError::DispatchFailure(ref failure) => {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aws_sdk_kinesis::operation::put_records::builders::PutRecordsFluentBuilder;
    use aws_sdk_kinesis::primitives::Blob;
    use aws_sdk_kinesis::types::PutRecordsRequestEntry;
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::send::access::{Access, Keys, Role, UserAgent};
    use crate::send::tests::batch;

    /// An endpoint that takes `calls` requests, answers each with `status` and `answer`, and gives what it took.
    async fn serve(
        calls: usize,
        status: u16,
        answer: String,
    ) -> (String, tokio::task::JoinHandle<Vec<Request>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let (mut taken, body) = (Vec::new(), answer);
            while taken.len() < calls {
                let (mut socket, _) = listener.accept().await.unwrap();
                while let Some(request) = Request::read(&mut socket).await {
                    taken.push(request);
                    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
                    socket.write_all((head + &body).as_bytes()).await.unwrap();
                    if taken.len() == calls {
                        break;
                    }
                }
            }
            taken
        });
        (url, serving)
    }

    fn access(endpoint: String) -> Access {
        Access {
            endpoint: Some(endpoint),
            region: Some("eu-west-1".to_owned()),
            keys: Some(Keys { id: "AKID".to_owned(), secret: "SECRET".to_owned() }),
            ..Access::default()
        }
    }

    /// A client of an endpoint that answers two calls.
    async fn endpoint(status: u16, answer: Value) -> (Aws, tokio::task::JoinHandle<Vec<Request>>) {
        let (url, serving) = serve(2, status, answer.to_string()).await;
        (Aws::connect(&access(url)).await.unwrap(), serving)
    }

    #[derive(Debug)]
    struct Request {
        line: String,
        headers: BTreeMap<String, String>,
        body: String,
    }

    impl Request {
        fn json(&self) -> Value {
            serde_json::from_str(&self.body).unwrap()
        }

        async fn read(socket: &mut tokio::net::TcpStream) -> Option<Request> {
            let mut bytes = Vec::new();
            let head = loop {
                if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
                    break String::from_utf8(bytes.drain(..end + 4).collect()).unwrap();
                }
                if socket.read_buf(&mut bytes).await.unwrap() == 0 {
                    return None;
                }
            };
            let mut lines = head.lines();
            let line = lines.next().unwrap().to_owned();
            let headers: BTreeMap<String, String> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect();
            let len: usize = headers["content-length"].parse().unwrap();
            while bytes.len() < len {
                assert_ne!(socket.read_buf(&mut bytes).await.unwrap(), 0);
            }
            Some(Request { line, headers, body: String::from_utf8(bytes).unwrap() })
        }
    }

    /// What is ours on the wire is what the SDK's own operation would have sent, but for the order of keys.
    #[tokio::test]
    async fn our_request_is_the_sdks_own() {
        check_request("in", |call| call.stream_name("in")).await;
        let arn = "arn:aws:kinesis:ap-south-1:123456789012:stream/in";
        let signature = check_request(arn, |call| call.stream_arn(arn)).await;
        assert!(signature.contains("/ap-south-1/kinesis/"), "{signature}");
    }

    /// Holds our request to `stream` against that of the SDK which `name` gives the stream to; gives our signature.
    async fn check_request(
        stream: &str,
        name: impl FnOnce(PutRecordsFluentBuilder) -> PutRecordsFluentBuilder,
    ) -> String {
        let entry = json!({"SequenceNumber": "1", "ShardId": "shardId-000000000000"});
        let answer = json!({"FailedRecordCount": 0, "Records": [entry, entry]});
        let (aws, serving) = endpoint(200, answer).await;
        let batch = batch(&[b"left out", b"caf\xc3\xa9 \"x\"\n", b"\xff\x00"]);

        let kinesis = Kinesis::new(&aws, stream);
        assert_eq!(kinesis.offer(&batch, &[1, 2]).await.unwrap(), Answer::Accepted);

        let entry = |index: usize| {
            let mut key = Vec::new();
            batch.write_key(index, &mut key);
            PutRecordsRequestEntry::builder()
                .data(Blob::new(batch.data(index)))
                .partition_key(String::from_utf8(key).unwrap())
                .build()
                .unwrap()
        };
        let call = name(aws.kinesis(None).put_records()).records(entry(1)).records(entry(2));
        call.send().await.unwrap();

        let [ours, theirs] = <[Request; 2]>::try_from(serving.await.unwrap()).unwrap();
        assert_eq!((&ours.line, ours.json()), (&theirs.line, theirs.json()));
        // These name the moment, the call and the order of keys; and what the SDK says of the features in use.
        let own = ["authorization", "x-amz-date", "amz-sdk-invocation-id", "user-agent", "x-amz-user-agent"];
        let plain = |request: Request| -> Vec<(String, String)> {
            request.headers.into_iter().filter(|(name, _)| !own.contains(&name.as_str())).collect()
        };
        let signature = ours.headers["authorization"].clone();
        assert!(signature.starts_with("AWS4-HMAC-SHA256 Credential=AKID/"));
        assert_eq!(plain(ours), plain(theirs));
        signature
    }

    #[track_caller]
    fn check(fault: &Fault, remedy: Remedy, outcome: Outcome, code: &str) {
        assert_eq!((fault.remedy, fault.outcome, fault.code.as_str()), (remedy, outcome, code));
    }

    #[tokio::test]
    async fn an_error_of_the_service_keeps_its_code_and_message() {
        let answer =
            json!({"__type": "com.amazonaws.kinesis#ResourceNotFoundException", "message": "no stream `in`"});
        let (aws, serving) = endpoint(400, answer).await;
        let fault = Kinesis::new(&aws, "in").offer(&batch(&[b"a"]), &[0]).await.unwrap_err();
        check(&fault, Remedy::Act, Outcome::NotTaken, "ResourceNotFoundException");
        let text = crate::chain::Chain(&fault).to_string();
        assert_eq!(text, "the call failed (ResourceNotFoundException): no stream `in`");
        serving.abort();
    }

    #[tokio::test]
    async fn an_answer_that_is_none_leaves_the_outcome_open() {
        let (aws, serving) = endpoint(200, json!({"FailedRecordCount": 0, "Records": []})).await;
        let fault = Kinesis::new(&aws, "in").offer(&batch(&[b"a"]), &[0]).await.unwrap_err();
        check(&fault, Remedy::Again, Outcome::Unknown, "Response");
        serving.abort();
    }

    #[tokio::test]
    async fn an_endpoint_that_is_not_there_has_taken_nothing() {
        let (aws, serving) = endpoint(200, json!({})).await;
        serving.abort();
        serving.await.unwrap_err();
        let fault = Kinesis::new(&aws, "in").offer(&batch(&[b"a"]), &[0]).await.unwrap_err();
        check(&fault, Remedy::Again, Outcome::NotTaken, "Connect");
    }

    #[tokio::test]
    async fn a_connection_that_breaks_leaves_the_outcome_open() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let access = access(format!("http://{}", listener.local_addr().unwrap()));
        let aws = Aws::connect(&access).await.unwrap();
        let serving = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            Request::read(&mut socket).await
        });
        let fault = Kinesis::new(&aws, "in").offer(&batch(&[b"a"]), &[0]).await.unwrap_err();
        check(&fault, Remedy::Again, Outcome::Unknown, "Connection");
        assert!(serving.await.unwrap().is_some());
    }

    #[tokio::test]
    async fn the_configuration_may_say_who_calls() {
        for (user_agent, expected, ends) in [
            (UserAgent::Own, "aws-sdk-rust/", concat!("app/kinetail-", env!("CARGO_PKG_VERSION"))),
            (UserAgent::Before("fleet/7".to_owned()), "fleet/7 aws-sdk-rust/", env!("CARGO_PKG_VERSION")),
            (UserAgent::Instead("all mine".to_owned()), "all mine", "all mine"),
        ] {
            let answer =
                json!({"FailedRecordCount": 0, "Records": [{"SequenceNumber": "1", "ShardId": "s"}]});
            let (url, serving) = serve(1, 200, answer.to_string()).await;
            let aws = Aws::connect(&Access { user_agent, ..access(url) }).await.unwrap();
            Kinesis::new(&aws, "in").offer(&batch(&[b"a"]), &[0]).await.unwrap();
            let header = &serving.await.unwrap()[0].headers["user-agent"];
            assert!(header.starts_with(expected) && header.contains(ends), "{header}");
        }
    }

    #[tokio::test]
    async fn an_answer_is_waited_for_as_long_as_the_configuration_says() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut access = access(format!("http://{}", listener.local_addr().unwrap()));
        access.patience.answer = Some(std::time::Duration::from_millis(1));
        let aws = Aws::connect(&access).await.unwrap();
        // Connections are taken by the kernel, and nobody ever answers.
        tokio::time::pause();
        let fault = Kinesis::new(&aws, "in").offer(&batch(&[b"a"]), &[0]).await.unwrap_err();
        check(&fault, Remedy::Again, Outcome::Unknown, "Timeout");
    }

    /// The form of the answer: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>.
    #[tokio::test]
    async fn a_role_is_taken_with_its_external_id_and_signs_the_call() {
        let credentials = "<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
            <SessionToken>the-token</SessionToken><Expiration>2126-01-01T00:00:00Z</Expiration>";
        let role = format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
             <Credentials>{credentials}</Credentials></AssumeRoleResult></AssumeRoleResponse>"
        );
        let (sts, assuming) = serve(1, 200, role).await;
        let answer = json!({"FailedRecordCount": 0, "Records": [{"SequenceNumber": "1", "ShardId": "s"}]});
        let (url, serving) = serve(1, 200, answer.to_string()).await;
        let role = Role {
            arn: "arn:aws:iam::123456789012:role/logs".to_owned(),
            external_id: Some("ours".to_owned()),
        };
        let access = Access {
            sts_endpoint: Some(sts),
            sts_region: Some("eu-west-2".to_owned()),
            role: Some(role),
            ..access(url)
        };

        let aws = Aws::connect(&access).await.unwrap();
        Kinesis::new(&aws, "in").offer(&batch(&[b"a"]), &[0]).await.unwrap();

        let asked = &assuming.await.unwrap()[0];
        let signature = &asked.headers["authorization"];
        assert!(signature.contains("Credential=AKID/"), "the role is taken with the keys");
        assert!(signature.contains("/eu-west-2/sts/"), "{signature}");
        for part in ["Action=AssumeRole", "role%2Flogs", "RoleSessionName=AWSKinesisAgent", "ExternalId=ours"]
        {
            assert!(asked.body.contains(part), "{part} is not in {}", asked.body);
        }
        let called = &serving.await.unwrap()[0];
        assert!(called.headers["authorization"].contains("Credential=ASIAROLE/"), "{called:?}");
        assert_eq!(called.headers["x-amz-security-token"], "the-token");
    }

    /// Each service has its own role, taken with the credentials of the chain and not with those of another role.
    #[tokio::test]
    async fn a_service_may_have_a_role_of_its_own() {
        let credentials = "<AccessKeyId>ASIAROLE</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
            <SessionToken>t</SessionToken><Expiration>2126-01-01T00:00:00Z</Expiration>";
        let answer = format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
             <Credentials>{credentials}</Credentials></AssumeRoleResult></AssumeRoleResponse>"
        );
        let (sts, assuming) = serve(2, 200, answer).await;
        let answer = json!({"FailedRecordCount": 0, "Records": [{"SequenceNumber": "1", "ShardId": "s"}]});
        let (url, serving) = serve(1, 200, answer.to_string()).await;
        let role = |name: &str| {
            let arn = format!("arn:aws:iam::123456789012:role/{name}");
            Some(Role { arn, external_id: Some(format!("id-of-{name}")) })
        };
        let access = Access {
            sts_endpoint: Some(sts),
            role: role("all"),
            kinesis_role: role("writer"),
            cloudwatch_role: role("counter"),
            ..access(url.clone())
        };

        let aws = Aws::connect(&access).await.unwrap();
        Kinesis::new(&aws, "in").offer(&batch(&[b"a"]), &[0]).await.unwrap();
        // Nobody listens there any more, but what the call is signed with is asked for before.
        aws.cloudwatch(Some(&url), None).list_metrics().send().await.unwrap_err();

        let asked = assuming.await.unwrap();
        for (asked, name) in asked.iter().zip(["writer", "counter"]) {
            assert!(asked.headers["authorization"].contains("Credential=AKID/"), "{name}");
            assert!(asked.body.contains(&format!("role%2F{name}&")), "{}", asked.body);
            assert!(asked.body.contains(&format!("ExternalId=id-of-{name}")), "{}", asked.body);
        }
        assert!(serving.await.unwrap()[0].headers["authorization"].contains("Credential=ASIAROLE/"));
    }
}

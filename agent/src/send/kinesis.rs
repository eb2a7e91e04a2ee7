//! PutRecords of Kinesis Data Streams.
//!
//! Source: <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::put_records::{PutRecordsError, PutRecordsOutput};
use aws_smithy_runtime_api::client::interceptors::context::{Error, Output};

use super::arn::StreamArn;
use super::aws::Aws;
use super::description::{Description, Distribution, describe};
use super::exchange::{Exchange, Keyed, Operation, body, fault};
use super::settle::{Answer, Form};
use super::stream::{Fault, Outcome, Remedy, Stream};
use super::wallet::Wallet;
use crate::batch::Batch;

/// The operation.
const PUT_RECORDS: Operation = Operation {
    target: "Kinesis_20131202.PutRecords",
    form: Form::PUT_RECORDS,
    output: || Ok(Output::erase(PutRecordsOutput::builder().set_records(Some(Vec::new())).build()?)),
    error: |metadata| Error::erase(PutRecordsError::generic(metadata)),
};

/// Whether records are aggregates of the Kinesis Producer Library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregation {
    /// They are not.
    None,
    /// They are: the stream must not choose their shards.
    Kpl,
}

/// One Kinesis stream.
#[derive(Debug)]
pub(super) struct Kinesis {
    client: Client,
    wallet: Wallet,
    /// The stream's name, if it is named by that.
    name: Option<String>,
    /// The stream's ARN, if that is what it is named by. The SDK makes a host of it.
    arn: Option<String>,
    /// The body up to its first record.
    opening: Vec<u8>,
    /// Whether the stream is yet to say that it takes aggregates.
    is_to_ask: AtomicBool,
}

impl Kinesis {
    /// The stream that is called `stream`, or has it for an ARN.
    pub(super) fn new(aws: &Aws, stream: &str, aggregation: Aggregation) -> Kinesis {
        let arn = StreamArn::parse(stream);
        let key = if arn.is_some() { "StreamARN" } else { "StreamName" };
        let named = serde_json::Value::from(stream);
        Kinesis {
            client: aws.kinesis(arn.map(|arn| arn.region)),
            wallet: aws.wallet(),
            name: arn.is_none().then(|| stream.to_owned()),
            arn: arn.map(|_| stream.to_owned()),
            opening: format!("{{\"{key}\":{named},\"Records\":[").into_bytes(),
            is_to_ask: AtomicBool::new(aggregation == Aggregation::Kpl),
        }
    }

    /// What the stream says of itself.
    pub(super) async fn describe(&self) -> Result<Description, Fault> {
        let filling = self.wallet.filling();
        let described = describe(&self.client, self.name.as_deref(), self.arn.as_deref()).await;
        described.map_err(|fault| self.wallet.judge(filling, fault))
    }

    /// Makes sure that the stream takes aggregates. One that may not be asked is taken to.
    async fn admit_aggregates(&self) -> Result<(), Fault> {
        match self.describe().await {
            Ok(Description { distribution: Distribution::ByStream, .. }) => Err(Fault {
                remedy: Remedy::Act,
                outcome: Outcome::NotTaken,
                code: "RecordDistribution".to_owned(),
                source: "the stream distributes records itself (AUTO), so that who reads aggregates of the Kinesis Producer \
                         Library drops them; set `\"packing\": \"lines\"`, or the stream to USER_PARTITION_KEY"
                    .into(),
            }),
            // What is not known in passing is asked for again, as an offer is made again.
            Err(fault) if fault.remedy == Remedy::Again => Err(Fault { outcome: Outcome::NotTaken, ..fault }),
            Ok(_) | Err(_) => {
                self.is_to_ask.store(false, Ordering::Relaxed);
                Ok(())
            }
        }
    }
}

impl Stream for Kinesis {
    async fn offer(&self, batch: &Batch, indices: &[usize]) -> Result<Answer, Fault> {
        if self.is_to_ask.load(Ordering::Relaxed) {
            self.admit_aggregates().await?;
        }
        let body = body(&self.opening, batch, indices, Keyed::Yes);
        let exchange = Exchange::new(PUT_RECORDS, body, indices.len());
        let filling = self.wallet.filling();
        let call = self.client.put_records().set_stream_arn(self.arn.clone()).set_records(Some(Vec::new()));
        let call = call.customize().interceptor(exchange.clone());
        call.send().await.map_err(|error| self.wallet.judge(filling, fault(error)))?;
        self.wallet.accept(filling);
        exchange.answer()
    }
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
    use crate::batch::{Compression, Packing};
    use crate::send::access::{Access, Keys, Role, UserAgent};
    use crate::send::tests::{batch, packed_batch};

    /// An endpoint that takes `calls` requests, answers each with `status` and `answer`, and gives what it took.
    async fn serve(
        calls: usize,
        status: u16,
        answer: String,
    ) -> (String, tokio::task::JoinHandle<Vec<Request>>) {
        serve_headed(calls, format!("HTTP/1.1 {status} X"), answer).await
    }

    /// The same with the first lines of each answer.
    async fn serve_headed(
        calls: usize,
        lines: String,
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
                    let head = format!("{lines}\r\ncontent-length: {}\r\n\r\n", body.len());
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
        let single = batch(&[b"left out", b"caf\xc3\xa9 \"x\"\n", b"\xff\x00"]);
        check_request("in", &single, |call| call.stream_name("in")).await;
        let packed = packed_batch(&[[b'x'; 40_000].as_slice(); 3], Packing::Lines(Compression::None));
        assert!(packed.entries() == 3 && (0..3).all(|index| packed.hash_key(index).is_some()));
        check_request("in", &packed, |call| call.stream_name("in")).await;
        let arn = "arn:aws:kinesis:ap-south-1:123456789012:stream/in";
        let signature = check_request(arn, &single, |call| call.stream_arn(arn)).await;
        assert!(signature.contains("/ap-south-1/kinesis/"), "{signature}");
    }

    /// Holds our request to `stream` against that of the SDK which `name` gives the stream to; gives our signature.
    async fn check_request(
        stream: &str,
        batch: &Batch,
        name: impl FnOnce(PutRecordsFluentBuilder) -> PutRecordsFluentBuilder,
    ) -> String {
        let entry = json!({"SequenceNumber": "1", "ShardId": "shardId-000000000000"});
        let answer = json!({"FailedRecordCount": 0, "Records": [entry, entry]});
        let (aws, serving) = endpoint(200, answer).await;
        let kinesis = Kinesis::new(&aws, stream, Aggregation::None);
        assert_eq!(kinesis.offer(batch, &[1, 2]).await.unwrap(), Answer::Accepted);

        let entry = |index: usize| {
            let mut key = Vec::new();
            batch.write_key(index, &mut key);
            PutRecordsRequestEntry::builder()
                .data(Blob::new(batch.data(index)))
                .partition_key(String::from_utf8(key).unwrap())
                .set_explicit_hash_key(batch.hash_key(index).map(|hash| hash.to_string()))
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
        let fault =
            Kinesis::new(&aws, "in", Aggregation::None).offer(&batch(&[b"a"]), &[0]).await.unwrap_err();
        check(&fault, Remedy::Act, Outcome::NotTaken, "ResourceNotFoundException");
        let text = crate::chain::Chain(&fault).to_string();
        assert_eq!(text, "the call failed (ResourceNotFoundException): no stream `in`");
        serving.abort();
    }

    /// The second call is signed for the service's time, so that its refusal has another reason.
    #[tokio::test]
    async fn a_clock_that_is_off_is_for_somebody_to_mend_only_if_that_does_not_help() {
        let answer = json!({"__type": "InvalidSignatureException", "message": "no"}).to_string();
        let lines = "HTTP/1.1 400 X\r\ndate: Sun, 22 Nov 2020 10:00:00 GMT".to_owned();
        let (url, serving) = serve_headed(2, lines, answer).await;
        let aws = Aws::connect(&access(url)).await.unwrap();
        let kinesis = Kinesis::new(&aws, "in", Aggregation::None);
        for (remedy, says) in [(Remedy::Again, true), (Remedy::Act, false)] {
            let fault = kinesis.offer(&batch(&[b"a"]), &[0]).await.unwrap_err();
            check(&fault, remedy, Outcome::NotTaken, "InvalidSignatureException");
            assert_eq!(fault.source.to_string().contains("this host's clock is off"), says);
        }
        let dates = serving.await.unwrap().into_iter().map(|request| request.headers["x-amz-date"].clone());
        let are_services: Vec<bool> = dates.map(|date| date.starts_with("20201122T1000")).collect();
        assert_eq!(are_services, [false, true]);
    }

    /// What becomes of an aggregate where the stream says this of itself, and takes what it is offered.
    async fn offer_aggregate(strategy: &str) -> Result<Answer, Fault> {
        let summary = json!({
            "StreamName": "in", "StreamARN": "arn:aws:kinesis:eu-west-1:123456789012:stream/in", "StreamStatus": "ACTIVE",
            "RetentionPeriodHours": 24, "StreamCreationTimestamp": 0, "EnhancedMonitoring": [], "OpenShardCount": 1,
            "RecordDistributionStrategy": strategy,
        });
        let entry = json!({"SequenceNumber": "1", "ShardId": "shardId-000000000000"});
        let answer = json!({"StreamDescriptionSummary": summary, "FailedRecordCount": 0, "Records": [entry]});
        let (aws, serving) = endpoint(200, answer).await;
        let offered = Kinesis::new(&aws, "in", Aggregation::Kpl).offer(&batch(&[b"a"]), &[0]).await;
        serving.abort();
        offered
    }

    #[tokio::test]
    async fn aggregates_wait_for_a_stream_that_does_not_distribute_them_itself() {
        assert_eq!(offer_aggregate("USER_PARTITION_KEY").await.unwrap(), Answer::Accepted);
        let fault = offer_aggregate("AUTO").await.unwrap_err();
        check(&fault, Remedy::Act, Outcome::NotTaken, "RecordDistribution");
    }

    #[tokio::test]
    async fn a_stream_that_may_not_be_asked_takes_aggregates() {
        let answer = json!({"__type": "AccessDeniedException", "message": "no"});
        let (aws, serving) = endpoint(400, answer).await;
        let kinesis = Kinesis::new(&aws, "in", Aggregation::Kpl);
        let fault = kinesis.offer(&batch(&[b"a"]), &[0]).await.unwrap_err();
        check(&fault, Remedy::Act, Outcome::NotTaken, "AccessDeniedException");
        let targets =
            serving.await.unwrap().into_iter().map(|request| request.headers["x-amz-target"].clone());
        let expected = ["Kinesis_20131202.DescribeStreamSummary", "Kinesis_20131202.PutRecords"];
        assert_eq!(targets.collect::<Vec<_>>(), expected);
    }

    #[tokio::test]
    async fn an_answer_that_is_none_leaves_the_outcome_open() {
        let (aws, serving) = endpoint(200, json!({"FailedRecordCount": 0, "Records": []})).await;
        let fault =
            Kinesis::new(&aws, "in", Aggregation::None).offer(&batch(&[b"a"]), &[0]).await.unwrap_err();
        check(&fault, Remedy::Again, Outcome::Unknown, "Response");
        serving.abort();
    }

    #[tokio::test]
    async fn an_endpoint_that_is_not_there_has_taken_nothing() {
        let (aws, serving) = endpoint(200, json!({})).await;
        serving.abort();
        serving.await.unwrap_err();
        let fault =
            Kinesis::new(&aws, "in", Aggregation::None).offer(&batch(&[b"a"]), &[0]).await.unwrap_err();
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
        let fault =
            Kinesis::new(&aws, "in", Aggregation::None).offer(&batch(&[b"a"]), &[0]).await.unwrap_err();
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
            Kinesis::new(&aws, "in", Aggregation::None).offer(&batch(&[b"a"]), &[0]).await.unwrap();
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
        let fault =
            Kinesis::new(&aws, "in", Aggregation::None).offer(&batch(&[b"a"]), &[0]).await.unwrap_err();
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
        Kinesis::new(&aws, "in", Aggregation::None).offer(&batch(&[b"a"]), &[0]).await.unwrap();

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

    /// The question for a role is repeated by the SDK, which signs it for the service's time then.
    #[tokio::test]
    async fn a_role_is_asked_for_again_where_the_clock_is_off() {
        let lines = "HTTP/1.1 403 X\r\ndate: Sun, 22 Nov 2020 10:00:00 GMT".to_owned();
        let answer = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
            <Code>SignatureDoesNotMatch</Code><Message>Signature expired</Message></Error></ErrorResponse>";
        let (sts, assuming) = serve_headed(2, lines, answer.to_owned()).await;
        let role = Role { arn: "arn:aws:iam::123456789012:role/logs".to_owned(), external_id: None };
        let access = Access { sts_endpoint: Some(sts.clone()), role: Some(role), ..access(sts) };
        let aws = Aws::connect(&access).await.unwrap();
        Kinesis::new(&aws, "in", Aggregation::None).offer(&batch(&[b"a"]), &[0]).await.unwrap_err();
        let patience = std::time::Duration::from_secs(10);
        let asked = tokio::time::timeout(patience, assuming).await.unwrap().unwrap();
        let dates = asked.iter().map(|request| request.headers["x-amz-date"].starts_with("20201122T1000"));
        assert_eq!(dates.collect::<Vec<_>>(), [false, true]);
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
        let (sts, assuming) = serve(3, 200, answer).await;
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
            firehose_role: role("deliverer"),
            firehose_endpoint: Some(url.clone()),
            cloudwatch_role: role("counter"),
            ..access(url.clone())
        };

        let aws = Aws::connect(&access).await.unwrap();
        Kinesis::new(&aws, "in", Aggregation::None).offer(&batch(&[b"a"]), &[0]).await.unwrap();
        // Nobody listens there any more, but what the call is signed with is asked for before.
        aws.firehose().list_delivery_streams().send().await.unwrap_err();
        aws.cloudwatch(Some(&url), None).list_metrics().send().await.unwrap_err();

        let asked = assuming.await.unwrap();
        for (asked, name) in asked.iter().zip(["writer", "deliverer", "counter"]) {
            assert!(asked.headers["authorization"].contains("Credential=AKID/"), "{name}");
            assert!(asked.body.contains(&format!("role%2F{name}&")), "{}", asked.body);
            assert!(asked.body.contains(&format!("ExternalId=id-of-{name}")), "{}", asked.body);
        }
        assert!(serving.await.unwrap()[0].headers["authorization"].contains("Credential=ASIAROLE/"));
    }
}

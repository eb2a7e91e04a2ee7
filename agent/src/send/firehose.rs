//! PutRecordBatch of Firehose.
//!
//! Its limits are not those of Kinesis, and its records have no keys.
//! Source: <https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>.

use aws_sdk_firehose::Client;
use aws_sdk_firehose::operation::put_record_batch::{PutRecordBatchError, PutRecordBatchOutput};
use aws_smithy_runtime_api::client::interceptors::context::{Error, Output};

use super::aws::Aws;
use super::exchange::{Exchange, Keyed, Operation, body, fault};
use super::settle::{Answer, Form};
use super::stream::{Fault, Stream};
use super::wallet::Wallet;
use crate::batch::Batch;

/// The operation.
const PUT_RECORD_BATCH: Operation = Operation {
    target: "Firehose_20150804.PutRecordBatch",
    form: Form::PUT_RECORD_BATCH,
    output: || {
        let output = PutRecordBatchOutput::builder().failed_put_count(0);
        Ok(Output::erase(output.set_request_responses(Some(Vec::new())).build()?))
    },
    error: |metadata| Error::erase(PutRecordBatchError::generic(metadata)),
};

/// One delivery stream.
#[derive(Debug)]
pub(super) struct Firehose {
    client: Client,
    wallet: Wallet,
    /// The body up to its first record.
    opening: Vec<u8>,
}

impl Firehose {
    /// The delivery stream called `name`.
    pub(super) fn new(aws: &Aws, name: &str) -> Firehose {
        let name = serde_json::Value::from(name);
        Firehose {
            client: aws.firehose(),
            wallet: aws.wallet(),
            opening: format!("{{\"DeliveryStreamName\":{name},\"Records\":[").into_bytes(),
        }
    }
}

impl Stream for Firehose {
    async fn offer(&self, batch: &Batch, indices: &[usize]) -> Result<Answer, Fault> {
        let body = body(&self.opening, batch, indices, Keyed::No);
        let exchange = Exchange::new(PUT_RECORD_BATCH, body, indices.len());
        let filling = self.wallet.filling();
        let call = self.client.put_record_batch().set_records(Some(Vec::new()));
        let call = call.customize().interceptor(exchange.clone());
        call.send().await.map_err(|error| self.wallet.judge(filling, fault(error)))?;
        self.wallet.accept(filling);
        exchange.answer()
    }
}

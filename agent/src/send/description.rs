//! What a stream says of itself.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::RecordDistributionStrategy;

use super::exchange::fault;
use super::stream::Fault;

/// What a stream says of itself.
///
/// Source: <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_StreamDescriptionSummary.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// The largest record that it takes, its key included, in bytes; nothing if it does not say.
    pub record_bytes: Option<usize>,
    /// Who says which shard a record goes to.
    pub distribution: Distribution,
}

/// Who says which shard a record goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Its key.
    ByKey,
    /// The stream. Those who read aggregates of the Kinesis Producer Library drop what is not of their shard by its key.
    ByStream,
}

/// Asks `client` for the stream that is called `name`, or has the ARN `arn`.
pub(super) async fn describe(
    client: &Client,
    name: Option<&str>,
    arn: Option<&str>,
) -> Result<Description, Fault> {
    let call = client.describe_stream_summary();
    let call = call.set_stream_name(name.map(str::to_owned)).set_stream_arn(arn.map(str::to_owned));
    let answer = call.send().await.map_err(fault)?;
    let summary = answer.stream_description_summary();
    let kibibytes = summary.and_then(|summary| summary.max_record_size_in_kib());
    let strategy = summary.and_then(|summary| summary.record_distribution_strategy());
    Ok(Description {
        record_bytes: kibibytes.and_then(|kibibytes| usize::try_from(kibibytes).ok()?.checked_mul(1024)),
        distribution: match strategy {
            Some(RecordDistributionStrategy::Auto) => Distribution::ByStream,
            Some(_) | None => Distribution::ByKey,
        },
    })
}

//! Where a flow's records go: a stream of Kinesis, or a delivery stream of Firehose.

use std::fmt;

use super::aws::Aws;
use super::description::Description;
use super::firehose::Firehose;
use super::kinesis::{Aggregation, Kinesis};
use super::settle::Answer;
use super::stream::{Fault, Stream};
use crate::batch::Batch;

/// A stream or a delivery stream, by its name. It is written as part of a flow's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `kinesisStream`.
    Kinesis(String),
    /// `deliveryStream`.
    Firehose(String),
}

impl Destination {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Destination::Kinesis(name) | Destination::Firehose(name) => name,
        }
    }

    /// What CloudWatch calls it.
    #[must_use]
    pub fn dimension(&self) -> String {
        match self {
            Destination::Kinesis(name) => format!("KinesisStream:{name}"),
            Destination::Firehose(name) => format!("DeliveryStream:{name}"),
        }
    }

    /// What it says of itself; nothing if it is of a kind that says nothing.
    ///
    /// # Errors
    /// If it cannot be asked, or may not.
    pub async fn describe(&self, aws: &Aws) -> Result<Option<Description>, Fault> {
        match self {
            Destination::Kinesis(name) => {
                Kinesis::new(aws, name, Aggregation::None).describe().await.map(Some)
            }
            Destination::Firehose(_) => Ok(None),
        }
    }

    /// What calls it, with records that are aggregates or not.
    #[must_use]
    pub fn connect(&self, aws: &Aws, aggregation: Aggregation) -> Connected {
        Connected(match self {
            Destination::Kinesis(name) => Service::Kinesis(Kinesis::new(aws, name, aggregation)),
            Destination::Firehose(name) => Service::Firehose(Firehose::new(aws, name)),
        })
    }
}

/// As in the Java agent's id of a flow.
impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Destination::Kinesis(name) => write!(f, "kinesis:{name}"),
            Destination::Firehose(name) => write!(f, "fh:{name}"),
        }
    }
}

/// A destination that can be called.
#[derive(Debug)]
pub struct Connected(Service);

#[derive(Debug)]
enum Service {
    Kinesis(Kinesis),
    Firehose(Firehose),
}

impl Stream for Connected {
    async fn offer(&self, batch: &Batch, indices: &[usize]) -> Result<Answer, Fault> {
        match &self.0 {
            Service::Kinesis(kinesis) => kinesis.offer(batch, indices).await,
            Service::Firehose(firehose) => firehose.offer(batch, indices).await,
        }
    }
}

//! The cloud on one machine: streams, functions and the services around them, each on loopback.
//!
//! ```text
//!   input stream ──▶ mapping ──▶ aggregate ──▶ output stream ──▶ mapping ──▶ publish ──▶ CloudWatch
//!    (emulator)         │          │    ▲        (emulator)         │
//!                       ▼          ▼    │ reference                 ▼
//!                       └───────▶ objects ◀─────────────────────────┘
//! ```
//!
//! - [`runtime`] runs the real binary as the service does, behind a stand-in of the Lambda Runtime API;
//! - [`mapping`] reads a stream and invokes a function with what it reads, windows included;
//! - [`objects`] stands in for S3, [`cloudwatch`] for CloudWatch; [`moment`] is the time that all of them tell.
//!
//! Between the functions and what they send to stands [`crate::faults`]. What stands in here does so because nothing else does it in this process, and each of its rules names the page of the
//! service that it is taken from. The streams are those of [`crate::endpoint`].

pub mod cloudwatch;
pub mod mapping;
pub mod moment;
pub mod objects;
pub mod runtime;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::endpoint::{Endpoint, Throughput};
use crate::faults::Faults;
use cloudwatch::CloudWatch;
use cloudwatch::request::Dimensions;
use mapping::Mapping;
use mapping::settings::{Settings as MappingSettings, Start};
use objects::Objects;
use runtime::Function;

/// The stream that the agents send to.
pub const INPUT: &str = "s";
/// The stream between the two functions.
pub const OUTPUT: &str = "output";
/// The bucket of the reference and of all that is set aside or given up.
pub const BUCKET: &str = "referenced-data";
/// The key of the reference.
pub const REFERENCE: &str = "HostApplicationMap.csv";

/// How counts get from the input stream to CloudWatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through the output stream and a second function.
    OutputStream,
    /// At once, by the function that counts.
    Direct,
}

/// What a cloud is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Shards of the input stream at first.
    pub shards: i32,
    /// How counts get to CloudWatch.
    pub way: Way,
    /// The reference CSV.
    pub reference: String,
    /// Further variables of both functions, or other values of those that they have.
    pub variables: BTreeMap<String, String>,
    /// The mapping of the input stream.
    pub input: MappingSettings,
    /// The mapping of the output stream.
    pub output: MappingSettings,
}

impl Settings {
    /// Four shards, the output stream, windows of this length, and otherwise what the template sets up.
    #[must_use]
    pub fn new(window: Duration, reference: &str) -> Settings {
        let on_failure = Some(BUCKET.to_owned());
        let common = MappingSettings {
            start: Start::TrimHorizon,
            bisects: true,
            reports_item_failures: true,
            retries: Some(10),
            on_failure,
            ..MappingSettings::default()
        };
        Settings {
            shards: 4,
            way: Way::OutputStream,
            reference: reference.to_owned(),
            variables: BTreeMap::new(),
            input: MappingSettings {
                batch_size: 10_000,
                tumbling_window: Some(window),
                function_timeout: Duration::from_secs(60),
                ..common.clone()
            },
            output: MappingSettings { batch_size: 200, function_timeout: Duration::from_secs(10), ..common },
        }
    }
}

/// A running cloud.
#[derive(Debug)]
pub struct Cloud {
    /// The mapping of the input stream.
    pub input: Mapping,
    /// The mapping of the output stream, if the way leads through it.
    pub output: Option<Mapping>,
    /// The function that counts.
    pub aggregate: Arc<Function>,
    /// The function that publishes rows, if the way leads through the output stream.
    pub publish: Option<Arc<Function>>,
    /// S3.
    pub objects: Arc<Objects>,
    /// CloudWatch.
    pub cloudwatch: CloudWatch,
    /// Both streams.
    pub endpoint: Endpoint,
    /// Between the functions and the streams.
    pub to_streams: Faults,
    /// Between the functions and CloudWatch.
    pub to_cloudwatch: Faults,
}

/// What has arrived in CloudWatch, over all time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Lines counted.
    pub lines: u64,
    /// Requests by the dimensions they were published with.
    pub requests: BTreeMap<Dimensions, u64>,
    /// Requests of hosts that are not in the reference.
    pub unknown: u64,
    /// Lines and records that could not be read.
    pub set_aside: u64,
    /// Lines that had been counted before.
    pub repeats: u64,
}

impl Cloud {
    /// Starts all of it, with `binary` as both functions.
    ///
    /// # Errors
    /// If one part cannot be started.
    pub async fn start(binary: &Path, settings: Settings) -> Result<Cloud> {
        let endpoint = Endpoint::start(Throughput::Unlimited)?;
        endpoint.create_stream(INPUT, settings.shards).await?;
        let objects = Arc::new(Objects::start()?);
        objects.put(BUCKET, REFERENCE, settings.reference);
        let cloudwatch = CloudWatch::start()?;
        let to_streams = Faults::start(endpoint.address())?;
        let to_cloudwatch = Faults::start(cloudwatch.address())?;

        let mut variables: BTreeMap<String, String> = [
            ("AWS_ENDPOINT_URL_KINESIS", to_streams.url()),
            ("AWS_ENDPOINT_URL_S3", objects.url()),
            ("AWS_ENDPOINT_URL_CLOUDWATCH", to_cloudwatch.url()),
            ("REFERENCE_BUCKET", BUCKET.to_owned()),
            ("REFERENCE_KEY", REFERENCE.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if settings.way == Way::OutputStream {
            variables.insert("OUTPUT_STREAM".to_owned(), OUTPUT.to_owned());
        }
        variables.extend(settings.variables);

        let (publish, output) = match settings.way {
            Way::Direct => (None, None),
            Way::OutputStream => {
                endpoint.create_stream(OUTPUT, 1).await?;
                let publish = Arc::new(Function::start(binary, "publish", variables.clone())?);
                let (function, objects) = (Arc::clone(&publish), Arc::clone(&objects));
                let output = Mapping::start(&endpoint, OUTPUT, function, objects, settings.output)?;
                (Some(publish), Some(output))
            }
        };
        let aggregate = Arc::new(Function::start(binary, "aggregate", variables)?);
        let (function, of_input) = (Arc::clone(&aggregate), Arc::clone(&objects));
        let input = Mapping::start(&endpoint, INPUT, function, of_input, settings.input)?;
        Ok(Cloud {
            input,
            output,
            aggregate,
            publish,
            objects,
            cloudwatch,
            endpoint,
            to_streams,
            to_cloudwatch,
        })
    }

    /// Waits until all that is in the input stream now has been counted and published.
    ///
    /// # Errors
    /// If that is never so, or something was given up on the way.
    pub async fn settled(&self, limit: Duration) -> Result<()> {
        self.input.drained(limit).await?;
        ensure!(self.input.given_up().is_empty(), "given up: {:?}", self.input.given_up());
        if let Some(output) = &self.output {
            output.drained(limit).await?;
            ensure!(output.given_up().is_empty(), "given up: {:?}", output.given_up());
        }
        Ok(())
    }

    /// What CloudWatch has.
    ///
    /// # Errors
    /// If a sum is no whole number.
    pub fn totals(&self) -> Result<Totals> {
        let everything = Dimensions::new();
        let sum = |metric, dimensions: &Dimensions| whole(self.cloudwatch.sum(metric, dimensions));
        let mut requests = BTreeMap::new();
        for dimensions in self.cloudwatch.dimensions("Requests") {
            let count = sum("Requests", &dimensions)?;
            requests.insert(dimensions, count);
        }
        Ok(Totals {
            lines: sum("Lines", &everything)?,
            requests,
            unknown: sum("UnknownRequests", &everything)?,
            set_aside: sum("LinesSetAside", &everything)?,
            repeats: sum("RepeatsSkipped", &everything)?,
        })
    }
}

/// A sum of CloudWatch as the count that it is.
///
/// # Errors
/// If it is none.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is whole and within what a float counts one by one"
)]
pub fn whole(sum: f64) -> Result<u64> {
    ensure!(sum.fract().abs() < f64::EPSILON && (0.0..9e15).contains(&sum), "{sum} is no count");
    Ok(sum as u64)
}

//! The stream: a Kinesis emulator that we did not write (crate `ferrokinesis`), on loopback, in this process.
//!
//! What is in a stream is read back through the service's own interface with the AWS SDK, from the beginning of every
//! shard: an iterator kept open while others write may step over a record that was numbered early and stored late.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::{Context, Result};
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::types::{ShardIteratorType, StreamStatus};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use ferrokinesis::store::StoreOptions;
use tokio::sync::RwLock;

use crate::background::Background;
use crate::cloud::moment::Moment;
use crate::wait;

/// The region of all that is local.
pub const REGION: &str = "eu-central-1";
/// The key that all that is local accepts.
pub const ACCESS_KEY_ID: &str = "AKIDLOCAL";
/// Its secret.
pub const SECRET_ACCESS_KEY: &str = "local-secret";

/// Open shards that all streams of one endpoint may have.
const SHARD_LIMIT: u32 = 100;

/// What a request's body may hold: the 10 MiB of the service, in base64, with the keys around it.
const BODY_BYTES: usize = 16 * 1024 * 1024;

/// Whether a shard takes as much as it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Throughput {
    /// It does.
    Unlimited,
    /// It refuses what is beyond 1,000 records or 1 MiB in a second, as the service does.
    Enforced,
}

/// A running emulator.
#[derive(Debug)]
pub struct Endpoint {
    address: SocketAddr,
    client: Client,
    _server: Background,
}

/// A record as it lies in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The shard it is in.
    pub shard: String,
    /// When the stream took it; the emulator knows whole seconds.
    pub arrived: Moment,
    /// What decided the shard.
    pub partition_key: String,
    /// The payload.
    pub data: Vec<u8>,
}

impl Endpoint {
    /// Starts an emulator without streams on a free port.
    ///
    /// # Errors
    /// If there is no port or thread to be had.
    pub fn start(throughput: Throughput) -> Result<Endpoint> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("failed to bind the endpoint")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let options = StoreOptions {
            create_stream_ms: 0,
            update_stream_ms: 0,
            shard_limit: SHARD_LIMIT,
            enforce_limits: throughput == Throughput::Enforced,
            aws_region: REGION.to_owned(),
            ..StoreOptions::default()
        };
        let server = Background::start("endpoint", async move {
            let (app, _store) = ferrokinesis::create_app(options);
            let app = app.layer(from_fn_with_state(Arc::default(), one_reads_or_many_write));
            let app = app.layer(DefaultBodyLimit::max(BODY_BYTES));
            let listener = tokio::net::TcpListener::from_std(listener).expect("the listener does not block");
            // Ends only if it cannot accept any more, which whoever uses it will see.
            ferrokinesis::serve_plain_http(listener, app, std::future::pending()).await.unwrap_or_default();
        })?;
        Ok(Endpoint { address, client: client(address), _server: server })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `kinesis.endpoint` would be.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Creates a stream and waits until it takes records.
    ///
    /// # Errors
    /// If it cannot be created.
    pub async fn create_stream(&self, stream: &str, shards: i32) -> Result<()> {
        create_stream(&self.client, stream, shards).await
    }

    /// Splits a shard in the middle, and waits until what comes goes into the halves.
    ///
    /// # Errors
    /// If it cannot be split.
    pub async fn split_shard(&self, stream: &str, shard: &str) -> Result<()> {
        split_shard(&self.client, stream, shard).await
    }

    /// Everything in the stream, shard by shard, each in its order.
    ///
    /// # Errors
    /// If the emulator does not answer.
    pub async fn read(&self, stream: &str) -> Result<Vec<Stored>> {
        read(&self.client, stream).await
    }
}

/// Creates a stream and waits until it takes records.
///
/// # Errors
/// If it cannot be created.
pub async fn create_stream(client: &Client, stream: &str, shards: i32) -> Result<()> {
    client.create_stream().stream_name(stream).shard_count(shards).send().await?;
    is_active(client, stream).await
}

async fn is_active(client: &Client, stream: &str) -> Result<()> {
    wait::until("the stream is active", wait::LONG, async || {
        let answer = client.describe_stream_summary().stream_name(stream).send().await?;
        let summary = answer.stream_description_summary().context("no description")?;
        Ok((*summary.stream_status() == StreamStatus::Active).then_some(()))
    })
    .await
}

/// Splits a shard in the middle, and waits until what comes goes into the halves.
///
/// # Errors
/// If it cannot be split.
pub async fn split_shard(client: &Client, stream: &str, shard: &str) -> Result<()> {
    let shards = client.list_shards().stream_name(stream).send().await?;
    let found = shards.shards().iter().find(|found| found.shard_id() == shard).context("no such shard")?;
    let keys = found.hash_key_range().context("a shard without its range")?;
    let [first, last]: [u128; 2] = [keys.starting_hash_key().parse()?, keys.ending_hash_key().parse()?];
    let middle = first + (last - first) / 2 + 1;
    let split = client.split_shard().stream_name(stream).shard_to_split(shard);
    split.new_starting_hash_key(middle.to_string()).send().await?;
    wait::until("the shard is split", wait::LONG, async || {
        let answer = client.list_shards().stream_name(stream).send().await?;
        let halves = answer.shards().iter().filter(|child| child.parent_shard_id() == Some(shard)).count();
        Ok((halves == 2).then_some(()))
    })
    .await?;
    is_active(client, stream).await
}

/// Everything in the stream, shard by shard, each in its order.
///
/// # Errors
/// If the emulator does not answer.
pub async fn read(client: &Client, stream: &str) -> Result<Vec<Stored>> {
    let answer = client.list_shards().stream_name(stream).send().await?;
    let mut records = Vec::new();
    for shard in answer.shards() {
        read_shard(client, stream, shard.shard_id(), &mut records).await?;
    }
    Ok(records)
}

async fn read_shard(client: &Client, stream: &str, shard: &str, records: &mut Vec<Stored>) -> Result<()> {
    let start = client.get_shard_iterator().stream_name(stream).shard_id(shard);
    let start = start.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await?;
    let mut place = start.shard_iterator;
    while let Some(here) = place {
        let answer = client.get_records().shard_iterator(here).send().await?;
        if answer.records().is_empty() {
            break;
        }
        place = answer.next_shard_iterator;
        for record in answer.records {
            let arrived = record.approximate_arrival_timestamp.context("a record without arrival")?;
            records.push(Stored {
                shard: shard.to_owned(),
                arrived: Moment::from_millis(u64::try_from(arrived.to_millis()?)?),
                partition_key: record.partition_key.unwrap_or_default(),
                data: record.data.into_inner(),
            });
        }
    }
    Ok(())
}

/// Keeps requests that read records apart from those that write some.
///
/// The emulator holds its table of shards while a reading request waits for one of them; a writing request waits for the
/// table in its thread, and the two can wait for each other for ever.
async fn one_reads_or_many_write(
    State(lock): State<Arc<RwLock<()>>>,
    request: Request,
    next: Next,
) -> Response {
    let reads = request
        .headers()
        .get("x-amz-target")
        .is_some_and(|target| target.as_bytes().ends_with(b".GetRecords"));
    if reads {
        let _alone = lock.write().await;
        next.run(request).await
    } else {
        let _together = lock.read().await;
        next.run(request).await
    }
}

/// An SDK client that talks to `address` only.
#[must_use]
pub fn client(address: SocketAddr) -> Client {
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(ACCESS_KEY_ID, SECRET_ACCESS_KEY, None, None, "local"))
        .endpoint_url(format!("http://{address}"))
        .build();
    Client::from_conf(config)
}

//! The stream for programs that are no tests of ours: a Kinesis endpoint on loopback, and what lies in it.
//!
//! `packaging/test/install` lets agents that were installed from packages deliver to it.

#![expect(clippy::print_stdout, reason = "the address is for a script")]

use std::future;
use std::io::{self, Write};
use std::net::SocketAddr;

use anyhow::{Context, Result};
use clap::Parser;
use kinetail_tests::endpoint::{self, Endpoint, Throughput};

/// A Kinesis endpoint on loopback.
#[derive(Debug, Parser)]
enum Arguments {
    /// Starts one with a stream of two shards, prints its address, and runs until it is killed.
    Serve { stream: String },
    /// Prints the data of every record in a stream, with nothing in between.
    Read { address: SocketAddr, stream: String },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Arguments::parse() {
        Arguments::Serve { stream } => {
            let endpoint = Endpoint::start(Throughput::Unlimited)?;
            endpoint.create_stream(&stream, 2).await?;
            println!("{}", endpoint.address());
            future::pending().await
        }
        Arguments::Read { address, stream } => {
            let mut out = io::stdout().lock();
            for record in endpoint::read(&endpoint::client(address), &stream).await? {
                out.write_all(&record.data).context("failed to print")?;
            }
            Ok(())
        }
    }
}

//! One flow that runs: its reader on a plain thread, its sender on the network's.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::joint::Joint;
use super::keeping::Message;
use super::reader::{Desk, Parcel, Reader};
use super::record_maker::RecordMaker;
use super::replay::Replayer;
use super::roster::Member;
use super::sending::Sending;
use super::strays::Strays;
use super::unprocessed::Unprocessed;
use super::{PARCELS_QUEUED, RunError};
use crate::batch::{Batcher, Packing};
use crate::config::Flow;
use crate::send::{Aggregation, Aws, Sender};
use crate::source::Source;

/// One that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) flow: Flow,
    pub(super) member: Arc<Member>,
    pub(super) sending: JoinHandle<()>,
    /// Closed when its reader has ended.
    pub(super) reading: oneshot::Receiver<()>,
}

impl Running {
    /// Starts its reader and its sender.
    pub(super) fn start(
        flow: Flow,
        joint: Joint,
        source: Source,
        maker: RecordMaker,
        aws: &Aws,
        messages: &mpsc::Sender<Message>,
    ) -> Result<Running, RunError> {
        let (parcels, parceled) = mpsc::channel(PARCELS_QUEUED);
        let (metrics, calls) = (Arc::clone(&joint.metrics), Arc::clone(&joint.calls));
        let aggregation =
            if flow.batch.packing == Packing::Kpl { Aggregation::Kpl } else { Aggregation::None };
        let (stream, health) = (flow.destination.connect(aws, aggregation), Arc::clone(&joint.health));
        let task = Sending {
            index: joint.index,
            sender: Sender::new(
                stream,
                flow.destination.name().to_owned(),
                flow.waits,
                metrics,
                calls,
                health,
            ),
            on_the_way: Arc::clone(&joint.on_the_way),
            metrics: Arc::clone(&joint.metrics),
            messages: messages.clone(),
            order: flow.batch.order,
        };
        let replayer = Replayer::new(maker.clone(), flow.batch.clone(), parcels.downgrade());
        let reading = read(&flow, maker, &joint, source, parcels)?;
        let sending = tokio::spawn(task.run(parceled));
        Ok(Running { flow, member: Arc::new(Member { joint, replayer }), sending, reading })
    }
}

/// Starts a flow's reader. It ends when its bell says so, and what is given back is closed by that; a panic in it ends the
/// process.
fn read(
    flow: &Flow,
    maker: RecordMaker,
    joint: &Joint,
    source: Source,
    parcels: mpsc::Sender<Parcel>,
) -> Result<oneshot::Receiver<()>, RunError> {
    let batcher = Batcher::new(flow.batch.clone(), fastrand::Rng::new(), &joint.buffers);
    let strays = Strays::new(flow.on_mismatch, flow.name.clone(), Arc::clone(&joint.budget));
    let desk = Desk::new(batcher, parcels, joint, Unprocessed::of(&flow.name), strays);
    let reader =
        Reader { source, bell: Arc::clone(&joint.bell), maker, desk, pulse: Arc::clone(&joint.reading) };
    let (ended, reading) = oneshot::channel();
    let pulse = Arc::clone(&joint.reading);
    pulse.set(true);
    let run = move || {
        reader.run();
        pulse.set(false);
        drop(ended);
    };
    let thread = std::thread::Builder::new().name(flow.name.clone()).spawn(run);
    thread.map_err(|source| RunError::System { what: "a reader's thread", source })?;
    Ok(reading)
}

/// Waits until everything is settled that `flows` have read, up to the deadline; says whether it is.
pub(super) async fn finish(flows: &mut [Running], deadline: Instant) -> bool {
    let mut is_all = true;
    for Running { sending, .. } in flows {
        if !sending.is_finished() && timeout_at(deadline, &mut *sending).await.is_err() {
            is_all = false;
            sending.abort();
            sending.await.ok();
        }
    }
    is_all
}

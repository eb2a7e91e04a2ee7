//! kinetail-lambda is kinetail's companion in the cloud: it counts what the hosts have sent and tells CloudWatch.
//!
//! ```text
//!   event ─▶ unpack ─▶ request ─▶ window ─▶ rows ─▶ metrics
//!     ▲                    │         │         │        │
//!     │                reference     │      output   cloudwatch
//!     └────────── reply ◀─ state ◀───┘      (stream)
//! ```
//!
//! A call of the service brings an event: records of one shard and, with tumbling windows, the state of the window that
//! they fall into. The records become lines, the lines are counted in the window, and a window that ends becomes rows of
//! the output stream, from which the metrics are made. The reply says how far the event has been dealt with.
//!
//! The pure steps, in the order in which a line passes them:
//!
//! - [`event`]: what the service sends and what it takes back;
//! - [`unpack`]: the lines inside one record;
//! - [`request`]: what is counted of one line;
//! - [`mod@reference`]: whose application a source is; its part `object` keeps the file current;
//! - [`window`]: the counts of one window within a fixed size, and the state that carries them from call to call;
//! - [`rows`]: what a window becomes;
//! - [`metrics`]: what CloudWatch is told of rows, under names that [`mod@ascii`] can write; [`published`] remembers which.
//!
//! The shell around them:
//!
//! - [`aggregate`] goes as far as the rows, [`publish`] goes on from there; without an output stream `aggregate` does both;
//! - [`output`], [`cloudwatch`] and [`s3`] are the services that are called; a call that fails is a [`fault`], and
//!   [`patience`] says how long it is made again;
//! - what cannot be read is set [`aside`], for a [`reason`];
//! - [`runtime`] is the process: [`settings`], clients, one call after the other.
//!
//! It does not depend on the agent. The two are released apart, so old and new must understand each other, and shared
//! bytes in `fixtures/` say that better than a shared type.

pub mod aggregate;
pub mod ascii;
pub mod aside;
pub mod chain;
pub mod cloudwatch;
pub mod event;
pub mod fault;
pub mod metrics;
pub mod output;
pub mod patience;
pub mod publish;
pub mod published;
pub mod reason;
pub mod reference;
pub mod request;
pub mod rows;
pub mod runtime;
pub mod s3;
pub mod settings;
pub mod unpack;
pub mod window;

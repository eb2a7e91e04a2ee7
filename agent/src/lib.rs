//! kinetail ships a host's logs to Amazon Kinesis. This page is its architecture.
//!
//! ```text
//!             Chunk        Line         Record        Batch        Acked
//!   source ─────────▶ split ─────▶ parse ─────▶ batch ─────▶ send ─────▶ checkpoint
//!     ▲                 │            │                          │             │
//!     │                 └────────────┴───── Dropped ────────────┴────────────▶│
//!     └───────────────────────────── Offset to start from ────────────────────┘
//! ```
//!
//! Six steps, in this order everywhere. Each owns the type it gives out, and imports point upstream only:
//!
//! 1. [`source`] finds files, says who they are, and reads a [`source::Chunk`] from an offset;
//! 2. [`split`] cuts it into [`split::Line`]s, of which each may be several lines that belong together;
//! 3. [`parse`] writes a [`parse::Record`] for a line, or says why the line does not match;
//! 4. [`batch`] gathers records into a [`batch::Batch`] that one call can take;
//! 5. [`send`] offers a batch until every record is taken, and makes [`send::Acked`];
//! 6. [`checkpoint`] moves each file's safe offset over the unbroken run of acked bytes and puts it on disk.
//!
//! [`position`] says where a byte came from, [`loss`] every way a line may be left behind, [`quarantine`] keeps lines that
//! may be sent after all, [`spool`] what `kinetail pipe` takes in until a flow has read it, [`budget`] how many bytes may be
//! held, [`buffers`] where they are, [`layout`] how a flow's files fall into records, by the [`expression`]s of its configuration. The steps in the
//! middle are pure: no clock, disk, network or log. [`pipeline`] joins the steps and is the only place that starts threads
//! and tasks; at its first start [`takeover`] gives it the Java agent's positions in place of a checkpoint. [`config`] makes
//! what the steps accept out of `agent.json`; [`metrics`] counts, [`calls`] sums up the calls, [`report`] tells, and on the
//! socket of [`control`] an operator asks; the [`supervisor`] hears that all is well.
//!
//! # One line's way
//!
//! `source/watch.rs` hears that a directory changed (or the timer says look anyway), `source/identity.rs` says it is
//! the same file, `source/tail.rs` reads a chunk; `split` finds the newline; `parse/apache.rs` writes the record
//! straight into the batch's buffer; `batch` is full, or its oldest record has waited long enough, and
//! `checkpoint/ledger.rs` is told which spans are on their way; `send/kinesis.rs` makes the call and `send/settle.rs`
//! sorts the answer; `checkpoint/ledger.rs` moves the safe offset and `checkpoint/store.rs` writes it down.
//!
//! # Deliberately not here
//!
//! No plug-ins, no generic event type, no second queue beside the log files, no global state, no build script, no
//! feature flags, no Windows branch.

pub mod batch;
pub mod budget;
pub mod buffers;
pub mod calls;
pub mod chain;
pub mod checkpoint;
pub mod cli;
pub mod config;
pub mod control;
pub mod exit;
pub mod expression;
pub mod layout;
pub mod log;
pub mod loss;
pub mod metrics;
pub mod parse;
pub mod pipeline;
pub mod position;
pub mod quarantine;
pub mod report;
pub mod requests;
pub mod send;
pub mod source;
pub mod split;
pub mod spool;
pub mod supervisor;
pub mod takeover;

//! kinetail seen from the outside: what the end-to-end tests, the demo and the bench are made of.
//!
//! ```text
//!   writer ──▶ files ──▶ the built agent ──▶ faults (proxy) ──▶ endpoint (emulator)
//!     │                        │                 │                     │
//!     │                     metrics            books of             read back
//!     │                   as published        each request        shard by shard
//!     └───────────────────────┴────────▶ books ◀──┴─────────────────────┘
//! ```
//!
//! - [`binary`] builds the agent that is run, in the profile of the running test;
//! - [`host`] is a machine in a temporary directory, [`agent`] the process on it, [`crash`] its sudden end;
//! - [`writer`] writes numbered log lines and rotates; [`httpd`] is a real Apache and [`visitor`] its traffic;
//! - [`scene`] puts host, faults and endpoint together, and has the balance that every test ends with;
//! - [`endpoint`] is the stream; [`faults`] stands before it, does harm on request and notes every answer;
//! - [`metrics`] reads what the agent publishes; [`oracle`] reads access logs independently, in Python;
//! - [`usage`] says what a process has used; [`books`] compares what was written with what was delivered; [`wait`] waits for a state.
//!
//! Nothing here uses the agent's library: it is known by its files, its metrics and its requests only.

pub mod agent;
pub mod background;
pub mod binary;
pub mod books;
pub mod crash;
pub mod endpoint;
pub mod faults;
pub mod host;
pub mod httpd;
pub mod metrics;
pub mod oracle;
pub mod python;
pub mod scene;
pub mod usage;
pub mod visitor;
pub mod wait;
pub mod writer;

//! kinetail seen from the outside: what the end-to-end tests, the demo and the bench are made of.
//!
//! ```text
//!   writer ──▶ files ──▶ the built agent ──▶ faults (proxy) ──▶ endpoint (emulator)
//!     │                        │                 │                     │
//!     │                     metrics            books of             read back
//!     │                   as published        each request        shard by shard
//!     └───────────────────────┴────────▶ books ◀──┴─────────────────────┤
//!                                          ▲                            ▼
//!                                          └───────────────────────── cloud
//! ```
//!
//! - [`binary`] builds the agent and the functions that are run, in the profile of the running test;
//! - [`host`] is a machine in a temporary directory, [`agent`] the process on it, [`crash`] its sudden end;
//! - [`writer`] writes numbered log lines and rotates; [`server`] writes them as httpd does, and [`logrotate`] rotates;
//! - [`httpd`] is a real Apache and [`visitor`] its traffic;
//! - [`jvm`] is a real program that logs through log4j2 or logback;
//! - [`pipe`] is `kinetail pipe`, and both ends of what it reads;
//! - [`java`] is the Java agent, as far as it keeps positions;
//! - [`scene`] puts host, faults and endpoint together, and has the balance that every test ends with;
//! - [`endpoint`] is the stream; [`faults`] stands before it, does harm on request and notes every answer;
//! - [`forward`] is the proxy through which a host may have to go;
//! - [`packs`] takes packed records apart;
//! - [`page`] shows a run in a browser, live; [`browser`] is a headless one to look at it;
//! - [`metrics`] reads what the agent publishes; [`oracle`] reads access logs independently, in Python;
//! - [`cloud`] is what stands behind the stream: the functions, what invokes them, S3 and CloudWatch;
//! - [`instance`] is the EC2 instance that the host may be;
//! - [`python`] has the packages and emulators that are Python's;
//! - [`strace`] sees what the agent asks of the kernel, and does harm there; [`volume`] is a disk that can be full;
//! - [`cgroup`] is a bound of memory that the kernel keeps;
//! - [`supervisor`] is the service manager, as far as the agent tells it anything;
//! - [`usage`] says what a process has used; [`books`] compares what was written with what was delivered; [`wait`] waits for a state.
//!
//! Nothing here uses the agent's library or the functions': they are known by their files, metrics and requests only.

pub mod agent;
pub mod archive;
pub mod background;
pub mod binary;
pub mod books;
pub mod browser;
pub mod cgroup;
pub mod cloud;
pub mod crash;
pub mod endpoint;
pub mod faults;
pub mod forward;
pub mod host;
pub mod httpd;
pub mod instance;
pub mod java;
pub mod jvm;
pub mod logrotate;
pub mod metrics;
pub mod oracle;
pub mod packs;
pub mod page;
pub mod pipe;
pub mod python;
pub mod scene;
pub mod server;
pub mod strace;
pub mod supervisor;
pub mod usage;
pub mod visitor;
pub mod volume;
pub mod wait;
pub mod writer;

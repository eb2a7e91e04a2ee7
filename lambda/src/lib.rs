//! kinetail-lambda is kinetail's companion in the cloud: it counts what the hosts have sent and tells CloudWatch.
//!
//! ```text
//!   event ─▶ unpack ─▶ request ─▶ window ─▶ rows
//!     ▲                            │  ▲
//!     └─────────── reply ◀─────────┘  reference
//! ```
//!
//! A call of the service brings an event: records of one shard and, with tumbling windows, the state of the window that
//! they fall into. The records become lines, the lines are counted in the window, and a window that ends becomes rows of
//! the output stream. The reply says how far the event has been dealt with.
//!
//! Here so far are the pure steps, in the order in which a line passes them:
//!
//! - [`event`], what the service sends and what it takes back;
//! - [`unpack`], the lines inside one record;
//! - [`request`], what is counted of one line;
//! - [`mod@reference`], whose application a source is;
//! - [`window`], the counts of one window within a fixed size;
//! - [`rows`], what a window becomes;
//! - [`reason`], why something is not counted.
//!
//! It does not depend on the agent. The two are released apart, so old and new must understand each other, and shared
//! bytes in `fixtures/` say that better than a shared type.

pub mod event;
pub mod reason;
pub mod reference;
pub mod request;
pub mod rows;
pub mod unpack;
pub mod window;

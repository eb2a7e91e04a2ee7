//! The control socket: what an operator asks a running agent, and what it answers.
//!
//! `message` is what is said and `view` what is shown in it, `server` listens in the state directory, `client` asks there. One line of JSON is asked,
//! one answered, then the connection ends. It does not know how a question is answered: `pipeline` puts it to those
//! who own the files and the positions. A client, however slow or silly, holds up nobody but other clients.

mod client;
mod message;
mod server;
mod text;
mod view;

pub use client::{AskError, ask};
pub use message::{Answer, CodecError, Request, To};
pub use server::Server;
pub use view::{
    Agent, Amendment, Delivery, Explained, File, Flow, Kin, Look, Memory, Outcome, Picked, Replayed, Run,
    Status, Trouble, Watching,
};

/// The socket's name in the state directory.
const SOCKET: &str = "control.sock";

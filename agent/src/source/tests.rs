//! The source over files, real and simulated: one behaviour in each case, and random histories against an exact model.

mod amend;
mod backlog;
mod compressed;
mod ground;
mod many;
mod model;
mod place;
mod records;
mod restart;
mod room;
mod rotation;
mod simulated;
mod stage;
mod truncation;
mod turns;

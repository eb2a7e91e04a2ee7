//! The source over files, real and simulated: one behaviour in each case, and random histories against an exact model.

mod backlog;
mod ground;
mod model;
mod place;
mod restart;
mod rotation;
mod simulated;
mod stage;
mod truncation;

//! The source over real files: one behaviour in each case, and random histories against an exact model.

mod backlog;
mod many;
mod model;
mod place;
mod restart;
mod room;
mod rotation;
mod stage;
mod truncation;

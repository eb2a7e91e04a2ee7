//! The source over real files: one behaviour in each case, and random histories against an exact model.

mod backlog;
mod model;
mod place;
mod records;
mod restart;
mod rotation;
mod stage;
mod truncation;

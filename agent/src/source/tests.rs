//! The source over real files: one behaviour in each case, and random histories against an exact model.

mod amend;
mod backlog;
mod model;
mod place;
mod restart;
mod rotation;
mod stage;
mod truncation;

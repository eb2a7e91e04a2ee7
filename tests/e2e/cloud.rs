//! The cloud half with everything going wrong around it: lines put are lines counted and things set aside.
//!
//! - [`scene`] is a cloud with its books, which every test ends with;
//! - [`packings`] has every way that a record can be packed, damaged ones included;
//! - [`calls`] fails calls and kills functions, stops the mapping and starts it elsewhere;
//! - [`services`] has CloudWatch and the streams refuse, fail and be away;
//! - [`reference`] changes the reference, breaks it and takes it away, and joins on other fields;
//! - [`names`] looks at what becomes a dimension, an attack of unknown sources included;
//! - [`original`] has the defects of the system that this one takes the place of.
//!
//! The functions are the real binary; the streams are an emulator that we did not write, and Lambda, S3 and CloudWatch
//! are our stand-ins.

#[path = "cloud/calls.rs"]
mod calls;
#[path = "cloud/names.rs"]
mod names;
#[path = "cloud/original.rs"]
mod original;
#[path = "cloud/packings.rs"]
mod packings;
#[path = "cloud/reference.rs"]
mod reference;
#[path = "cloud/scene.rs"]
mod scene;
#[path = "cloud/services.rs"]
mod services;

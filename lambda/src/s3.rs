//! Objects of one bucket: read if they have changed, and written.
//!
//! Does not know what the objects are for. The SDK's own retries are used, as reading or writing an object twice does
//! no harm; nothing is read beyond a bound.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::{ByteStream, DateTime};

use crate::fault::Fault;

/// One bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    client: Client,
    name: String,
}

/// What is found at a key.
#[derive(Debug)]
pub enum Found {
    /// The object that is known already.
    Known,
    /// Another object than the one that is known.
    Changed(Object),
    /// None.
    Nothing,
}

/// An object.
#[derive(Debug)]
pub struct Object {
    /// What it holds.
    pub bytes: Vec<u8>,
    /// What tells this content from any other at the same key.
    pub tag: Option<Tag>,
    /// When it was written, if the service says so.
    pub written: Option<DateTime>,
}

/// What tells one content of a key from any other: its ETag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(String);

/// Why an object could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The service did not give it.
    #[error("could not read `s3://{bucket}/{key}`")]
    Refused {
        /// Where it is.
        bucket: String,
        /// Its key.
        key: String,
        /// Why.
        #[source]
        source: Fault,
    },
    /// It did not come to its end.
    #[error("could not read `s3://{bucket}/{key}` to its end")]
    Broken {
        /// Where it is.
        bucket: String,
        /// Its key.
        key: String,
        /// Why.
        #[source]
        source: aws_sdk_s3::primitives::ByteStreamError,
    },
    /// It is larger than what is asked for can be.
    #[error("`s3://{bucket}/{key}` has more than {limit} bytes")]
    TooLarge {
        /// Where it is.
        bucket: String,
        /// Its key.
        key: String,
        /// What it may have.
        limit: usize,
    },
}

/// Why an object could not be written.
#[derive(Debug, thiserror::Error)]
#[error("could not write `s3://{bucket}/{key}`")]
pub struct WriteError {
    bucket: String,
    key: String,
    #[source]
    source: Fault,
}

impl Bucket {
    /// The bucket called `name`.
    #[must_use]
    pub fn new(client: Client, name: String) -> Bucket {
        Bucket { client, name }
    }

    /// The object at `key` unless it is the `known` one, of at most `limit` bytes, within `time`.
    ///
    /// # Errors
    /// If the service does not give it, or not in time, or if it is larger.
    pub async fn read(
        &self,
        key: &str,
        known: Option<&Tag>,
        limit: usize,
        time: Duration,
    ) -> Result<Found, ReadError> {
        // The client's own time-outs end with the head of the answer.
        let read = tokio::time::timeout(time, self.read_whole(key, known, limit)).await;
        read.unwrap_or_else(|_| Err(self.refused(key, Fault::out_of_time())))
    }

    async fn read_whole(&self, key: &str, known: Option<&Tag>, limit: usize) -> Result<Found, ReadError> {
        let call = self.client.get_object().bucket(&self.name).key(key);
        let call = call.set_if_none_match(known.map(|tag| tag.0.clone()));
        let mut answer = match call.send().await {
            Ok(answer) => answer,
            // To the SDK an answer without an object is an error.
            Err(error) => match error.raw_response().map(|raw| raw.status().as_u16()) {
                Some(304) => return Ok(Found::Known),
                Some(404) => return Ok(Found::Nothing),
                _ => return Err(self.refused(key, Fault::of(error))),
            },
        };
        let mut bytes = Vec::new();
        // Not all at once: the length that the answer states may be missing, and need not be the length that comes.
        while let Some(chunk) = answer.body.try_next().await.map_err(|source| self.broken(key, source))? {
            if bytes.len().saturating_add(chunk.len()) > limit {
                return Err(ReadError::TooLarge { bucket: self.name.clone(), key: key.to_owned(), limit });
            }
            bytes.extend_from_slice(&chunk);
        }
        let tag = answer.e_tag.map(Tag);
        Ok(Found::Changed(Object { bytes, tag, written: answer.last_modified }))
    }

    /// Writes the object at `key`, within `time`.
    ///
    /// # Errors
    /// If the service does not take it, or not in time.
    pub async fn write(&self, key: &str, bytes: Vec<u8>, time: Duration) -> Result<(), WriteError> {
        let body = ByteStream::from(bytes);
        let call = self.client.put_object().bucket(&self.name).key(key).body(body).send();
        let written = match tokio::time::timeout(time, call).await {
            Ok(answer) => answer.map(|_| ()).map_err(Fault::of),
            Err(_) => Err(Fault::out_of_time()),
        };
        written.map_err(|source| WriteError { bucket: self.name.clone(), key: key.to_owned(), source })
    }

    fn refused(&self, key: &str, source: Fault) -> ReadError {
        ReadError::Refused { bucket: self.name.clone(), key: key.to_owned(), source }
    }

    fn broken(&self, key: &str, source: aws_sdk_s3::primitives::ByteStreamError) -> ReadError {
        ReadError::Broken { bucket: self.name.clone(), key: key.to_owned(), source }
    }
}

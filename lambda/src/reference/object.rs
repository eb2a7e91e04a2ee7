//! The reference file in S3: read again when it has changed, and never worse than it was.
//!
//! Does not know what is looked up. A file that is broken, gone or out of reach changes nothing but the age of the reference,
//! which is the time since it was last known to be the current one. The last good file is kept beside the current one,
//! for an environment that starts while that is broken.

use std::time::{Duration, SystemTime};

use aws_smithy_types::DateTime;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::Reference;
use crate::chain::Chain;
use crate::s3::{Bucket, Found, Object, ReadError, Tag};

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(60);

/// How large the file may be: 100,000 rows have a third of it.
const FILE_BYTES: usize = 16 * 1024 * 1024;

/// How long reading the file may take. A function has other things to do in its time than to wait for a service that
/// is there and slow.
const READ: Duration = Duration::from_secs(5);

/// How long writing the last good file may take.
const KEEP: Duration = Duration::from_secs(2);

/// What the key of the last good file ends in.
const LAST_GOOD: &str = ".last-good";

/// The file.
#[derive(Debug)]
pub struct ReferenceObject {
    bucket: Bucket,
    key: String,
    good: Option<Good>,
    /// The content that was seen last, good or not, so that it is told and read once.
    seen: Option<Tag>,
    looked: Option<Instant>,
}

/// A content that could be read.
#[derive(Debug)]
struct Good {
    reference: Reference,
    tag: Option<Tag>,
    confirmed: Confirmed,
}

/// When a reference was last known to be the current one: `before` the moment `at`, which is one of this process.
#[derive(Clone, Copy, Debug)]
struct Confirmed {
    at: Instant,
    before: Duration,
}

/// The reference to count with.
#[derive(Clone, Copy, Debug)]
pub struct Current<'a> {
    /// What is looked up.
    pub reference: &'a Reference,
    /// How long ago it was last known to be the current one.
    pub age: Duration,
}

/// There is no reference, and never was as far as is known.
#[derive(Debug, thiserror::Error)]
#[error("neither `{key}` nor `{key}{LAST_GOOD}` can be used as the reference; the log says why")]
pub struct NoReference {
    key: String,
}

impl ReferenceObject {
    /// The file at `key`, of which nothing is known yet.
    #[must_use]
    pub fn new(bucket: Bucket, key: String) -> ReferenceObject {
        ReferenceObject { bucket, key, good: None, seen: None, looked: None }
    }

    /// The reference, as it is or was at most a minute ago; or if the file cannot be read, as it was last.
    ///
    /// # Errors
    /// If there is none.
    pub async fn current(&mut self) -> Result<Current<'_>, NoReference> {
        let is_due = self.looked.is_none_or(|looked| looked.elapsed() >= LOOK);
        if is_due || self.good.is_none() {
            self.looked = Some(Instant::now());
            self.look().await;
        }
        if self.good.is_none() {
            self.look_at_last_good().await;
        }
        let Some(good) = &self.good else { return Err(NoReference { key: self.key.clone() }) };
        Ok(Current { reference: &good.reference, age: good.confirmed.age() })
    }

    async fn look(&mut self) {
        // Without a reference, also what was seen and refused is read again: it is to be told in the log.
        let seen = self.good.as_ref().and(self.seen.as_ref());
        match self.bucket.read(&self.key, seen, FILE_BYTES, READ).await {
            Ok(Found::Known) => self.confirm(),
            Ok(Found::Changed(object)) => self.take(object).await,
            Ok(Found::Nothing) => {
                self.seen = None;
                error!(key = self.key, "there is no reference file; goes on with the last good one");
            }
            Err(error @ ReadError::TooLarge { .. }) => {
                error!(error = %Chain(&error), "the reference file is too large; goes on with the last good one");
            }
            Err(error @ (ReadError::Refused { .. } | ReadError::Broken { .. })) => {
                warn!(error = %Chain(&error), "could not read the reference file; goes on with the last good one");
            }
        }
    }

    /// The file is what it was. If what it was could not be read, that is no news of the reference.
    fn confirm(&mut self) {
        if let Some(good) = &mut self.good
            && good.tag == self.seen
        {
            good.confirmed = Confirmed::now();
        }
    }

    async fn take(&mut self, object: Object) {
        let Object { bytes, tag, .. } = object;
        self.seen.clone_from(&tag);
        match Reference::parse(&bytes) {
            Ok(reference) => {
                info!(key = self.key, hosts = reference.len(), "read the reference file");
                self.good = Some(Good { reference, tag, confirmed: Confirmed::now() });
                let key = format!("{}{LAST_GOOD}", self.key);
                if let Err(error) = self.bucket.write(&key, bytes, KEEP).await {
                    warn!(error = %Chain(&error), "could not keep the last good reference file for a new start");
                }
            }
            Err(problems) => {
                error!(key = self.key, error = %Chain(&problems),
                       "the reference file is broken; goes on with the last good one");
            }
        }
    }

    async fn look_at_last_good(&mut self) {
        let key = format!("{}{LAST_GOOD}", self.key);
        let object = match self.bucket.read(&key, None, FILE_BYTES, READ).await {
            Ok(Found::Changed(object)) => object,
            Ok(Found::Known | Found::Nothing) => return,
            Err(error) => {
                warn!(error = %Chain(&error), "could not read the last good reference file");
                return;
            }
        };
        match Reference::parse(&object.bytes) {
            Ok(reference) => {
                warn!(key, hosts = reference.len(), "begins with the last good reference file");
                let confirmed = Confirmed::written(object.written, SystemTime::now());
                self.good = Some(Good { reference, tag: None, confirmed });
            }
            Err(problems) => {
                error!(key, error = %Chain(&problems), "the last good reference file is broken");
            }
        }
    }
}

impl Confirmed {
    fn now() -> Confirmed {
        Confirmed { at: Instant::now(), before: Duration::ZERO }
    }

    /// When a file was written that was the current one then, if it is `now`.
    fn written(written: Option<DateTime>, now: SystemTime) -> Confirmed {
        let written = written.and_then(|written| SystemTime::try_from(written).ok()).unwrap_or(now);
        let before = now.duration_since(written).unwrap_or(Duration::ZERO);
        Confirmed { at: Instant::now(), before }
    }

    fn age(self) -> Duration {
        self.at.elapsed().saturating_add(self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The age in seconds of a file that was written at second `written`, when it is second 1,000.
    #[track_caller]
    fn check(written: Option<i64>, expected: u64) {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let confirmed = Confirmed::written(written.map(DateTime::from_secs), now);
        assert_eq!(confirmed.before.as_secs(), expected);
    }

    #[test]
    fn the_last_good_file_is_as_old_as_it_says() {
        check(Some(940), 60);
        check(Some(1_000), 0);
    }

    #[test]
    fn a_clock_that_is_wrong_makes_no_age() {
        check(Some(2_000), 0);
        check(None, 0);
    }
}

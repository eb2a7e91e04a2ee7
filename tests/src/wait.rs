//! Waits for a state with a deadline. Nothing in the tests sleeps for any other reason.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep, timeout_at};

/// How long most states may take. Generous, since the machine may be busy; nothing is concluded from being faster.
pub const LONG: Duration = Duration::from_secs(180);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks again and again until `probe` has found something.
///
/// # Errors
/// If it found nothing within `limit`, or could not look, or a look did not end.
pub async fn until<T>(
    what: &str,
    limit: Duration,
    mut probe: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        // A look itself may wait for somebody who does not answer any more.
        let Ok(probed) = timeout_at(deadline + LONG, probe()).await else {
            bail!("a look never ended while waiting until {what}");
        };
        if let Some(found) = probed? {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("waited {limit:?} in vain until {what}");
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_look_that_does_not_end_is_in_vain() {
        tokio::time::pause();
        let found =
            until("nothing", Duration::ZERO, async || std::future::pending::<Result<Option<()>>>().await);
        assert!(found.await.unwrap_err().to_string().contains("never ended"));
    }

    #[tokio::test]
    async fn what_is_found_late_is_found() {
        let mut looks = 0;
        let found = until("the third look", LONG, async || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(found.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn what_never_comes_is_an_error_that_names_it() {
        let error = until::<()>("the moon falls", PAUSE, async || Ok(None)).await.unwrap_err();
        assert_eq!(error.to_string(), "waited 20ms in vain until the moon falls");
    }
}

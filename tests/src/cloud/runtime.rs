//! A function: the real binary, in environments whose other side is a stand-in of the Lambda Runtime API.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>,
//! <https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html>.
//!
//! An environment runs one invocation at a time; a second one at the same time gets an environment of its own. One whose
//! process has ended, failed to start or run into the time limit is not used again: the next invocation begins a new
//! one, which is a cold start. Does not know what a payload means.

mod api;

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::body::Bytes;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::endpoint::{ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY};
use api::{Api, Invocation};

/// The account that all that is local belongs to.
pub const ACCOUNT: &str = "000000000000";

/// The most that a request or an answer may have: 6 MB, in bytes as the service's own refusal names them.
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
pub const PAYLOAD_LIMIT: usize = 6_291_456;

/// Between two looks at whether a process has ended.
const PAUSE: Duration = Duration::from_millis(20);

/// The end of what a function has said that a failure shows.
const LOG_SHOWN: usize = 4000;

/// Why an invocation has no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The payload or the answer is larger than the service passes on.
    #[error("the payload has {0} bytes, {PAYLOAD_LIMIT} are allowed")]
    TooLarge(usize),
    /// No environment could be begun.
    #[error("failed to start the function")]
    Start(#[source] anyhow::Error),
    /// The function said that it failed.
    #[error("the function failed: {0}")]
    Function(String),
    /// Its process ended before it had answered.
    #[error("the function's process ended with {0}")]
    Ended(ExitStatus),
    /// It took longer than it may.
    #[error("the function did not answer within {0:?}")]
    TimedOut(Duration),
}

/// A function that can be invoked. Its processes are killed when it is dropped.
#[derive(Debug)]
pub struct Function {
    binary: PathBuf,
    handler: String,
    variables: BTreeMap<String, String>,
    directory: TempDir,
    environments: Mutex<Vec<Arc<Environment>>>,
    cold_starts: AtomicU64,
}

impl Function {
    /// Deploys `binary`, which is to run what `_HANDLER` names, with these variables; and begins a first environment,
    /// so that a binary that cannot be run shows at once.
    ///
    /// # Errors
    /// If it cannot be run.
    pub fn start(binary: &Path, handler: &str, variables: BTreeMap<String, String>) -> Result<Function> {
        let prefix = format!("kinetail-{handler}-");
        let function = Function {
            binary: binary.to_owned(),
            handler: handler.to_owned(),
            variables,
            directory: tempfile::Builder::new().prefix(&prefix).tempdir()?,
            environments: Mutex::default(),
            cold_starts: AtomicU64::new(0),
        };
        let first = function.begin()?;
        function.environments().push(first);
        Ok(function)
    }

    /// Its resource name.
    #[must_use]
    pub fn arn(&self) -> String {
        format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{}", self.handler)
    }

    /// Invokes it and waits for its answer, at most so long.
    ///
    /// # Errors
    /// If there is no answer; see [`Failure`].
    pub async fn invoke(&self, payload: impl Into<Bytes>, limit: Duration) -> Result<Bytes, Failure> {
        let payload = payload.into();
        if payload.len() > PAYLOAD_LIMIT {
            return Err(Failure::TooLarge(payload.len()));
        }
        let reserved = self.reserve().map_err(Failure::Start)?;
        let answer = reserved.0.run(payload, limit, &self.arn()).await;
        if matches!(answer, Err(Failure::Ended(_) | Failure::TimedOut(_))) {
            self.environments().retain(|environment| !Arc::ptr_eq(environment, &reserved.0));
        }
        answer
    }

    /// Kills all its processes, also those that are busy.
    ///
    /// # Errors
    /// If one cannot be killed.
    pub fn kill(&self) -> Result<()> {
        for environment in self.environments().drain(..) {
            environment.child().kill().context("failed to kill the function")?;
        }
        Ok(())
    }

    /// How many environments have been begun so far.
    #[must_use]
    pub fn cold_starts(&self) -> u64 {
        self.cold_starts.load(Ordering::Relaxed)
    }

    /// The processes that run now.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        self.environments().iter().map(|environment| environment.child().id()).collect()
    }

    /// How long each environment that runs took from its start to its first call for work; none if it has not called.
    #[must_use]
    pub fn start_times(&self) -> Vec<Option<Duration>> {
        self.environments().iter().map(|environment| environment.api.start_time()).collect()
    }

    /// The end of what the function has said, all its processes together.
    #[must_use]
    pub fn log(&self) -> String {
        let text = std::fs::read(self.log_file()).unwrap_or_default();
        let end = text.get(text.len().saturating_sub(LOG_SHOWN)..).unwrap_or_default();
        format!("the function `{}` said:\n{}", self.handler, String::from_utf8_lossy(end))
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn environments(&self) -> MutexGuard<'_, Vec<Arc<Environment>>> {
        self.environments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An environment that is idle, or a new one; those that have ended are forgotten.
    fn reserve(&self) -> Result<Reserved> {
        let mut environments = self.environments();
        environments.retain(|environment| environment.ended().is_none());
        let idle = environments.iter().find(|environment| environment.take());
        if let Some(environment) = idle {
            return Ok(Reserved(Arc::clone(environment)));
        }
        let environment = self.begin()?;
        environment.take();
        environments.push(Arc::clone(&environment));
        Ok(Reserved(environment))
    }

    fn begin(&self) -> Result<Arc<Environment>> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_file())?;
        let environment = Environment::begin(self, log)?;
        self.cold_starts.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(environment))
    }
}

/// An environment that works for one invocation, until this is dropped.
struct Reserved(Arc<Environment>);

impl Drop for Reserved {
    fn drop(&mut self) {
        self.0.is_busy.store(false, Ordering::Release);
    }
}

/// One process and the API that it asks for work.
#[derive(Debug)]
struct Environment {
    api: Api,
    child: Mutex<Child>,
    is_busy: AtomicBool,
}

impl Environment {
    fn begin(function: &Function, log: File) -> Result<Environment> {
        let api = Api::start()?;
        let name = &function.handler;
        // The variables that the service reserves for itself:
        // <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime>.
        let child = Command::new(&function.binary)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("TZ", ":UTC")
            .env("LAMBDA_TASK_ROOT", function.directory.path())
            .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
            .env("_HANDLER", name)
            .env("AWS_LAMBDA_FUNCTION_NAME", name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "192")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}"))
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "local")
            .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
            .env("AWS_REGION", REGION)
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
            .envs(&function.variables)
            .current_dir(function.directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("failed to start `{}`", function.binary.display()))?;
        Ok(Environment { api, child: Mutex::new(child), is_busy: AtomicBool::new(false) })
    }

    /// Takes it for an invocation; false if it works for another.
    fn take(&self) -> bool {
        !self.is_busy.swap(true, Ordering::Acquire)
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> Option<ExitStatus> {
        self.child().try_wait().ok().flatten()
    }

    async fn run(&self, payload: Bytes, limit: Duration, arn: &str) -> Result<Bytes, Failure> {
        let (invocation, answer) = Invocation::new(payload, limit, arn);
        let ended = async {
            loop {
                if let Some(status) = self.ended() {
                    return status;
                }
                sleep(PAUSE).await;
            }
        };
        let work = async {
            tokio::select! {
                // An answer counts even if the process has ended right after it.
                biased;
                answer = self.api.answer(invocation, answer) => answer,
                status = ended => Err(Failure::Ended(status)),
            }
        };
        timeout(limit, work).await.unwrap_or(Err(Failure::TimedOut(limit)))
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Both fail only if it has gone already.
        child.kill().unwrap_or_default();
        drop(child.wait());
    }
}

#[cfg(test)]
pub(super) mod tests;

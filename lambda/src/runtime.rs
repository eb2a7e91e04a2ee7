//! The process of a function: settings, log, clients, and then one call after the other.
//!
//! The only place that reads the environment and knows the service's runtime. Nothing is asked of any service before the
//! first call: an environment that starts must be ready within milliseconds, and may be started for nothing.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, SdkConfig};
use lambda_runtime::{Diagnostic, LambdaEvent, Runtime, service_fn};
use tokio::sync::Mutex;
use tracing::error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::aggregate::{Aggregate, AggregateError, Target};
use crate::aside::Aside;
use crate::chain::Chain;
use crate::cloudwatch::CloudWatch;
use crate::event::Event;
use crate::output::Output;
use crate::patience::Deadline;
use crate::publish::{Publish, Publisher};
use crate::reference::object::ReferenceObject;
use crate::request::Fields;
use crate::s3::Bucket;
use crate::settings::{self, Prefix, Publication, Settings};

/// How long a connection, and an attempt of a call, may take: some attempts must fit into a call of ten seconds.
const CONNECT: Duration = Duration::from_secs(1);
const ATTEMPT: Duration = Duration::from_secs(3);

/// What the service tells a process by its environment, without which there is nothing to run.
const OF_THE_SERVICE: [&str; 4] = [
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
];

/// Why the process cannot take calls.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It was not started by the service.
    #[error(
        "`{0}` is not set: this program is the `bootstrap` of a Lambda function and runs in its environment only"
    )]
    NotInLambda(&'static str),
    /// The settings.
    #[error(transparent)]
    Settings(#[from] settings::Problems),
    /// The machinery of our own.
    #[error("could not start the scheduler")]
    Scheduler(#[source] std::io::Error),
    /// The service does not give calls any more.
    #[error("the runtime of the service has ended the process")]
    Ended(#[source] lambda_runtime::Error),
}

/// Runs the function that the environment names, for as long as the service wants.
#[must_use]
pub fn run() -> ExitCode {
    log();
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{}", Chain(&error));
            ExitCode::FAILURE
        }
    }
}

/// The service stamps each line with its time and keeps standard error.
fn log() {
    let levels = Targets::new().with_default(LevelFilter::INFO).with_target("aws_config", LevelFilter::WARN);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(false)
        .without_time();
    // A second start, as in tests, keeps the first.
    tracing_subscriber::registry().with(levels).with(lines).try_init().ok();
}

fn start() -> Result<(), StartError> {
    let variable = |name: &str| std::env::var(name).ok();
    let missing = OF_THE_SERVICE.into_iter().find(|name| variable(name).is_none());
    if let Some(name) = missing {
        return Err(StartError::NotInLambda(name));
    }
    let settings = Settings::from(&variable)?;
    // One thread: a function of this size has less than one core.
    let scheduler = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let served = scheduler.map_err(StartError::Scheduler)?.block_on(serve(settings));
    served.map_err(StartError::Ended)
}

async fn serve(settings: Settings) -> Result<(), lambda_runtime::Error> {
    let config = config().await;
    match settings {
        Settings::Aggregate { reference, join_field, target, aside } => {
            let s3 = s3(&config);
            let reference = ReferenceObject::new(Bucket::new(s3.clone(), reference.bucket), reference.key);
            let target = match target {
                settings::Target::Stream(name) => Target::Stream(output(&config, name)),
                settings::Target::CloudWatch(metrics) => Target::CloudWatch(publisher(&config, metrics)),
            };
            let aggregate =
                Aggregate::new(reference, Fields::new(&join_field), target, self::aside(s3, aside));
            let aggregate = Arc::new(Mutex::new(aggregate));
            let handler = service_fn(move |call: LambdaEvent<Event>| {
                let aggregate = Arc::clone(&aggregate);
                let deadline = deadline(&call);
                async move { aggregate.lock().await.handle(call.payload, deadline).await.map_err(diagnostic) }
            });
            Runtime::new(handler).run().await
        }
        Settings::Publish { metrics, aside } => {
            let publish = Publish::new(publisher(&config, metrics), self::aside(s3(&config), aside));
            let publish = Arc::new(Mutex::new(publish));
            let handler = service_fn(move |call: LambdaEvent<Event>| {
                let publish = Arc::clone(&publish);
                let deadline = deadline(&call);
                async move { Ok::<_, Diagnostic>(publish.lock().await.handle(&call.payload, deadline).await) }
            });
            Runtime::new(handler).run().await
        }
    }
}

/// Region, credentials and endpoints as the environment says. Retries are ours wherever a repeat is not harmless.
async fn config() -> SdkConfig {
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ATTEMPT).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts);
    if let Ok(name) = AppName::new(concat!("kinetail-lambda-", env!("CARGO_PKG_VERSION"))) {
        loader = loader.app_name(name);
    }
    loader.load().await
}

fn s3(config: &SdkConfig) -> aws_sdk_s3::Client {
    // Reading or writing an object twice does no harm.
    let retries =
        RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(200));
    aws_sdk_s3::Client::from_conf(aws_sdk_s3::config::Builder::from(config).retry_config(retries).build())
}

fn output(config: &SdkConfig, stream: String) -> Output {
    Output::new(aws_sdk_kinesis::Client::new(config), stream)
}

fn publisher(config: &SdkConfig, metrics: Publication) -> Publisher {
    let Publication { namespace, dimensions } = metrics;
    Publisher::new(CloudWatch::new(aws_sdk_cloudwatch::Client::new(config), namespace), dimensions)
}

fn aside(s3: aws_sdk_s3::Client, aside: Prefix) -> Aside {
    Aside::new(Bucket::new(s3, aside.bucket), aside.prefix)
}

fn deadline(call: &LambdaEvent<Event>) -> Deadline {
    Deadline::before(call.context.deadline, SystemTime::now())
}

/// What the service is told of a call that failed. The runtime logs it as well.
fn diagnostic(error: AggregateError) -> Diagnostic {
    Diagnostic { error_type: "AggregateError".to_owned(), error_message: Chain(&error).to_string() }
}

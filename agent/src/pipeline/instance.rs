//! Keeps what is known of the EC2 instance fresh, for the flows whose records tell of it.
//!
//! The readers take what is known and never wait: only the start waits a moment, so that the first records tell of it,
//! too. Off EC2 nothing is known, and the records stay as they are.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::chain::Chain;
use crate::config::Flow;
use crate::parse::Step;
use crate::send::Aws;
use crate::source::{Ec2, Instance, InstanceError, Variant};

/// How long the start waits for the first answer. Longer than the metadata service takes on EC2, which is milliseconds.
const FIRST: Duration = Duration::from_secs(5);

/// When the instance is asked again that could not be asked: it may only be booting.
const AGAIN: Duration = Duration::from_secs(60);

/// What is known of the instance, if anything is.
pub(super) type Known = watch::Receiver<Option<Arc<Instance>>>;

/// Who asks.
struct Inquirer {
    ec2: Ec2,
    tell: watch::Sender<Option<Arc<Instance>>>,
    /// How old what is known may become.
    period: Duration,
    /// Whether the last question had no answer.
    is_away: bool,
}

/// Asks on behalf of `flows`, now and from time to time.
pub(super) async fn know(flows: impl Iterator<Item = &Flow>, aws: &Aws) -> Known {
    let (tell, known) = watch::channel(None);
    let periods = flows.flat_map(|flow| flow.parser.steps()).filter_map(Step::instance_period);
    if let Some(period) = periods.min() {
        let variant = Variant { is_fips: aws.is_fips(), is_dual_stack: aws.is_dual_stack() };
        let ec2 = Ec2::new(&aws.asking(), aws.credentials(), variant, |settings| aws.connector(settings));
        let mut inquirer = Inquirer { ec2, tell, period, is_away: false };
        // Whatever comes of it, the next question comes in time.
        let next = timeout(FIRST, inquirer.ask()).await.unwrap_or(Duration::ZERO);
        tokio::spawn(inquirer.run(next));
    }
    known
}

impl Inquirer {
    /// Asks as long as there is a flow that wants to know.
    async fn run(mut self, first: Duration) {
        let mut next = first;
        while timeout(next, self.tell.closed()).await.is_err() {
            next = self.ask().await;
        }
    }

    /// Asks, and says after which time to ask again.
    async fn ask(&mut self) -> Duration {
        match self.ec2.ask().await {
            Ok(instance) => {
                if std::mem::take(&mut self.is_away) {
                    info!("the instance's metadata service answers; records tell of the instance");
                }
                self.tell.send_replace(Some(Arc::new(instance)));
                self.period
            }
            Err(error) => {
                self.complain(&error);
                self.period.min(AGAIN)
            }
        }
    }

    /// What was known stays so.
    fn complain(&mut self, error: &InstanceError) {
        if std::mem::replace(&mut self.is_away, true) {
            return;
        }
        let becomes = match *self.tell.borrow() {
            Some(_) => "records tell what was known of the instance before",
            None => "`ADDEC2METADATA` leaves records as they are",
        };
        warn!(error = %Chain(error), "this instance cannot be asked; until it can, {becomes}; asks again by itself");
    }
}

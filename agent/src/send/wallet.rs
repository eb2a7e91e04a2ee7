//! The credentials that calls are signed with: kept until they run out, and given up as soon as a service says that they are
//! too old, whatever they say themselves.
//!
//! Does not know where they are from. What is given up is asked for anew at its source, from the beginning: the SDK's chain
//! reads a profile once in its life, so another takes its place.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_config::SdkConfig;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::identity::IdentityCache;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_kinesis::config::{ConfigBag, RuntimeComponents};
use aws_smithy_runtime_api::client::identity::{
    IdentityFuture, ResolveCachedIdentity, SharedIdentityCache, SharedIdentityResolver,
};

use super::stream::{Fault, Remedy};

/// What services say of credentials that others may take the place of. Source:
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/CommonErrors.html>; the last is ours, for credentials that
/// could not be had.
const STALE: [&str; 5] = [
    "ExpiredTokenException",
    "ExpiredToken",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "Credentials",
];

/// What all clients sign with.
#[derive(Clone, Debug, Default)]
pub(super) struct Wallet(Arc<Content>);

#[derive(Debug)]
struct Content {
    filling: Mutex<Filling>,
    /// The last filling that a service has accepted.
    accepted: AtomicU64,
}

/// What was put in since it was emptied last.
#[derive(Debug)]
struct Filling {
    number: u64,
    cache: SharedIdentityCache,
    chain: Option<Arc<DefaultCredentialsChain>>,
}

impl Filling {
    fn new(number: u64) -> Filling {
        Filling { number, cache: IdentityCache::lazy().build(), chain: None }
    }
}

impl Default for Content {
    fn default() -> Content {
        Content { filling: Mutex::new(Filling::new(1)), accepted: AtomicU64::new(0) }
    }
}

impl Wallet {
    /// The number of what is in it now, to be asked for before a call.
    pub(super) fn filling(&self) -> u64 {
        self.lock().number
    }

    /// The service has accepted what a call was signed with.
    pub(super) fn accept(&self, filling: u64) {
        self.0.accepted.fetch_max(filling, Ordering::Relaxed);
    }

    /// What to make of a call that failed. If that was for what it was signed with, this is given up; and where it had been
    /// accepted before, it has only run out, so that nobody has to act.
    pub(super) fn judge(&self, filling: u64, fault: Fault) -> Fault {
        if !STALE.contains(&fault.code.as_str()) {
            return fault;
        }
        let mut now = self.lock();
        // Of several calls with the same, the first has done it.
        if now.number == filling {
            *now = Filling::new(filling + 1);
        }
        let has_run_out = self.0.accepted.load(Ordering::Relaxed) >= filling;
        match fault.remedy {
            Remedy::Act if has_run_out => Fault { remedy: Remedy::Again, ..fault },
            Remedy::Act | Remedy::Again | Remedy::Split => fault,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Filling> {
        self.0.filling.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolveCachedIdentity for Wallet {
    fn resolve_cached_identity<'a>(
        &'a self,
        resolver: SharedIdentityResolver,
        components: &'a RuntimeComponents,
        config: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        let cache = self.lock().cache.clone();
        IdentityFuture::new(async move { cache.resolve_cached_identity(resolver, components, config).await })
    }
}

/// The SDK's chain: environment, profile, web identity, container, instance. Another one for each filling of the wallet.
#[derive(Debug)]
pub(super) struct Chain {
    wallet: Wallet,
    shared: SdkConfig,
}

impl Chain {
    /// A chain that asks as `shared` says.
    pub(super) fn new(wallet: Wallet, shared: SdkConfig) -> Chain {
        Chain { wallet, shared }
    }

    async fn credentials(
        &self,
    ) -> Result<Credentials, aws_credential_types::provider::error::CredentialsError> {
        let known = {
            let filling = self.wallet.lock();
            filling.chain.clone().ok_or(filling.number)
        };
        let chain = match known {
            Ok(chain) => chain,
            Err(number) => {
                let chain = DefaultCredentialsChain::builder().configure(asking(&self.shared)).build().await;
                let chain = Arc::new(chain);
                let mut filling = self.wallet.lock();
                if filling.number == number {
                    filling.chain = Some(Arc::clone(&chain));
                }
                chain
            }
        };
        chain.provide_credentials().await
    }
}

/// How credentials are asked for. Made for each chain: copies of one share the profile that the first has read. With the SDK's
/// own retries, as nothing is repeated by them but the question.
fn asking(shared: &SdkConfig) -> ProviderConfig {
    let mut config = ProviderConfig::without_region()
        .with_region(shared.region().cloned())
        .with_use_fips(shared.use_fips())
        .with_use_dual_stack(shared.use_dual_stack())
        .with_behavior_version(shared.behavior_version());
    if let Some(http) = shared.http_client() {
        config = config.with_http_client(http);
    }
    if let Some(timeouts) = shared.timeout_config() {
        config = config.with_timeout_config(timeouts.clone());
    }
    config
}

impl ProvideCredentials for Chain {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.credentials())
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        let chain = self.wallet.lock().chain.clone();
        chain?.fallback_on_interrupt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::send::stream::Outcome;

    fn refused(code: &str) -> Fault {
        Fault::of_service(code, 400, "said so".into())
    }

    #[track_caller]
    fn check(wallet: &Wallet, filling: u64, code: &str, remedy: Remedy, left: u64) {
        let fault = wallet.judge(filling, refused(code));
        assert_eq!((fault.remedy, fault.outcome, fault.code.as_str()), (remedy, Outcome::NotTaken, code));
        assert_eq!(wallet.filling(), left);
    }

    #[test]
    fn what_was_accepted_before_has_run_out_and_is_asked_for_anew_at_once() {
        let wallet = Wallet::default();
        wallet.accept(1);
        check(&wallet, 1, "ExpiredTokenException", Remedy::Again, 2);
    }

    #[test]
    fn all_calls_that_were_signed_with_the_same_empty_it_once() {
        let wallet = Wallet::default();
        wallet.accept(1);
        check(&wallet, 1, "ExpiredTokenException", Remedy::Again, 2);
        check(&wallet, 1, "ExpiredTokenException", Remedy::Again, 2);
        wallet.accept(2);
        check(&wallet, 1, "ExpiredTokenException", Remedy::Again, 2);
        wallet.accept(1);
        check(&wallet, 2, "ExpiredTokenException", Remedy::Again, 3);
    }

    #[test]
    fn what_never_was_accepted_is_for_somebody_to_mend_and_asked_for_anew_all_the_same() {
        let wallet = Wallet::default();
        check(&wallet, 1, "UnrecognizedClientException", Remedy::Act, 2);
        check(&wallet, 2, "Credentials", Remedy::Act, 3);
        wallet.accept(3);
        check(&wallet, 3, "ExpiredTokenException", Remedy::Again, 4);
        check(&wallet, 4, "ExpiredTokenException", Remedy::Act, 5);
    }

    #[test]
    fn another_refusal_says_nothing_of_what_a_call_was_signed_with() {
        let wallet = Wallet::default();
        wallet.accept(1);
        check(&wallet, 1, "AccessDeniedException", Remedy::Act, 1);
        check(&wallet, 1, "ThrottlingException", Remedy::Again, 1);
    }
}

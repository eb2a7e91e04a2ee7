//! Connections to the services: whom they trust, and which of them go through a proxy. For the clients of the SDK, and for
//! calls that have no client.

use std::error::Error as StdError;
use std::iter::successors;

use aws_sdk_kinesis::config::{RuntimeComponents, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use tracing::info;

use super::access::Access;
use super::aws::AwsError;
use super::proxy::{Proxies, Proxy, Refused};

/// Who encrypts.
const PROVIDER: Provider = Provider::Rustls(CryptoMode::AwsLc);

/// How the services are reached.
#[derive(Clone, Debug)]
pub(super) struct Connections {
    tls: TlsContext,
    ways: Ways,
}

/// What goes through which proxy. The SDK knows one for each of its clients.
#[derive(Clone, Debug)]
enum Ways {
    One(Box<Way>),
    Each(Box<ByScheme<Way>>),
}

/// What the SDK goes by, and the proxy in it, if there is one.
#[derive(Clone, Debug)]
struct Way {
    config: ProxyConfig,
    proxy: Option<Proxy>,
}

impl Connections {
    /// Connections as `access` says, or the environment.
    ///
    /// # Errors
    /// If the certificates can't be read, or the environment names a proxy that is none.
    pub(super) fn new(access: &Access) -> Result<Connections, AwsError> {
        let proxies =
            Proxies::find(access.proxy.as_ref(), access.no_proxy.as_deref(), |name| std::env::var(name).ok());
        let proxies = proxies.map_err(AwsError::Variable)?;
        for (scheme, proxy) in [("http", &proxies.http), ("https", &proxies.https)] {
            if let Some(proxy) = proxy {
                info!("calls to {scheme} go through the proxy {proxy}, but for those to {}", proxies.direct);
            }
        }
        Ok(Connections { tls: tls(access)?, ways: Ways::of(&proxies)? })
    }

    /// What the SDK's clients call with.
    pub(super) fn client(&self) -> SharedHttpClient {
        let through = |way: &Way| {
            let (tls, proxy) = (self.tls.clone(), way.config.clone());
            let client = Builder::new().build_with_connector_fn(move |settings, components| {
                let mut builder = Connector::builder();
                builder.set_connector_settings(settings.cloned());
                builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
                builder.proxy_config(proxy.clone()).tls_provider(PROVIDER).tls_context(tls.clone()).build()
            });
            match way.proxy.clone() {
                Some(proxy) => SharedHttpClient::new(Through { proxy, inner: client }),
                None => client,
            }
        };
        match &self.ways {
            Ways::One(way) => through(way),
            Ways::Each(ways) => SharedHttpClient::new(ways.map(through)),
        }
    }

    /// What calls a service that has no client here.
    pub(super) fn connector(&self, settings: &HttpConnectorSettings) -> SharedHttpConnector {
        let through = |way: &Way| {
            let builder = Connector::builder().connector_settings(settings.clone());
            let builder = builder.proxy_config(way.config.clone()).tls_provider(PROVIDER);
            let connector = SharedHttpConnector::new(builder.tls_context(self.tls.clone()).build());
            match way.proxy.clone() {
                Some(proxy) => SharedHttpConnector::new(Through { proxy, inner: connector }),
                None => connector,
            }
        };
        match &self.ways {
            Ways::One(way) => through(way),
            Ways::Each(ways) => SharedHttpConnector::new(ways.map(through)),
        }
    }
}

impl Ways {
    fn of(Proxies { http, https, direct }: &Proxies) -> Result<Ways, AwsError> {
        let way = |make: fn(String) -> Result<ProxyConfig, _>, proxy: &Proxy| {
            let config = make(proxy.with_login()).map_err(AwsError::Proxy)?.no_proxy(direct);
            Ok(Way { config, proxy: Some(proxy.clone()) })
        };
        let one = |make, proxy| Ok(Ways::One(Box::new(way(make, proxy)?)));
        match (http, https) {
            (None, None) => Ok(Ways::One(Box::new(Way { config: ProxyConfig::disabled(), proxy: None }))),
            (Some(http), None) => one(ProxyConfig::http, http),
            (None, Some(https)) => one(ProxyConfig::https, https),
            (Some(http), Some(https)) if http == https => one(ProxyConfig::all, http),
            (Some(http), Some(https)) => Ok(Ways::Each(Box::new(ByScheme {
                http: way(ProxyConfig::http, http)?,
                https: way(ProxyConfig::https, https)?,
            }))),
        }
    }
}

/// Something for calls to `http`, and something for those to `https`.
#[derive(Clone, Debug)]
struct ByScheme<T> {
    http: T,
    https: T,
}

impl<T> ByScheme<T> {
    fn map<U>(&self, make: impl Fn(&T) -> U) -> ByScheme<U> {
        ByScheme { http: make(&self.http), https: make(&self.https) }
    }
}

impl HttpClient for ByScheme<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.map(|client| client.http_connector(settings, components)))
    }
}

impl HttpConnector for ByScheme<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = if request.uri().starts_with("http:") { &self.http } else { &self.https };
        connector.call(request)
    }
}

/// Calls through a proxy, whose own refusal is told from everything else.
#[derive(Clone, Debug)]
struct Through<T> {
    proxy: Proxy,
    inner: T,
}

impl HttpClient for Through<SharedHttpClient> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Through { proxy: self.proxy.clone(), inner })
    }
}

impl HttpConnector for Through<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (call, proxy) = (self.inner.call(request), self.proxy.clone());
        HttpConnectorFuture::new(async move {
            let answer = call.await;
            let is_refused = match &answer {
                Ok(response) => response.status().as_u16() == 407,
                Err(error) => is_refused_tunnel(error),
            };
            if is_refused { Err(ConnectorError::other(Refused(proxy).into(), None)) } else { answer }
        })
    }
}

/// Whether a proxy answered `CONNECT` with 407. The type that says so has no name outside of hyper-util.
fn is_refused_tunnel(error: &ConnectorError) -> bool {
    let first: &(dyn StdError + 'static) = error;
    successors(Some(first), |&error| error.source())
        .any(|error| error.to_string() == "tunnel error: proxy authorization required")
}

/// Who is trusted: the system's certificates, and `caBundle` beside them.
fn tls(access: &Access) -> Result<TlsContext, AwsError> {
    let mut trusted = TrustStore::default();
    if let Some(path) = &access.ca_bundle {
        let pem = std::fs::read(path).map_err(|source| AwsError::CaBundle { path: path.clone(), source })?;
        if memchr::memmem::find(&pem, b"-----BEGIN CERTIFICATE-----").is_none() {
            return Err(AwsError::NoCertificate { path: path.clone() });
        }
        trusted = trusted.with_pem_certificate(pem);
    }
    TlsContext::builder().with_trust_store(trusted).build().map_err(|error| AwsError::Tls(error.into()))
}

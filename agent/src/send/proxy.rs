//! Which calls go through a proxy: what `agent.json` says, else the environment, as curl and the AWS CLI read it. Pure: the
//! environment is an argument.
//!
//! Does not know how a call is made. No call goes through a proxy that is to this host, or to a service that knows who
//! calls by where the call is from: those that give instances, tasks and pods their credentials.

use std::fmt;
use std::net::Ipv6Addr;

/// What no proxy can reach in our name: this host, and link-local addresses, as those of the metadata services. Sources:
/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>,
/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html>
const DIRECT: [&str; 5] = ["localhost", "127.0.0.0/8", "::1/128", "169.254.0.0/16", "fd00:ec2::/32"];

/// Variables that name another place for the credentials of an instance or a container.
const METADATA: [&str; 2] = ["AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_CONTAINER_CREDENTIALS_FULL_URI"];

/// A proxy. Shown without the user and the password that it asks for.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    is_https: bool,
    login: Option<String>,
    address: String,
}

/// A text that names no proxy. It is not shown, as there may be a password in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a proxy is an http or https URL, such as `http://proxy.example.net:3128` or `http://USER:PASSWORD@proxy.example.net:3128` \
     with `%40` for an `@` in the password and likewise for `:`, `/`, `?`, `#` and `%`"
)]
pub struct ProxyError;

/// A variable of the environment that names no proxy.
#[derive(Debug, thiserror::Error)]
#[error("could not follow `{name}` of the environment")]
pub struct VariableError {
    name: &'static str,
    source: ProxyError,
}

/// What a proxy says to who is not its user.
#[derive(Debug, thiserror::Error)]
#[error(
    "the proxy {0} wants another user or password (407); set them in `proxy`, or in `HTTPS_PROXY` or `HTTP_PROXY` of the \
     environment"
)]
pub(super) struct Refused(pub(super) Proxy);

/// Which proxy calls go through, and which calls go through none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Proxies {
    /// That of calls to `http`.
    pub(super) http: Option<Proxy>,
    /// That of calls to `https`.
    pub(super) https: Option<Proxy>,
    /// Hosts, domains and networks that are called without, parted by commas.
    pub(super) direct: String,
}

impl Proxy {
    /// Reads a URL. One without a scheme means `http`, as for curl.
    ///
    /// # Errors
    /// If it is no URL of a proxy.
    pub fn parse(text: &str) -> Result<Proxy, ProxyError> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let is_https = scheme.eq_ignore_ascii_case("https");
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (login, address) = match authority.rsplit_once('@') {
            Some((login, address)) => (Some(login), address),
            None => (None, authority),
        };
        let is_right = (is_https || scheme.eq_ignore_ascii_case("http"))
            && is_address(address)
            && login.is_none_or(is_login);
        match is_right {
            true => Ok(Proxy { is_https, login: login.map(str::to_owned), address: address.to_owned() }),
            false => Err(ProxyError),
        }
    }

    /// The URL with everything in it.
    pub(super) fn with_login(&self) -> String {
        let login = self.login.as_ref().map(|login| format!("{login}@")).unwrap_or_default();
        format!("{}://{login}{}", self.scheme(), self.address)
    }

    fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.address)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxy").field(&self.to_string()).finish()
    }
}

impl Proxies {
    /// What is configured, and where nothing is, what the `environment` says.
    ///
    /// # Errors
    /// If a variable that counts names no proxy.
    pub(super) fn find(
        configured: Option<&Proxy>,
        direct: Option<&str>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Proxies, VariableError> {
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        let from = |names: [&'static str; 4]| match configured {
            Some(proxy) => Ok(Some(proxy.clone())),
            None => names
                .into_iter()
                .find_map(|name| variable(name).map(|value| (name, value)))
                .map(|(name, value)| Proxy::parse(&value).map_err(|source| VariableError { name, source }))
                .transpose(),
        };
        let direct =
            direct.map(str::to_owned).or_else(|| variable("no_proxy")).or_else(|| variable("NO_PROXY"));
        let entries: Vec<String> =
            direct.iter().flat_map(|list| list.split([',', ' '])).filter_map(entry).collect();
        if entries.iter().any(|entry| entry == "*") {
            return Ok(Proxies::default());
        }
        let metadata = METADATA.into_iter().filter_map(|name| host(&variable(name)?));
        let direct: Vec<String> =
            entries.into_iter().chain(DIRECT.map(str::to_owned)).chain(metadata).collect();
        Ok(Proxies {
            http: from(["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])?,
            https: from(["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])?,
            direct: direct.join(","),
        })
    }
}

/// An entry of `NO_PROXY` as the SDK knows them: a domain means its hosts, too, with and without `*` or a dot before it. A port
/// behind a host is left out, as no host is called on two.
fn entry(text: &str) -> Option<String> {
    let text = text.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(text);
    let text = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => match text.split_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            Some(_) | None => text,
        },
    };
    (!text.is_empty()).then(|| text.to_owned())
}

/// The host of a URL.
fn host(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    entry(rest.split(['/', '?', '#']).next()?)
}

/// Whether it is a host with or without a port.
fn is_address(text: &str) -> bool {
    let is_port = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0);
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_rest = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        return is_rest && address.parse::<Ipv6Addr>().is_ok();
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !host.is_empty() && host.bytes().all(letter) && port.is_none_or(is_port)
}

/// Whether it can stand before the `@` of a URL: <https://www.rfc-editor.org/rfc/rfc3986#section-3.2.1>.
fn is_login(text: &str) -> bool {
    let mut parts = text.split('%');
    let is_plain = |part: &str| {
        part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:".contains(&byte))
    };
    let is_escaped = |part: &str| {
        part.as_bytes().first_chunk::<2>().is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            && is_plain(part)
    };
    parts.next().is_some_and(is_plain) && parts.all(is_escaped)
}

#[cfg(test)]
mod tests {
    use hyper_util::client::proxy::matcher::Matcher;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(Proxy::parse(text).ok().map(|proxy| proxy.with_login()).as_deref(), expected, "{text}");
    }

    #[test]
    fn a_proxy_is_a_url_of_http_or_https() {
        check("http://proxy.example.net:3128", Some("http://proxy.example.net:3128"));
        check(" HTTPS://proxy/ ", Some("https://proxy"));
        check("proxy:8080", Some("http://proxy:8080"));
        check("http://[2001:db8::1]:3128", Some("http://[2001:db8::1]:3128"));
        check("http://[2001:db8::1]", Some("http://[2001:db8::1]"));
    }

    #[test]
    fn a_user_and_a_password_are_escaped() {
        check("http://u:p%40ss@proxy:1", Some("http://u:p%40ss@proxy:1"));
        check("u@proxy", Some("http://u@proxy"));
        for wrong in ["http://u:p@ss@proxy", "http://u:50%@proxy", "http://u:%4@proxy", "http://u:a b@proxy"]
        {
            check(wrong, None);
        }
    }

    #[test]
    fn anything_else_is_no_proxy() {
        for wrong in [
            "",
            "http://",
            "socks5://proxy:1080",
            "proxy:port",
            "proxy:0",
            "proxy:65536",
            "http://proxy/path",
            "http://proxy?a",
            "http://[::g]:1",
            "http://[::1]1",
            "http://pro xy",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let proxy = Proxy::parse("http://user:hidden@proxy:3128").unwrap();
        assert_eq!(format!("{proxy} {proxy:?}"), "http://proxy:3128 Proxy(\"http://proxy:3128\")");
    }

    type Found = (Option<String>, Option<String>, String);

    /// What holds with these keys and variables: for http, for https, and what is called without.
    fn find(proxy: Option<&str>, direct: Option<&str>, variables: &[(&str, &str)]) -> Result<Found, String> {
        let environment = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let proxy = proxy.map(|proxy| Proxy::parse(proxy).unwrap());
        let found = Proxies::find(proxy.as_ref(), direct, environment);
        let found = found.map_err(|error| crate::chain::Chain(&error).to_string())?;
        let text = |proxy: Option<Proxy>| proxy.map(|proxy| proxy.with_login());
        let direct = found.direct.replace(&DIRECT.join(","), "…");
        Ok((text(found.http), text(found.https), direct))
    }

    #[track_caller]
    fn check_found(variables: &[(&str, &str)], http: Option<&str>, https: Option<&str>) {
        let (found_http, found_https, _) = find(None, None, variables).unwrap();
        assert_eq!((found_http.as_deref(), found_https.as_deref()), (http, https), "{variables:?}");
    }

    #[test]
    fn the_environment_names_a_proxy_for_each_scheme() {
        check_found(&[], None, None);
        check_found(&[("HTTPS_PROXY", "a")], None, Some("http://a"));
        check_found(&[("http_proxy", "a"), ("HTTPS_PROXY", "b")], Some("http://a"), Some("http://b"));
        check_found(&[("ALL_PROXY", "a")], Some("http://a"), Some("http://a"));
        check_found(&[("ALL_PROXY", "a"), ("https_proxy", "b")], Some("http://a"), Some("http://b"));
        check_found(&[("https_proxy", "a"), ("HTTPS_PROXY", "b")], None, Some("http://a"));
        check_found(&[("https_proxy", ""), ("HTTPS_PROXY", "b")], None, Some("http://b"));
    }

    #[test]
    fn the_configuration_goes_before_the_environment() {
        let (http, https, _) = find(Some("a"), None, &[("HTTPS_PROXY", "socks5://b")]).unwrap();
        assert_eq!((http.as_deref(), https.as_deref()), (Some("http://a"), Some("http://a")));
    }

    #[test]
    fn a_variable_that_names_no_proxy_is_named_without_its_value() {
        let error = find(None, None, &[("ALL_PROXY", "socks5://user:hidden@b")]).unwrap_err();
        assert!(error.starts_with("could not follow `ALL_PROXY` of the environment: a proxy is an http"));
        assert!(!error.contains("hidden"));
    }

    #[track_caller]
    fn check_direct(configured: Option<&str>, variables: &[(&str, &str)], expected: &str) {
        assert_eq!(
            find(Some("a"), configured, variables).unwrap().2,
            expected,
            "{configured:?} {variables:?}"
        );
    }

    #[test]
    fn some_are_called_without() {
        check_direct(None, &[], "…");
        check_direct(None, &[("NO_PROXY", "a.example, *.b.example ,.c")], "a.example,.b.example,.c,…");
        check_direct(
            None,
            &[("NO_PROXY", "a:443,[2001:db8::1]:443,2001:db8::2,10.0.0.0/8")],
            "a,2001:db8::1,2001:db8::2,10.0.0.0/8,…",
        );
        check_direct(None, &[("no_proxy", "a"), ("NO_PROXY", "b")], "a,…");
        check_direct(Some("c"), &[("no_proxy", "a")], "c,…");
    }

    #[test]
    fn those_that_give_credentials_are_called_without() {
        let variables = [
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "https://creds.example:8443/role?a"),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://[2001:db8::5]/"),
        ];
        check_direct(None, &variables, "…,2001:db8::5,creds.example");
    }

    /// What is left out is understood by who goes by it.
    #[test]
    fn this_host_and_who_gives_credentials_are_never_called_through_a_proxy() {
        let proxy = Proxy::parse("http://proxy").unwrap();
        let proxies = Proxies::find(Some(&proxy), Some(".own.example"), |_| None).unwrap();
        let matcher = Matcher::builder().all(proxy.with_login()).no(&proxies.direct).build();
        let asks = |url: &str| matcher.intercept(&url.parse().unwrap()).is_some();
        for url in [
            "http://169.254.169.254/latest/api/token",
            "http://[fd00:ec2::254]/latest/api/token",
            "http://169.254.170.2/v2/credentials",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
            "http://127.0.0.1:4567/",
            "http://[::1]:4567/",
            "http://localhost:4567/",
            "https://kinesis.own.example/",
        ] {
            assert!(!asks(url), "{url}");
        }
        assert!(asks("https://kinesis.eu-west-1.amazonaws.com/") && asks("http://own.example.org/"));
    }

    #[test]
    fn a_star_means_everything() {
        assert_eq!(find(Some("a"), Some("b, *"), &[]).unwrap(), (None, None, String::new()));
    }
}

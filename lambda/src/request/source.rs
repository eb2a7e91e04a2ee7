//! The value of the field that is joined on, in the one form that the reference is asked with. Pure.
//!
//! Takes what access logs and proxies write: an address, a host name, a virtual host with its port, a list of proxies.
//! Does not know the reference. What comes out stays as it is if it is put in again.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// No name of the DNS and no address is longer, in bytes. <https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4>
const LONGEST: usize = 255;

/// Who `value` names, if it names anybody.
///
/// - Of a list with commas, as in `X-Forwarded-For`, the last element: the proxy nearest to us wrote it. The ones before
///   it are what the client said of itself, and it may say anything.
/// - Ports, brackets around an address, its zone, and the dot behind a whole name are left off.
/// - An address of IPv4 that is written as one of IPv6 is the former; any other of IPv6 is written as RFC 5952 has it.
/// - Names are in lower case, as DNS does not tell the cases apart.
/// - What is too long to be either is left as it is, but for the list.
pub(super) fn clean(value: Cow<'_, str>) -> Option<Cow<'_, str>> {
    match value {
        Cow::Borrowed(text) => clean_text(text),
        Cow::Owned(text) => clean_text(&text).map(|cleaned| Cow::Owned(cleaned.into_owned())),
    }
}

fn clean_text(text: &str) -> Option<Cow<'_, str>> {
    let mut bare = last_of(text);
    // A client may write whatever it likes into some fields, and what follows goes through the text again and again.
    if bare.len() > LONGEST {
        return Some(Cow::Borrowed(bare));
    }
    loop {
        // Each round takes something off, and what it uncovers may have something to take off, too.
        let barer = strip(bare);
        if barer.len() == bare.len() {
            break;
        }
        bare = barer;
    }
    match bare {
        "" | "-" => None,
        address
            if address.contains(':')
                && let Ok(address) = address.parse::<Ipv6Addr>() =>
        {
            Some(Cow::Owned(
                address.to_ipv4_mapped().map_or_else(|| address.to_string(), |address| address.to_string()),
            ))
        }
        name if name.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            Some(Cow::Owned(name.to_ascii_lowercase()))
        }
        name => Some(Cow::Borrowed(name)),
    }
}

/// The last element of a list, without the spaces around it.
fn last_of(text: &str) -> &str {
    text.rsplit_once(',').map_or(text, |(_, last)| last).trim()
}

/// `text` without what does not belong to the name, or some of it.
fn strip(text: &str) -> &str {
    let bare = without_port(last_of(text));
    let bare = bare.strip_prefix('[').and_then(|bare| bare.strip_suffix(']')).unwrap_or(bare);
    let bare = match bare.split_once('%') {
        Some((address, _)) if address.contains(':') => address,
        Some(_) | None => bare,
    };
    bare.trim_end_matches('.')
}

/// `name:80` and `[2001:db8::1]:80` without the port. An address of IPv6 without brackets ends in no port.
fn without_port(text: &str) -> &str {
    match text.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|byte| byte.is_ascii_digit())
                && (!host.contains(':') || host.starts_with('[') && host.ends_with(']')) =>
        {
            host
        }
        Some(_) | None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::{any, prop_assert_eq, proptest};

    #[track_caller]
    fn check(value: &str, expected: Option<&str>) {
        assert_eq!(clean(value.into()).as_deref(), expected, "{value}");
        assert_eq!(clean(value.to_owned().into()).as_deref(), expected, "{value}, owned");
    }

    #[test]
    fn what_no_name_can_be_stays_as_it_is() {
        let long = "[".repeat(4_000) + &"]".repeat(4_000);
        check(&long, Some(&long));
        check(&format!("192.0.2.1, {long}"), Some(&long));
        check(&format!("{long}, 192.0.2.1"), Some("192.0.2.1"));
    }

    #[test]
    fn a_name_or_an_address_stays_as_it_is() {
        for value in [
            "192.0.2.1",
            "2001:db8::1",
            "::1",
            "::",
            "www.example.com",
            "localhost",
            "1.2.3",
            "bücher.example",
        ] {
            check(value, Some(value));
        }
        check("unix:/run/httpd.sock", Some("unix:/run/httpd.sock"));
    }

    #[test]
    fn nothing_is_nobody() {
        for value in ["", " ", "-", " - ", ",", "192.0.2.1,", "192.0.2.1, -", ".", "[]", ":80"] {
            check(value, None);
        }
    }

    #[test]
    fn of_a_list_the_last_one_is_taken() {
        check("203.0.113.9, 198.51.100.7,192.0.2.1", Some("192.0.2.1"));
        check("\"x,y\", 2001:db8::1 ", Some("2001:db8::1"));
    }

    #[test]
    fn a_port_is_taken_off() {
        check("www.example.com:443", Some("www.example.com"));
        check("192.0.2.1:51234", Some("192.0.2.1"));
        check("[2001:db8::80]:8080", Some("2001:db8::80"));
        check("[2001:db8::80]:", Some("2001:db8::80"));
        check("2001:db8::80:8080", Some("2001:db8::80:8080"));
    }

    #[test]
    fn brackets_and_zones_are_taken_off() {
        check("[2001:db8::1]", Some("2001:db8::1"));
        check("fe80::1%eth0", Some("fe80::1"));
        check("[fe80::1%25eth0]:80", Some("fe80::1"));
        check("100%", Some("100%"));
    }

    #[test]
    fn an_address_of_ipv4_within_ipv6_is_the_former() {
        for value in ["::ffff:192.0.2.1", "::FFFF:192.0.2.1", "::ffff:c000:201", "[::ffff:192.0.2.1]:80"] {
            check(value, Some("192.0.2.1"));
        }
    }

    #[test]
    fn an_address_of_ipv6_has_one_spelling() {
        check("2001:DB8:0:0:8:800:200C:417A", Some("2001:db8::8:800:200c:417a"));
        check("2001:0db8::0001", Some("2001:db8::1"));
    }

    #[test]
    fn a_name_has_no_upper_case_and_no_dot_behind_it() {
        check("WWW.Example.COM.", Some("www.example.com"));
        check("www.example.com.:80", Some("www.example.com"));
    }

    proptest! {
        #[test]
        fn cleaning_twice_is_cleaning_once(value in r"[-aA19.,:%\[\] f]{0,12}|\PC{0,12}") {
            let once = clean(value.into());
            prop_assert_eq!(once.clone().and_then(clean), once);
        }

        #[test]
        fn every_address_is_found_in_every_form(address in any::<std::net::IpAddr>(), port in any::<u16>()) {
            let expected = address.to_canonical().to_string();
            for form in [
                address.to_string(),
                std::net::SocketAddr::new(address, port).to_string(),
                format!("203.0.113.9, {address}"),
                address.to_string().to_uppercase(),
            ] {
                prop_assert_eq!(clean(form.into()), Some(Cow::Borrowed(&*expected)));
            }
        }
    }
}

//! Whose a host is, by the slow definition of the reference: each of its rows is held against the host. Pure.
//!
//! Shares nothing with the function that is judged by it. Knows what the demo's own judgement needs: of names, those
//! that CloudWatch shows as they are.

use std::net::IpAddr;

use anyhow::{Context, Result, ensure};

/// The application of all hosts that are nobody's.
pub(crate) const UNKNOWN: &str = "UNKNOWN";

/// The rows of a reference.
#[derive(Debug)]
pub(crate) struct Join {
    rows: Vec<(Pattern, String)>,
}

/// Which hosts a row is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    /// The addresses whose first bits are those of this one.
    Block(IpAddr, u8),
    /// One name.
    Name(String),
    /// The names that end in this, which begins with a dot.
    Ending(String),
}

impl Join {
    /// Reads a reference: CSV with the columns Host, `ApplicationName` and Contact.
    pub(crate) fn read(text: &str) -> Result<Join> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = csv::ReaderBuilder::new()
            .comment(Some(b'#'))
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let headers = reader.headers()?.clone();
        let column = |name: &str| {
            let is_it = |header: &str| header.replace(' ', "").eq_ignore_ascii_case(name);
            headers.iter().position(is_it).with_context(|| format!("the reference has no column `{name}`"))
        };
        let (host, application) = (column("Host")?, column("ApplicationName")?);
        column("Contact")?;
        let mut rows = Vec::new();
        for record in reader.records() {
            let record = record?;
            if record.iter().all(str::is_empty) {
                continue;
            }
            let value = |column: usize| record.get(column).context("a row of the reference is too short");
            let (host, application) = (value(host)?, value(application)?);
            ensure!(
                !application.is_empty()
                    && application.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()),
                "application `{application}` is not plain ASCII, and CloudWatch has no other names"
            );
            rows.push((Pattern::of(host)?, application.to_owned()));
        }
        Ok(Join { rows })
    }

    /// The application of a host as it is logged.
    pub(crate) fn application(&self, host: &str) -> &str {
        let host = host.split_once('%').map_or(host, |(address, _zone)| address).to_ascii_lowercase();
        let fitting = self.rows.iter().filter_map(|(pattern, application)| {
            let closeness = pattern.closeness(host.trim_end_matches('.'))?;
            Some((closeness, application))
        });
        fitting.max_by_key(|(closeness, _)| *closeness).map_or(UNKNOWN, |(_, application)| application)
    }
}

impl Pattern {
    fn of(text: &str) -> Result<Pattern> {
        ensure!(!text.is_empty(), "a row of the reference has no host");
        if let Some((address, bits)) = text.split_once('/') {
            let block = address.parse().ok().zip(bits.parse().ok());
            let (address, bits) = block.with_context(|| format!("`{text}` is no block of addresses"))?;
            return Ok(Pattern::Block(address, bits));
        }
        Ok(match (text.parse::<IpAddr>(), text.strip_prefix('*')) {
            (Ok(address), _) => Pattern::Block(address, width(address)),
            (Err(_), Some(ending)) => Pattern::Ending(ending.to_ascii_lowercase()),
            (Err(_), None) => Pattern::Name(text.trim_end_matches('.').to_ascii_lowercase()),
        })
    }

    /// How closely it names this host; nothing if it does not. Of several the closest counts: the longest prefix, the
    /// name itself, the longest ending.
    fn closeness(&self, host: &str) -> Option<usize> {
        match self {
            Pattern::Block(block, bits) => {
                let address = host.parse::<IpAddr>().ok()?.to_canonical();
                let behind = width(address).checked_sub(*bits)?;
                let prefix = |address| bits_of(address).checked_shr(behind.into()).unwrap_or(0);
                let is_in = block.is_ipv4() == address.is_ipv4() && prefix(*block) == prefix(address);
                is_in.then_some(usize::from(*bits))
            }
            Pattern::Name(name) => (name == host).then_some(usize::MAX),
            Pattern::Ending(ending) => host.ends_with(ending).then_some(ending.len()),
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFERENCE: &str = "\u{feff}Contact, Host ,ApplicationName\r\n# nobody\r\na,192.0.2.0/24,wide\r\n\r\n\
        a,192.0.2.128/25,narrow\r\na,192.0.2.200,\"one, alone\"\r\na,2001:db8::/32,six\r\na,0.0.0.0/0,rest\r\n\
        a,*.example.org,ending\r\na,*.a.example.org,longer\r\na,www.a.Example.org,name\r\n";

    #[track_caller]
    fn check(host: &str, expected: &str) {
        assert_eq!(Join::read(REFERENCE).unwrap().application(host), expected, "{host}");
    }

    #[test]
    fn the_longest_prefix_counts() {
        check("192.0.2.127", "wide");
        check("192.0.2.128", "narrow");
        check("192.0.2.200", "one, alone");
        check("192.0.3.1", "rest");
        check("::ffff:192.0.2.1", "wide");
        check("2001:db8:ffff::1%eth0", "six");
        check("2001:db9::1", UNKNOWN);
    }

    #[test]
    fn a_name_counts_before_its_longest_ending() {
        check("WWW.a.example.org.", "name");
        check("b.a.example.org", "longer");
        check("b.example.org", "ending");
        check("example.org", UNKNOWN);
        check("badexample.org", UNKNOWN);
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "",
            "Host,Contact\n",
            "Host,ApplicationName,Contact\n192.0.2.0/x,a,b\n",
            "Host,ApplicationName,Contact\n,a,b\n",
            "Host,ApplicationName,Contact\nh,,b\n",
            "Host,ApplicationName,Contact\nh,Käse,b\n",
            "Host,ApplicationName,Contact\nh\n",
        ] {
            assert!(Join::read(text).is_err(), "{text}");
        }
    }
}

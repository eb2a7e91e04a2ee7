//! Whose application a source is: `Host,ApplicationName,Contact`, read whole or refused whole, and looked up. Pure.
//!
//! A host is an address, a block of addresses, a name, or `*.` and what names end in. The most precise one counts: of
//! blocks the one with the longest prefix, of names the name itself, then the longest ending. An IPv4 address in the
//! form of an IPv6 address is that IPv4 address.
//!
//! Does not know where the file comes from. What is looked up has one answer: a file that says two things of one host
//! is refused.

pub mod csv;
pub mod host;
mod lookup;
pub mod object;

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use csv::{Problems, Table};
use host::Host;
use lookup::{Block, Blocks, Names};

/// The application of requests from sources that are not in the reference.
pub const UNKNOWN: &str = "UNKNOWN";

/// The application of requests that were not told apart any more.
pub const OTHER: &str = "OTHER";

/// Whom a source belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Application {
    /// What it is called. In a [`Reference`] never empty, nor [`UNKNOWN`] or [`OTHER`].
    pub name: Arc<str>,
    /// Whom to ask about it; may be empty.
    pub contact: Arc<str>,
}

/// Hosts and the applications that they belong to.
#[derive(Debug)]
pub struct Reference {
    len: usize,
    applications: Vec<Application>,
    ipv4: Blocks,
    ipv6: Blocks,
    names: Names,
}

impl Reference {
    /// Reads a file.
    ///
    /// # Errors
    /// If anything in it is wrong. Then it is all that is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Reference, Problems> {
        let Table { hosts, applications } = csv::read(bytes)?;
        let len = hosts.len();
        let (mut ipv4, mut ipv6, mut names) = (vec![], vec![], Names::default());
        for (host, application) in hosts {
            match host {
                Host::Block(IpNet::V4(block)) => {
                    let (first, last) = (block.network().to_bits(), block.broadcast().to_bits());
                    ipv4.push(Block { first: first.into(), last: last.into(), application });
                }
                Host::Block(IpNet::V6(block)) => {
                    let (first, last) = (block.network().to_bits(), block.broadcast().to_bits());
                    ipv6.push(Block { first, last, application });
                }
                Host::Name(name) => names.insert(name, application),
                Host::Ending(ending) => names.insert_ending(ending, application),
            }
        }
        Ok(Reference { len, applications, ipv4: Blocks::new(ipv4), ipv6: Blocks::new(ipv6), names })
    }

    /// Whom a source belongs to, if that is known.
    #[must_use]
    pub fn find(&self, source: &str) -> Option<&Application> {
        let application = match source.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(IpAddr::V4(address)) => self.ipv4.find(address.to_bits().into()),
            Ok(IpAddr::V6(address)) => self.ipv6.find(address.to_bits()),
            Err(_) => self.names.find(source),
        };
        self.applications.get(application?)
    }

    /// How many hosts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::fmt::Write;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::collection::vec;
    use proptest::prelude::{prop_assert_eq, proptest};

    const FILE: &str = "Host,ApplicationName,Contact\n\
        192.0.2.1,one,a\n192.0.2.0/24,block,b\n192.0.0.0/16,wide,c\n2001:db8::/32,six,d\n::/0,all six,e\n\
        www.example.org,www,f\n*.example.org,example,g\n*.a.example.org,a,h\n";

    #[track_caller]
    fn check(source: &str, expected: Option<&str>) {
        let reference = Reference::parse(FILE.as_bytes()).unwrap();
        assert_eq!(reference.find(source).map(|application| &*application.name), expected, "{source}");
    }

    #[test]
    fn of_addresses_the_longest_prefix_counts() {
        check("192.0.2.1", Some("one"));
        check("192.0.2.2", Some("block"));
        check("192.0.3.1", Some("wide"));
        check("192.1.0.1", None);
        check("2001:db8::1", Some("six"));
        check("2001:db9::1", Some("all six"));
    }

    #[test]
    fn an_ipv4_address_is_one_in_either_form_and_in_no_block_of_ipv6() {
        check("::ffff:192.0.2.1", Some("one"));
        check("::ffff:192.1.0.1", None);
    }

    #[test]
    fn of_names_the_name_itself_and_then_the_longest_ending_counts() {
        check("www.example.org", Some("www"));
        check("WWW.Example.org.", Some("www"));
        check("b.example.org", Some("example"));
        check("c.b.example.org", Some("example"));
        check("a.example.org", Some("example"));
        check("b.a.example.org", Some("a"));
        check("example.org", None);
        check("badexample.org", None);
        check("", None);
    }

    #[test]
    fn it_tells_how_many_hosts_it_has() {
        assert_eq!(Reference::parse(FILE.as_bytes()).unwrap().len(), 8);
        assert!(Reference::parse(b"Host,ApplicationName,Contact").unwrap().is_empty());
        assert_eq!(Reference::parse(b"Host\n").unwrap_err().first.len(), 1);
    }

    proptest! {
        /// A file is looked up as if all its rows were tried, and the most precise one taken.
        #[test]
        fn it_finds_what_a_look_at_every_row_finds(
            blocks in vec((0_u8..9, 0_u32..256), 0..20),
            address in 0_u32..256,
        ) {
            let bits = |address: u32| u32::from(Ipv4Addr::new(198, 51, 100, 0)) | address;
            let blocks: std::collections::BTreeSet<_> =
                blocks.into_iter().map(|(zeros, address)| (zeros, address >> zeros << zeros)).collect();
            let mut file = "Host,ApplicationName,Contact\n".to_owned();
            for (zeros, first) in &blocks {
                writeln!(file, "{}/{},{zeros}-{first},", Ipv4Addr::from_bits(bits(*first)), 32 - zeros).unwrap();
            }
            let reference = Reference::parse(file.as_bytes()).unwrap();
            let expected = blocks
                .iter()
                .filter(|(zeros, first)| address >> zeros == first >> zeros)
                .min()
                .map(|(zeros, first)| format!("{zeros}-{first}"));
            let source = Ipv4Addr::from_bits(bits(address));
            for source in [source.to_string(), source.to_ipv6_mapped().to_string()] {
                let found = reference.find(&source).map(|application| application.name.to_string());
                prop_assert_eq!(&found, &expected);
            }
        }
    }

    #[test]
    fn each_of_a_hundred_thousand_rows_is_found() {
        let sources: Vec<String> = (0..100_000_u32)
            .map(|row| match row % 3 {
                0 => Ipv4Addr::from_bits(0x0a00_0000 + row).to_string(),
                1 => Ipv6Addr::from_bits(0x2001_0db8 << 96 | u128::from(row) << 64).to_string(),
                _ => format!("host-{row}.department-{}.example.org", row % 100),
            })
            .collect();
        let mut file = "Host,ApplicationName,Contact\n".to_owned();
        for (row, source) in sources.iter().enumerate() {
            writeln!(file, "{source},application-{},team-{}", row % 5_000, row % 50).unwrap();
        }
        let reference = Reference::parse(file.as_bytes()).unwrap();
        // A look at every row for each of them would take minutes.
        for (row, source) in sources.iter().enumerate() {
            let application = reference.find(source).unwrap();
            assert_eq!(application.name.strip_prefix("application-").unwrap().parse(), Ok(row % 5_000));
        }
    }
}

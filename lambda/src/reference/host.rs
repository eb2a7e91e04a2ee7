//! What stands in the column of hosts: an address, a block of addresses, a name, or `*.` and what names end in. Pure.
//!
//! Does not know whom it belongs to. Two texts that mean the same host are the same value.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// The sources that one entry of a reference is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// All addresses of a block; a single address is a block of one.
    Block(IpNet),
    /// One name, in lower case and without the dot of the root.
    Name(Box<str>),
    /// All names that end in a dot and this, likewise.
    Ending(Box<str>),
}

/// Why a text is not a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAHost {
    /// There is none.
    #[error("the host is empty; name an address, a block or a name")]
    Empty,
    /// It has a slash, but not as blocks have one.
    #[error("`{0}` is no block of addresses; write one as `192.0.2.0/24` or `2001:db8::/32`")]
    NotABlock(String),
    /// It is an address within a block.
    #[error("`{given}` has an address within its block; the block is `{block}`")]
    WithinABlock {
        /// What is written.
        given: String,
        /// The block that the address lies in.
        block: IpNet,
    },
    /// It is nothing at all.
    #[error(
        "`{0}` is neither an address nor a name; names have no spaces, no port, no empty labels, `*` only as in \
         `*.example.org`, and do not end in a number"
    )]
    Neither(String),
}

impl Host {
    /// The host that a text names.
    ///
    /// # Errors
    /// If it names none.
    pub fn parse(text: &str) -> Result<Host, NotAHost> {
        if text.is_empty() {
            return Err(NotAHost::Empty);
        }
        if text.contains('/') {
            let block: IpNet = text.parse().map_err(|_| NotAHost::NotABlock(text.to_owned()))?;
            return if block.trunc() == block {
                Ok(Host::Block(canonical(block)))
            } else {
                Err(NotAHost::WithinABlock { given: text.to_owned(), block: block.trunc() })
            };
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Host::Block(address.to_canonical().into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let (ending, whole) = match name.strip_prefix("*.") {
            Some(ending) => (Some(ending), ending),
            None => (None, name.as_str()),
        };
        if !is_name(whole) {
            return Err(NotAHost::Neither(text.to_owned()));
        }
        Ok(match ending {
            Some(ending) => Host::Ending(ending.into()),
            None => Host::Name(whole.into()),
        })
    }
}

/// The block of IPv4 addresses that a block of IPv6 addresses stands for, if it does.
fn canonical(block: IpNet) -> IpNet {
    let mapped_len = |len: u8| len.checked_sub(96);
    match block {
        IpNet::V4(_) => block,
        IpNet::V6(wide) => {
            let address = Ipv6Addr::to_ipv4_mapped(&wide.addr());
            let short = address.zip(mapped_len(wide.prefix_len()));
            short.and_then(|(address, len)| Ipv4Net::new(address, len).ok()).map_or(block, IpNet::V4)
        }
    }
}

/// Whether a name may be that of a source, which need not be one of the DNS. It has no port, as ports are taken off what is
/// looked up. One whose last label is a number would be an address that was mistyped.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.contains(|char: char| char.is_whitespace() || char.is_control() || char == '*')
    };
    let ends_in_number =
        text.rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    text.split('.').all(is_label) && !ends_in_number && !text.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a text means, in one line: the host or what is said of it.
    #[track_caller]
    fn check(text: &str, expected: &str) {
        let meant = match Host::parse(text) {
            Ok(Host::Block(block)) => format!("block {block}"),
            Ok(Host::Name(name)) => format!("name {name}"),
            Ok(Host::Ending(ending)) => format!("ending {ending}"),
            Err(error) => error.to_string(),
        };
        assert!(meant.starts_with(expected), "{text}: {meant}");
    }

    #[test]
    fn an_address_is_a_block_of_one() {
        check("192.0.2.1", "block 192.0.2.1/32");
        check("2001:DB8::1", "block 2001:db8::1/128");
        check("::ffff:192.0.2.1", "block 192.0.2.1/32");
    }

    #[test]
    fn a_name_has_no_port() {
        check("example.org:8080", "`example.org:8080` is neither");
        check("*.example.org:8080", "`*.example.org:8080` is neither");
    }

    #[test]
    fn a_block_has_no_address_within_it() {
        check("192.0.2.0/24", "block 192.0.2.0/24");
        check("::/0", "block ::/0");
        check("::ffff:192.0.2.0/120", "block 192.0.2.0/24");
        check("::ffff:0:0/96", "block 0.0.0.0/0");
        check("::/80", "block ::/80");
        check("192.0.2.1/24", "`192.0.2.1/24` has an address within its block; the block is `192.0.2.0/24`");
        check(
            "2001:db8::1/32",
            "`2001:db8::1/32` has an address within its block; the block is `2001:db8::/32`",
        );
        check("192.0.2.0/33", "`192.0.2.0/33` is no block of addresses; write one as");
        check("example.org/24", "`example.org/24` is no block of addresses");
    }

    #[test]
    fn a_name_is_in_lower_case_and_has_no_dot_behind_it() {
        check("Web-1.Example.ORG.", "name web-1.example.org");
        check("*.Example.org", "ending example.org");
        check("localhost", "name localhost");
        check("bücher.example", "name bücher.example");
    }

    #[test]
    fn what_is_neither_is_refused() {
        check("", "the host is empty");
        for text in [
            ".",
            "*",
            "*.",
            "**.org",
            "a.*.org",
            "a..org",
            ".org",
            "a b",
            "192.0.2.256",
            "192.0.2.01",
            "17",
            "2001:db8::g",
            "a.org..",
        ] {
            check(text, &format!("`{text}` is neither an address nor a name; "));
        }
    }
}

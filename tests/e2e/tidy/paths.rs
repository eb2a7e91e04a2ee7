//! The unit, the shipped configuration, the code, the README and the user data of instances agree on who runs the agent
//! and where its files are.

use crate::crates::AGENT;
use crate::source::Kind;
use crate::tree::Tree;

/// The unit that runs the agent.
const UNIT: &str = "packaging/systemd/aws-kinesis-agent.service";

/// What is installed as the configuration.
const SHIPPED: (&str, &str) = ("etc/agent.json", "/etc/aws-kinesis/agent.json");

/// The settings of the unit that others repeat, each with what stands before its value where it is repeated, and
/// whether the code has to know it.
const REPEATED: [(&str, &str, bool); 3] =
    [("User", "", false), ("StateDirectory", "/var/lib/", true), ("LogsDirectory", "/var/log/", true)];

/// What installs the agent on an instance, for each distribution.
const USER_DATA: [&str; 3] = [
    "packaging/user-data/amazon-linux-2023.sh",
    "packaging/user-data/debian.sh",
    "packaging/user-data/ubuntu.sh",
];

/// From this line on the scripts of all distributions are one.
const SHARED: &str = "# ---- From here on the same for every distribution ----";

/// What is said differently in two places, or in one place only.
pub(crate) fn violations(tree: &Tree) -> Vec<String> {
    let (shipped, installed) = SHIPPED;
    let unshipped = tree.text(shipped).is_none().then(|| format!("{shipped}: is not there"));
    let configuration = missing(tree, installed, true);
    let repeated = REPEATED.iter().flat_map(|(key, prefix, in_code)| match setting(tree, key) {
        Some(value) => missing(tree, &format!("{prefix}{value}"), *in_code),
        None => vec![format!("{UNIT}: does not set {key}")],
    });
    unshipped.into_iter().chain(configuration).chain(repeated).chain(user_data(tree)).collect()
}

/// Where a script for instances leaves the unit's way or that of the other scripts.
fn user_data(tree: &Tree) -> Vec<String> {
    let (_, configuration) = SHIPPED;
    let unit = UNIT.rsplit('/').next().unwrap_or(UNIT);
    let named: Vec<&str> =
        [Some(unit), Some(configuration), setting(tree, "User")].into_iter().flatten().collect();
    let shared = |path: &str| Some(tree.text(path)?.split_once(SHARED)?.1);
    let [first, ..] = USER_DATA;
    USER_DATA
        .iter()
        .flat_map(|path| {
            let text = tree.text(path).unwrap_or_default();
            let missing = named.iter().filter(|name| !names(text, name));
            let differs = (shared(path).is_none() || shared(path) != shared(first))
                .then(|| format!("{path}: is not that of {first} from the line `{SHARED}` on"));
            missing.map(|name| format!("{path}: does not name {name}")).chain(differs).collect::<Vec<_>>()
        })
        .collect()
}

/// The one value that the unit gives to `key`.
fn setting<'a>(tree: &'a Tree, key: &str) -> Option<&'a str> {
    let lines = tree.text(UNIT)?.lines();
    let mut values = lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.next().filter(|value| !value.is_empty() && values.next().is_none())
}

/// The places that do not name `value`.
fn missing(tree: &Tree, value: &str, in_code: bool) -> Vec<String> {
    let is_in_readme = tree.text("README.md").is_some_and(|readme| names(readme, value));
    let is_in_code = || {
        tree.sources(AGENT.root).iter().any(|source| {
            source.tokens().iter().any(|token| token.kind == Kind::Text && names(token.text, value))
        })
    };
    let readme = (!is_in_readme).then(|| format!("README.md: does not name {value}"));
    let code = (in_code && !is_in_code()).then(|| format!("{}: does not name {value}", AGENT.root));
    readme.into_iter().chain(code).collect()
}

/// Whether `value` stands in `text` as a whole name, or as the beginning of a longer path.
fn names(text: &str, value: &str) -> bool {
    let goes_on =
        |rest: &str| rest.starts_with(|sign: char| sign.is_alphanumeric() || matches!(sign, '-' | '_'));
    text.split(value).skip(1).any(|rest| !goes_on(rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::fixture;

    const SCRIPT: &str = concat!(
        "# ---- From here on the same for every distribution ----\n",
        "agent-user aws-kinesis-agent.service /etc/aws-kinesis/agent.json\n",
    );

    const FILES: [(&str, &str); 7] = [
        ("packaging/user-data/amazon-linux-2023.sh", SCRIPT),
        ("packaging/user-data/debian.sh", SCRIPT),
        ("packaging/user-data/ubuntu.sh", SCRIPT),
        (
            UNIT,
            "[Service]\nExecStart=/usr/bin/kinetail run\nUser=agent-user\nStateDirectory=kinetail\nLogsDirectory=agent\n",
        ),
        ("etc/agent.json", "{}"),
        (
            "README.md",
            "/etc/aws-kinesis/agent.json, `agent-user`, /var/lib/kinetail, /var/log/agent/agent.log",
        ),
        (
            "agent/src/config/mod.rs",
            "[\"/etc/aws-kinesis/agent.json\", \"/var/lib/kinetail\", \"/var/log/agent\"]",
        ),
    ];

    /// What is found when `new` stands for `old` at `path` in a tree that is otherwise in order.
    #[track_caller]
    fn check(path: &str, old: &str, new: &str, expected: &[&str]) {
        let changed: Vec<(&str, String)> = FILES
            .iter()
            .map(|(name, text)| {
                (*name, if *name == path { text.replace(old, new) } else { (*text).to_owned() })
            })
            .collect();
        let files: Vec<(&str, &str)> = changed.iter().map(|(name, text)| (*name, text.as_str())).collect();
        assert_eq!(violations(&fixture(&files)), expected);
    }

    #[test]
    fn a_tree_in_order_has_no_violation() {
        check(UNIT, "", "", &[]);
    }

    #[test]
    fn the_unit_sets_what_others_repeat() {
        check(UNIT, "User=", "#User=", &["packaging/systemd/aws-kinesis-agent.service: does not set User"]);
        check(
            UNIT,
            "User=agent-user",
            "User=root",
            &[
                "README.md: does not name root",
                "packaging/user-data/amazon-linux-2023.sh: does not name root",
                "packaging/user-data/debian.sh: does not name root",
                "packaging/user-data/ubuntu.sh: does not name root",
            ],
        );
    }

    #[test]
    fn the_user_data_installs_what_the_unit_starts_where_the_agent_looks() {
        for name in ["aws-kinesis-agent.service", "/etc/aws-kinesis/agent.json", "agent-user"] {
            check(
                "packaging/user-data/ubuntu.sh",
                name,
                "other",
                &[
                    &format!("packaging/user-data/ubuntu.sh: does not name {name}"),
                    concat!(
                        "packaging/user-data/ubuntu.sh: is not that of packaging/user-data/amazon-linux-2023.sh ",
                        "from the line `# ---- From here on the same for every distribution ----` on",
                    ),
                ],
            );
        }
    }

    #[test]
    fn the_user_data_of_all_distributions_are_one_from_a_line_on() {
        let differs = |path: &str| {
            format!(
                "packaging/user-data/{path}.sh: is not that of packaging/user-data/amazon-linux-2023.sh from the line `{SHARED}` on"
            )
        };
        check("packaging/user-data/debian.sh", "agent.json\n", "agent.json\nmore\n", &[&differs("debian")]);
        check("packaging/user-data/debian.sh", "# ---- From", "# From", &[&differs("debian")]);
        check(
            "packaging/user-data/amazon-linux-2023.sh",
            "# ---- From",
            "# From",
            &[&differs("amazon-linux-2023"), &differs("debian"), &differs("ubuntu")],
        );
    }

    #[test]
    fn the_readme_and_the_code_know_the_directories_of_the_unit() {
        check(
            UNIT,
            "StateDirectory=kinetail",
            "StateDirectory=tail",
            &["README.md: does not name /var/lib/tail", "agent/src/: does not name /var/lib/tail"],
        );
        check(
            "README.md",
            "/var/log/agent/",
            "/var/log/agents/",
            &["README.md: does not name /var/log/agent"],
        );
        check(
            "agent/src/config/mod.rs",
            "/var/lib/",
            "/var/",
            &["agent/src/: does not name /var/lib/kinetail"],
        );
    }

    #[test]
    fn the_configuration_is_shipped_where_the_readme_says() {
        check(
            "README.md",
            "/etc/aws-kinesis/",
            "/etc/",
            &["README.md: does not name /etc/aws-kinesis/agent.json"],
        );
        let without: Vec<(&str, &str)> =
            FILES.into_iter().filter(|(path, _)| *path != "etc/agent.json").collect();
        assert_eq!(violations(&fixture(&without)), ["etc/agent.json: is not there"]);
    }
}

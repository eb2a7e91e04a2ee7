//! The two crates that are shipped, each with its modules in order: the architecture, as data that the rules read.
//!
//! A row names only rows above it, so the steps of each crate point upstream only. The crates do not name each other.

/// One crate of the workspace.
#[derive(Debug)]
pub(crate) struct Crate {
    /// The folder of its modules.
    pub(crate) root: &'static str,
    /// The name that its own `main` calls it by.
    pub(crate) name: &'static str,
    /// Its modules, each with those it may name beside itself.
    pub(crate) modules: &'static [(&'static str, &'static [&'static str])],
    /// What single files may name beyond the row of their module.
    pub(crate) parts: &'static [(&'static str, &'static [&'static str])],
    /// The files that meet the world outside, unless they are pure.
    pub(crate) shell: &'static [&'static str],
    /// What the shell may name besides, to say what went wrong and to count it.
    pub(crate) shell_names: &'static [&'static str],
    /// The pure modules: no clock, disk, network, runtime or logger.
    pub(crate) pure: &'static [&'static str],
}

/// Both crates.
pub(crate) const CRATES: [&Crate; 2] = [&AGENT, &LAMBDA];

/// The agent.
pub(crate) const AGENT: Crate = Crate {
    root: "agent/src/",
    name: "kinetail",
    modules: &[
        ("position", &[]),
        ("loss", &["position"]),
        ("budget", &[]),
        ("exit", &[]),
        ("chain", &[]),
        ("log", &[]),
        ("metrics", &["loss"]),
        ("expression", &[]),
        ("layout", &["expression"]),
        ("source", &["position", "budget", "layout"]),
        ("split", &["position", "loss", "layout", "source"]),
        ("parse", &["position", "loss", "split"]),
        ("batch", &["position", "loss", "split", "parse"]),
        ("send", &["position", "loss", "batch"]),
        ("checkpoint", &["position", "loss", "send"]),
        ("takeover", &["position", "source"]),
        ("report", &["loss", "metrics"]),
        (
            "config",
            &["position", "expression", "layout", "source", "parse", "batch", "send", "takeover", "chain"],
        ),
        ("shutdown", &[]),
        // The language of the socket; who answers is the pipeline's business.
        ("control", &["position", "chain", "source"]),
        (
            "pipeline",
            &[
                "position",
                "loss",
                "budget",
                "exit",
                "chain",
                "log",
                "metrics",
                "source",
                "split",
                "parse",
                "batch",
                "send",
                "checkpoint",
                "takeover",
                "report",
                "config",
                "shutdown",
                "control",
            ],
        ),
        ("cli", &["config", "control", "pipeline", "log", "exit", "chain"]),
        ("lib", &["config", "pipeline", "log", "exit", "chain", "cli"]),
    ],
    parts: &[
        // The words for a format are those of the command line; what they mean is the step's.
        ("cli/arguments", &["parse"]),
        // It tells what the steps were set to do.
        ("cli/check", &["layout", "parse", "source"]),
        ("cli/parse", &["parse", "split"]),
        // Where no agent runs, it does what one would.
        ("cli/checkpoint", &["checkpoint", "position", "source"]),
        ("cli/takeover", &["checkpoint", "position", "source", "takeover"]),
        ("cli/handback", &["checkpoint", "source", "takeover"]),
    ],
    shell: &[
        "source",
        "send/mod",
        "send/kinesis",
        "checkpoint/mod",
        "checkpoint/store",
        "takeover/prove",
        "shutdown",
    ],
    shell_names: &["chain", "metrics"],
    pure: &[
        "position",
        "loss",
        "expression",
        "layout",
        "source/identity",
        "source/index",
        "source/mark",
        "source/pattern",
        "split",
        "parse",
        "batch",
        "send/settle",
        "send/pace",
        "checkpoint/ledger",
        "takeover/row",
        "report/pace",
        "control/message",
        "control/view",
    ],
};

/// Its companion.
const LAMBDA: Crate = Crate {
    root: "lambda/src/",
    name: "kinetail_lambda",
    modules: &[
        ("chain", &[]),
        ("ascii", &[]),
        ("reason", &[]),
        ("patience", &[]),
        ("fault", &[]),
        ("published", &[]),
        ("s3", &["fault"]),
        ("event", &["reason"]),
        ("unpack", &["reason"]),
        ("request", &["reason"]),
        ("reference", &[]),
        ("window", &["reason", "event", "request", "reference"]),
        ("rows", &["event", "reference", "window"]),
        ("metrics", &["ascii", "reason", "rows"]),
        ("aside", &["reason", "event", "s3", "chain"]),
        ("output", &["rows", "fault", "patience", "chain"]),
        ("cloudwatch", &["metrics", "fault", "patience", "chain"]),
        (
            "publish",
            &[
                "reason",
                "event",
                "rows",
                "metrics",
                "published",
                "aside",
                "cloudwatch",
                "fault",
                "patience",
                "chain",
            ],
        ),
        (
            "aggregate",
            &[
                "reason",
                "event",
                "unpack",
                "request",
                "reference",
                "window",
                "rows",
                "aside",
                "output",
                "publish",
                "fault",
                "patience",
                "chain",
            ],
        ),
        ("settings", &["metrics"]),
        (
            "runtime",
            &[
                "event",
                "request",
                "reference",
                "s3",
                "aside",
                "output",
                "cloudwatch",
                "publish",
                "aggregate",
                "settings",
                "patience",
                "chain",
            ],
        ),
        ("lib", &[]),
    ],
    parts: &[("reference/object", &["s3", "chain"])],
    shell: &[],
    shell_names: &[],
    pure: &[
        "ascii",
        "reason",
        "published",
        "event",
        "unpack",
        "request",
        "reference/mod",
        "reference/csv",
        "reference/host",
        "reference/lookup",
        "window",
        "rows",
        "metrics",
        "settings",
    ],
};

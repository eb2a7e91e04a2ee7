//! A way to rotate a log: which tool, told what, and what of the log it destroys by itself.

use std::time::Duration;

use anyhow::{Result, ensure};
use kinetail_tests::logrotate::When;

/// What becomes of lines that nobody has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Destroys {
    /// All of them stay in some file.
    Nothing,
    /// Some were written to a file that was being compressed and then removed. Who has it open can read them.
    Removed,
    /// Some are in no file any more.
    Lines,
}

/// Who rotates.
#[derive(Clone, Debug)]
pub(crate) enum Tool {
    /// `logrotate`, with a configuration in which `LOG`, `OLD` and `SIGNAL` stand for paths.
    Logrotate { configuration: String, when: When, daily: bool, hold: Duration },
    /// `rotatelogs`, with arguments in which `LOG` and `LINK` stand for paths.
    Rotatelogs { arguments: &'static [&'static str] },
}

/// One way to rotate a log.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    /// What it is called in the report.
    pub(crate) name: &'static str,
    pub(crate) tool: Tool,
    /// The name of the log that the server writes.
    pub(crate) log: &'static str,
    /// The patterns that the agent is given, one in each run.
    pub(crate) patterns: &'static [&'static str],
    pub(crate) destroys: Destroys,
    /// How long old processes go on writing to what was renamed.
    pub(crate) lingering: Duration,
}

impl Way {
    /// The way of logrotate with these directives, in which `REOPEN` is the script that has the server open its log.
    pub(crate) fn new(name: &'static str, directives: &str) -> Way {
        let reopen = "postrotate\ntouch SIGNAL\nendscript";
        let directives = directives.replace("REOPEN", reopen);
        Way::configured(name, format!("\"LOG\" {{\nrotate 10000\n{directives}\n}}\n"))
    }

    /// The way of a configuration as it is shipped for the logs at `path`; only what it does after a rotation becomes
    /// what has our server open its log.
    pub(crate) fn shipped(name: &'static str, text: &str, path: &str) -> Result<Way> {
        let (mut configuration, mut in_script) = (String::new(), false);
        for line in text.lines() {
            in_script &= line.trim() != "endscript";
            if !in_script {
                configuration.push_str(&line.replace(path, "\"LOG\""));
                configuration.push('\n');
            }
            if line.trim() == "postrotate" {
                in_script = true;
                configuration.push_str("touch SIGNAL\n");
            }
        }
        ensure!(
            configuration.contains("LOG") && configuration.contains("SIGNAL"),
            "what is shipped is not what was expected:\n{text}"
        );
        Ok(Way::configured(name, configuration))
    }

    fn configured(name: &'static str, configuration: String) -> Way {
        let tool = Tool::Logrotate { configuration, when: When::Always, daily: false, hold: Duration::ZERO };
        Way {
            name,
            tool,
            log: "access_log",
            patterns: &["access_log", "access_log*"],
            destroys: Destroys::Nothing,
            lingering: Duration::ZERO,
        }
    }

    /// The way of rotatelogs with these arguments.
    pub(crate) fn rotatelogs(
        name: &'static str,
        patterns: &'static [&'static str],
        arguments: &'static [&'static str],
    ) -> Way {
        Way { tool: Tool::Rotatelogs { arguments }, patterns, ..Way::new(name, "") }
    }

    /// The same with a day between two rotations.
    pub(crate) fn daily(self) -> Way {
        self.with(|tool| {
            if let Tool::Logrotate { daily, .. } = tool {
                *daily = true
            }
        })
    }

    /// The same with rotations only when the configuration says so.
    pub(crate) fn when_due(self) -> Way {
        self.with(|tool| {
            if let Tool::Logrotate { when, .. } = tool {
                *when = When::Due
            }
        })
    }

    /// The same with a truncation so long after the copy; lines are destroyed by that.
    pub(crate) fn truncating(self, after: Duration) -> Way {
        let way = self.with(|tool| {
            if let Tool::Logrotate { hold, .. } = tool {
                *hold = after
            }
        });
        Way { destroys: Destroys::Lines, ..way }
    }

    /// The same with files that are compressed while they are written to: at once, or, as fast as it goes here, before the
    /// old processes have ended.
    pub(crate) fn removing(self) -> Way {
        Way { destroys: Destroys::Removed, ..self }
    }

    /// The same with old processes that go on for a while, as after a graceful restart.
    pub(crate) fn lingering(self) -> Way {
        Way { lingering: Duration::from_millis(500), ..self }
    }

    /// Whether each rotation makes the log shorter.
    pub(crate) fn truncates(&self) -> bool {
        match &self.tool {
            Tool::Logrotate { .. } => self.destroys == Destroys::Lines,
            Tool::Rotatelogs { .. } => false,
        }
    }

    /// Whether old files are written to again from their beginning, some of the time.
    pub(crate) fn overwrites(&self) -> bool {
        match &self.tool {
            Tool::Logrotate { .. } => false,
            Tool::Rotatelogs { .. } => self.destroys == Destroys::Lines,
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Tool)) -> Way {
        change(&mut self.tool);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_script_after_a_rotation_is_another() {
        let text =
            "/var/*.log {\n\tdaily\n\tprerotate\n\t\ta\n\tendscript\n\tpostrotate\n\t\tb\n\tendscript\n}\n";
        let way = Way::shipped("any", text, "/var/*.log").unwrap();
        let Tool::Logrotate { configuration, .. } = way.tool else { unreachable!("it is logrotate's") };
        let expected = "\"LOG\" {\n\tdaily\n\tprerotate\n\t\ta\n\tendscript\n\tpostrotate\ntouch SIGNAL\n\tendscript\n}\n";
        assert_eq!(configuration, expected);
        assert!(Way::shipped("any", "/other {\n}\n", "/var/*.log").is_err());
    }
}

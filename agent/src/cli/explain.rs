//! `kinetail check --explain`: what every key comes to, and which line of which file says so.

use std::fmt;

use crate::config::{Explained, Setting, Whence};

/// What is printed of a configuration.
pub(super) struct Explanation<'a>(pub(super) &'a [Explained]);

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Explained { title, settings }) in self.0.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            writeln!(f, "{title}")?;
            let wide = |text: fn(&Setting) -> &str| {
                settings.iter().map(|setting| text(setting).chars().count()).max().unwrap_or_default()
            };
            let (key_width, value_width) = (wide(|setting| setting.key), wide(value));
            for setting in settings {
                let Setting { key, whence, remark, .. } = setting;
                let remark = remark.as_ref().map_or_else(String::new, |remark| format!("; {remark}"));
                let (value, whence) = (value(setting), self::whence(whence));
                writeln!(f, "  {key:key_width$}  {value:value_width$}  {whence}{remark}")?;
            }
        }
        Ok(())
    }
}

fn value(setting: &Setting) -> &str {
    setting.value.as_deref().unwrap_or("-")
}

fn whence(whence: &Whence) -> String {
    match whence {
        Whence::Line(file, line) => format!("{}:{line}", file.display()),
        Whence::Environment(variable) => format!("${variable}"),
        Whence::Default => "default".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::{self, Sources};

    #[test]
    fn every_value_stands_beside_who_says_so() {
        let host = tempfile::tempdir().unwrap();
        let drop_ins = host.path().join("agent.d");
        fs::create_dir(&drop_ins).unwrap();
        let main = "{\n  \"maxSendingThreads\": 4,\n  \"kinesis.region\": \"eu-west-1\"\n}";
        let flow = "{ \"flows\": [\n  { \"filePattern\": \"/a/b\", \"name\": \"b\", \"kinesisStream\": \"s\",\n    \
                    \"maxBufferAgeMillis\": \"0x7d0\" }\n] }";
        fs::write(host.path().join("agent.json"), main).unwrap();
        fs::write(drop_ins.join("x.json"), flow).unwrap();
        let sources = Sources {
            main: host.path().join("agent.json"),
            drop_ins: Some(drop_ins),
            state_directory: Some("/run/state".into()),
        };
        let (_, explained) = config::explain(&sources).unwrap();
        let text = Explanation(&explained).to_string().replace(&format!("{}/", host.path().display()), "");
        let squeezed: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        for line in [
            "agent",
            "stateDirectory \"/run/state\" $STATE_DIRECTORY",
            "kinesis.region \"eu-west-1\" agent.json:3",
            "kinesis.endpoint - default",
            "maxSendingThreads 4 agent.json:2; no effect: requests on their way need no threads",
            "shutdownTimeoutMillis 10000 default",
            "flow b",
            "filePattern \"/a/b\" agent.d/x.json:2",
            "lingerMillis - default; `maxBufferAgeMillis` counts",
            "maxBufferAgeMillis 2000 agent.d/x.json:3",
        ] {
            assert!(squeezed.iter().any(|found| found == line), "`{line}` is missing in:\n{text}");
        }
        let columns: Vec<usize> =
            text.lines().filter_map(|line| line.strip_suffix("  default")).map(str::len).collect();
        assert!(columns.len() > 10, "{text}");
    }
}

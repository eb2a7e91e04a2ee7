//! What the functions are told by their environment. Pure: whoever asks says what a variable holds.
//!
//! A settings value that exists is valid. Every problem is told at once, each with the variable and what would be right.
//! Where services are and with which credentials they are asked is left to the SDK's own variables.

use std::fmt;

use crate::metrics::Dimension;

/// What the process is to run, with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    /// Counts the records of the input stream in windows.
    Aggregate {
        /// Where the reference is.
        reference: Object,
        /// The field of a line whose value is looked up in the reference.
        join_field: String,
        /// Where the rows of a window go.
        target: Target,
        /// Where things are set aside.
        aside: Prefix,
    },
    /// Publishes the rows of the output stream.
    Publish {
        /// How they are published.
        metrics: Publication,
        /// Where things are set aside.
        aside: Prefix,
    },
}

/// Where the rows of a window go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Into the stream of this name.
    Stream(String),
    /// To CloudWatch, without a stream between.
    CloudWatch(Publication),
}

/// How rows become metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The namespace of all metrics.
    pub namespace: String,
    /// What requests are counted by.
    pub dimensions: Vec<Dimension>,
}

/// An object in S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
}

/// All objects of a bucket whose keys begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The bucket.
    pub bucket: String,
    /// What the keys begin with.
    pub prefix: String,
}

/// Everything that is wrong with the environment; one problem at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

/// One variable that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable.
    pub variable: &'static str,
    /// What would be right, and what is there.
    pub message: String,
}

impl Settings {
    /// Reads the environment.
    ///
    /// # Errors
    /// If anything in it is wrong. Then it is all that is wrong.
    pub fn from(variable: &impl Fn(&str) -> Option<String>) -> Result<Settings, Problems> {
        let mut reader = Reader { variable, problems: vec![] };
        let settings = reader.settings();
        match settings {
            Some(settings) if reader.problems.is_empty() => Ok(settings),
            _ => Err(Problems(reader.problems)),
        }
    }
}

impl Problems {
    /// Each of them, in the order of the variables' reading.
    #[must_use]
    pub fn each(&self) -> &[Problem] {
        &self.0
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the environment is wrong")?;
        self.0.iter().try_for_each(|Problem { variable, message }| write!(f, "\n  `{variable}` {message}"))
    }
}

struct Reader<'a, F> {
    variable: &'a F,
    problems: Vec<Problem>,
}

impl<F: Fn(&str) -> Option<String>> Reader<'_, F> {
    fn settings(&mut self) -> Option<Settings> {
        let handler = self.given("_HANDLER");
        match handler.as_deref() {
            Some("aggregate") => self.aggregate(),
            Some("publish") => self.publish(),
            Some(other) => {
                self.wrong("_HANDLER", format!("must be `aggregate` or `publish`, not `{other}`"));
                None
            }
            None => {
                self.wrong("_HANDLER", "must be `aggregate` or `publish`".to_owned());
                None
            }
        }
    }

    /// Every variable is read before any of them is missed.
    fn aggregate(&mut self) -> Option<Settings> {
        let bucket = self.bucket("REFERENCE_BUCKET", None);
        let key = self.given("REFERENCE_KEY").unwrap_or_else(|| "HostApplicationMap.csv".to_owned());
        let join_field = self.given("JOIN_FIELD").unwrap_or_else(|| "host".to_owned());
        let target = match self.stream("OUTPUT_STREAM") {
            Some(name) => Some(Target::Stream(name)),
            None => self.publication().map(Target::CloudWatch),
        };
        let aside = self.aside(bucket.clone());
        let reference = Object { bucket: bucket?, key };
        Some(Settings::Aggregate { reference, join_field, target: target?, aside: aside? })
    }

    fn publish(&mut self) -> Option<Settings> {
        let metrics = self.publication();
        let aside = match self.given("REFERENCE_BUCKET") {
            Some(_) => {
                let bucket = self.bucket("REFERENCE_BUCKET", None);
                self.aside(bucket)
            }
            None => self.aside(None),
        };
        Some(Settings::Publish { metrics: metrics?, aside: aside? })
    }

    fn aside(&mut self, default: Option<String>) -> Option<Prefix> {
        let prefix = self.given("SET_ASIDE_PREFIX").unwrap_or_else(|| "set-aside/".to_owned());
        Some(Prefix { bucket: self.bucket("SET_ASIDE_BUCKET", default)?, prefix })
    }

    /// The name of a bucket: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>.
    fn bucket(&mut self, variable: &'static str, default: Option<String>) -> Option<String> {
        let is_fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        match self.given(variable).or(default) {
            Some(name) if (3..=63).contains(&name.len()) && name.chars().all(is_fit) => Some(name),
            Some(name) => {
                self.wrong(
                    variable,
                    format!("must name a bucket, in 3 to 63 of a-z, 0-9, `-`, `.`; not `{name}`"),
                );
                None
            }
            None => {
                self.wrong(variable, "must name a bucket".to_owned());
                None
            }
        }
    }

    /// The name of a stream: <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>.
    fn stream(&mut self, variable: &'static str) -> Option<String> {
        let name = self.given(variable)?;
        let is_fit = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if name.len() > 128 || !name.chars().all(is_fit) {
            self.wrong(
                variable,
                format!("must name a stream, in at most 128 of A-Z, a-z, 0-9, `_`, `.`, `-`; not `{name}`"),
            );
        }
        Some(name)
    }

    fn publication(&mut self) -> Option<Publication> {
        let namespace = self.namespace();
        let dimensions = self.dimensions();
        Some(Publication { namespace: namespace?, dimensions: dimensions? })
    }

    /// A namespace: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html>.
    fn namespace(&mut self) -> Option<String> {
        let name = self.given("NAMESPACE").unwrap_or_else(|| "MyApplicationMonitoringV1.1".to_owned());
        let is_fit = |c: char| c.is_ascii_alphanumeric() || ".-_/#: ".contains(c);
        if name.len() > 255 || !name.chars().all(is_fit) {
            self.wrong(
                "NAMESPACE",
                format!("must have at most 255 of A-Z, a-z, 0-9, `.-_/#:` and space, not `{name}`"),
            );
            return None;
        }
        if name.starts_with("AWS/") || name.starts_with(':') || name.trim().is_empty() {
            self.wrong(
                "NAMESPACE",
                format!("must not be blank and not begin with `AWS/` or `:`, as `{name}` does"),
            );
            return None;
        }
        Some(name)
    }

    fn dimensions(&mut self) -> Option<Vec<Dimension>> {
        let names = self.given("DIMENSIONS").unwrap_or_else(|| "Application,StatusClass".to_owned());
        let before = self.problems.len();
        let mut dimensions = vec![];
        for name in names.split(',').map(str::trim) {
            match Dimension::from_name(name) {
                Some(dimension) if dimensions.contains(&dimension) => {
                    self.wrong(
                        "DIMENSIONS",
                        format!("must name each dimension once; `{name}` is there twice"),
                    );
                }
                Some(dimension) => dimensions.push(dimension),
                None => {
                    let known = Dimension::ALL.map(Dimension::as_str).join(", ");
                    self.wrong("DIMENSIONS", format!("must be some of {known}; `{name}` is none of them"));
                }
            }
        }
        (self.problems.len() == before).then_some(dimensions)
    }

    /// What a variable holds. An empty one is like none: templates cannot leave a variable out.
    fn given(&self, variable: &str) -> Option<String> {
        (self.variable)(variable).filter(|value| !value.is_empty())
    }

    fn wrong(&mut self, variable: &'static str, message: String) {
        self.problems.push(Problem { variable, message });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, Problems> {
        let value = |name: &str| variables.iter().find(|(known, _)| *known == name);
        Settings::from(&|name| value(name).map(|(_, value)| (*value).to_owned()))
    }

    /// The variables of each problem.
    #[track_caller]
    fn check(variables: &[(&str, &str)], expected: &[&str]) {
        let problems = read(variables).err().map_or(vec![], |problems| problems.0);
        let wrong: Vec<&str> = problems.iter().map(|problem| problem.variable).collect();
        assert_eq!(wrong, expected);
    }

    const AGGREGATE: (&str, &str) = ("_HANDLER", "aggregate");
    const PUBLISH: (&str, &str) = ("_HANDLER", "publish");
    const BUCKET: (&str, &str) = ("REFERENCE_BUCKET", "referenced-data");

    fn publication() -> Publication {
        let dimensions = vec![Dimension::Application, Dimension::StatusClass];
        Publication { namespace: "MyApplicationMonitoringV1.1".to_owned(), dimensions }
    }

    fn prefix(bucket: &str, prefix: &str) -> Prefix {
        Prefix { bucket: bucket.to_owned(), prefix: prefix.to_owned() }
    }

    #[test]
    fn only_the_bucket_has_no_default() {
        let expected = Settings::Aggregate {
            reference: Object {
                bucket: "referenced-data".to_owned(),
                key: "HostApplicationMap.csv".to_owned(),
            },
            join_field: "host".to_owned(),
            target: Target::CloudWatch(publication()),
            aside: prefix("referenced-data", "set-aside/"),
        };
        assert_eq!(read(&[AGGREGATE, BUCKET]), Ok(expected));
        let expected =
            Settings::Publish { metrics: publication(), aside: prefix("referenced-data", "set-aside/") };
        assert_eq!(read(&[PUBLISH, BUCKET]), Ok(expected));
    }

    #[test]
    fn every_variable_is_read() {
        let all = [
            AGGREGATE,
            BUCKET,
            ("REFERENCE_KEY", "hosts.csv"),
            ("JOIN_FIELD", "vhost"),
            ("OUTPUT_STREAM", "AggLogDataStream"),
            ("SET_ASIDE_BUCKET", "aside"),
            ("SET_ASIDE_PREFIX", "x/"),
        ];
        let expected = Settings::Aggregate {
            reference: Object { bucket: "referenced-data".to_owned(), key: "hosts.csv".to_owned() },
            join_field: "vhost".to_owned(),
            target: Target::Stream("AggLogDataStream".to_owned()),
            aside: prefix("aside", "x/"),
        };
        assert_eq!(read(&all), Ok(expected));
        let all =
            [PUBLISH, ("SET_ASIDE_BUCKET", "aside"), ("NAMESPACE", "Logs"), ("DIMENSIONS", "Contact, Code")];
        let dimensions = vec![Dimension::Contact, Dimension::Code];
        let expected = Settings::Publish {
            metrics: Publication { namespace: "Logs".to_owned(), dimensions },
            aside: prefix("aside", "set-aside/"),
        };
        assert_eq!(read(&all), Ok(expected));
    }

    #[test]
    fn every_problem_is_told_at_once() {
        check(
            &[AGGREGATE, ("OUTPUT_STREAM", "a b")],
            &["REFERENCE_BUCKET", "OUTPUT_STREAM", "SET_ASIDE_BUCKET"],
        );
        check(
            &[PUBLISH, ("NAMESPACE", "AWS/Logs"), ("DIMENSIONS", "Code,Cod,Code"), ("SET_ASIDE_BUCKET", "A")],
            &["NAMESPACE", "DIMENSIONS", "DIMENSIONS", "SET_ASIDE_BUCKET"],
        );
    }

    #[test]
    fn an_empty_variable_is_like_none() {
        check(
            &[AGGREGATE, ("REFERENCE_BUCKET", ""), ("OUTPUT_STREAM", "")],
            &["REFERENCE_BUCKET", "SET_ASIDE_BUCKET"],
        );
        check(&[PUBLISH, BUCKET, ("DIMENSIONS", ""), ("NAMESPACE", "")], &[]);
    }

    #[test]
    fn a_function_that_there_is_not_is_refused_with_those_that_there_are() {
        let told = |variables| read(variables).unwrap_err().to_string();
        let expected =
            "the environment is wrong\n  `_HANDLER` must be `aggregate` or `publish`, not `bootstrap`";
        assert_eq!(told(&[("_HANDLER", "bootstrap")]), expected);
        assert!(told(&[]).contains("`aggregate` or `publish`"));
    }

    #[test]
    fn names_of_the_services_have_their_rules() {
        for namespace in [":x", " ", "caf\u{e9}", &"x".repeat(256)] {
            check(&[PUBLISH, BUCKET, ("NAMESPACE", namespace)], &["NAMESPACE"]);
        }
        for bucket in ["ab", "Upper", "under_score", &"x".repeat(64)] {
            check(&[PUBLISH, ("SET_ASIDE_BUCKET", bucket)], &["SET_ASIDE_BUCKET"]);
        }
    }
}

//! What `agent.json` means: the settings that the steps accept, or everything that is wrong with it.
//!
//! Reading a configuration touches nothing else: no directory is made, no host looked up, no variable of the
//! environment read. The steps do not know this module.
//!
//! In reading order: [`key`] says what is to be known of a key, [`keys`] is the table of them; `raw` reads a file
//! as it is written, `coerce` one value of it, `suggest` finds the key that was meant; `section` reads one object by
//! the table; `agent`, `flow` and `drop_in` make of it what the steps accept; [`problem`] is what may be wrong, and
//! `explain` says where each value is from.

mod agent;
mod coerce;
mod drop_in;
mod explain;
mod flow;
mod gather;
pub mod key;
pub mod keys;
pub mod problem;
mod raw;
mod section;
mod step;
mod suggest;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use agent::Agent;
pub use explain::{Explained, Setting, Whence};
pub use flow::Flow;
pub use problem::{Problem, Problems, Severity, Spot};

use crate::config::flow::Allowance;
use crate::config::key::Holder;
use crate::config::keys::{FEWEST_OPEN_FILES, SMALLEST_REQUEST_BYTES};
use crate::config::raw::{Document, Node, Value};
use crate::config::section::Section;
use crate::send::StreamArn;

/// What the agent is to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// What holds for all flows.
    pub agent: Agent,
    /// The flows; one at least, and no two with the same id or name.
    pub flows: Vec<Flow>,
    /// What may not be as it was meant.
    pub warnings: Vec<Problem>,
    /// What has no effect, and of which nothing is missing.
    pub notes: Vec<Problem>,
    /// Where all of it was read, and can be read again.
    pub sources: Sources,
}

/// Where a configuration is read from, and what the environment adds to it.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The main file.
    pub main: PathBuf,
    /// The directory of files that add flows, if there is one.
    pub drop_ins: Option<PathBuf>,
    /// The state directory, if the configuration does not name one.
    pub state_directory: Option<PathBuf>,
}

/// Reads a configuration.
///
/// # Errors
/// If anything is wrong that keeps the agent from doing what was meant: then everything that is.
pub fn load(sources: &Sources) -> Result<Config, Problems> {
    Ok(read(sources)?.0)
}

/// Reads a configuration, and says what every key in it comes to.
///
/// # Errors
/// As [`load`].
pub fn explain(sources: &Sources) -> Result<(Config, Vec<Explained>), Problems> {
    let (config, Documents { main, drop_ins }) = read(sources)?;
    let mut explained = vec![explain::agent(&main.file, &main.root, sources)];
    let objects = items(&main, &drop_ins).into_iter().filter_map(|(file, item)| match &item.value {
        Value::Object(object) => Some((file, object)),
        Value::Null | Value::Flag(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => None,
    });
    // Each object has become a flow, or there would be a problem.
    for ((file, object), flow) in objects.zip(&config.flows) {
        explained.extend(explain::flow(file, object, &flow.name, flow.batch.limits.bytes()));
    }
    Ok((config, explained))
}

/// The files of a configuration.
struct Documents {
    main: Document,
    drop_ins: Vec<Document>,
}

fn read(sources: &Sources) -> Result<(Config, Documents), Problems> {
    let mut problems = Vec::new();
    let documents = documents(sources, &mut problems);
    let made = documents.as_ref().map(|documents| make(sources, documents, &mut problems));
    problems.sort();
    problems.dedup();
    let (notes, problems) = problems.into_iter().partition(|problem| problem.severity == Severity::Note);
    let warnings = Problems::stop_unless_harmless(problems)?;
    let (agent, flows) = made.expect("what is missing has been told as an error");
    let documents = documents.expect("as above");
    Ok((Config { agent, flows, warnings, notes, sources: sources.clone() }, documents))
}

fn documents(sources: &Sources, problems: &mut Vec<Problem>) -> Option<Documents> {
    let main = raw::read(&sources.main).map_err(|problem| problems.push(problem)).ok()?;
    let drop_ins = drop_in::read(sources.drop_ins.as_deref(), problems);
    warn_of_surplus(&main, problems);
    Some(Documents { main, drop_ins })
}

/// The items of `flows` of all files.
fn items<'a>(main: &'a Document, drop_ins: &'a [Document]) -> Vec<(&'a Path, &'a Node)> {
    let of = |document: &'a Document| {
        drop_in::flows(document).iter().map(move |item| (document.file.as_path(), item))
    };
    std::iter::once(main).chain(drop_ins).flat_map(of).collect()
}

fn make(
    sources: &Sources,
    Documents { main, drop_ins }: &Documents,
    problems: &mut Vec<Problem>,
) -> (Agent, Vec<Flow>) {
    let mut section = Section::new(&main.file, Holder::Agent, &main.root);
    let mut agent = agent::agent(&mut section, sources.state_directory.clone());
    let region = agent.kinesis.named_region();
    let items = items(main, drop_ins);
    // A value of another kind has been told.
    if items.is_empty() && (section.is_given("flows") || !section.has("flows")) {
        section.error("flows", "there are no flows: `flows` must hold one at least");
    }
    let allowance = Allowance {
        state_directory: &agent.state_directory,
        request_bytes: request_ceiling(&mut section, agent.max_memory_bytes, items.len()),
        names_firehose: agent.kinesis.firehose_region.is_some() || agent.kinesis.firehose_endpoint.is_some(),
        open_files: open_files(&mut section, agent.max_open_files, items.len()),
        region: region.as_deref(),
    };
    problems.extend(section.into_problems());

    let mut flows = Vec::new();
    let mut known = Known::default();
    for (file, item) in items {
        let Value::Object(object) = &item.value else {
            let text = format!("`flows` must hold objects, not {}", item.value.describe());
            problems.push(Problem::error(file, item.spot, text));
            continue;
        };
        if let Some(flow) = flow::flow(file, object, allowance, problems) {
            known.add(file, item, &flow, problems);
            flows.push(flow);
        }
    }
    if region.is_none() {
        let regions = flows.iter().filter_map(|flow| StreamArn::parse(flow.destination.name()));
        agent.kinesis.region_of_streams = regions.map(|arn| arn.region.to_owned()).next();
    }
    (agent, flows)
}

fn warn_of_surplus(document: &Document, problems: &mut Vec<Problem>) {
    if let Some(spot) = document.surplus {
        let text = "what stands behind the end of the object has no effect";
        problems.push(Problem::warning(&document.file, spot, text));
    }
}

/// How many bytes one request may hold: a third of a flow's share of the memory, so that a block that was read, its
/// batch and its request fit in beside each other.
fn request_ceiling(section: &mut Section<'_>, max_memory_bytes: usize, flows: usize) -> usize {
    let flows = flows.max(1);
    let ceiling = max_memory_bytes / flows / 3;
    let least = usize::try_from(SMALLEST_REQUEST_BYTES).unwrap_or_default();
    if ceiling < least {
        refuse_share(section, "maxMemoryBytes", 3 * least, flows, max_memory_bytes);
    }
    ceiling
}

/// How many files each flow may have open.
fn open_files(section: &mut Section<'_>, max_open_files: usize, flows: usize) -> usize {
    let flows = flows.max(1);
    let share = max_open_files / flows;
    let least = usize::try_from(FEWEST_OPEN_FILES).unwrap_or_default();
    if share < least {
        refuse_share(section, "maxOpenFiles", least, flows, max_open_files);
    }
    share
}

/// Notes that what `key` gives to all flows together is less than `least` for each.
fn refuse_share(section: &mut Section<'_>, key: &'static str, least: usize, flows: usize, given: usize) {
    let count = if flows == 1 { "1 flow".to_owned() } else { format!("{flows} flows") };
    section.error(key, format!("`{key}` must be at least {} for {count}, not {given}", least * flows));
}

/// What tells flows apart, and where each was first seen.
#[derive(Default)]
struct Known(BTreeMap<String, String>);

impl Known {
    fn add(&mut self, file: &Path, item: &Node, flow: &Flow, problems: &mut Vec<Problem>) {
        let here = format!("{}:{}", file.display(), item.spot);
        let id = flow.id.to_string();
        if let Some(other) = self.0.insert(format!("id {id}"), here.clone()) {
            let text =
                format!("this flow takes the same files to the same stream as the one at {other}: {id}");
            problems.push(Problem::error(file, item.spot, text));
        } else if let Some(other) = self.0.insert(format!("name {}", flow.name), here) {
            let text = format!("this flow has the same name as the one at {other}: {}", flow.name);
            problems.push(Problem::error(file, item.spot, text));
        }
    }
}

#[cfg(test)]
mod tests;

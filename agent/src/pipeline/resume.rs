//! Where each flow goes on, by what is known of those that ran before.

use tracing::{info, warn};

use crate::checkpoint::{Found, Parked, State};
use crate::config::Flow;
use crate::position::FlowId;
use crate::source::Resume;

/// Where each flow goes on. A flow that is new inherits the positions of one that vanished, if that had the same
/// destination or the same pattern: it was edited. Gives what is left of what was found, too.
pub(super) fn resume(flows: &[Flow], found: Found) -> (Vec<Resume>, Parked) {
    let mut known = match found {
        Found::State(State { flows, .. }) => flows,
        Found::Nothing => return (vec![Resume::FirstStart; flows.len()], Parked::new()),
        Found::Damaged => {
            for flow in flows {
                warn!(
                    file = flow.source.pattern.as_text(),
                    "no checkpoint can be trusted; reads all these files \
                      from their beginning, and sends again what was sent of them"
                );
            }
            return (vec![Resume::From(Vec::new()); flows.len()], Parked::new());
        }
    };
    let mut resumes: Vec<Option<Resume>> = vec![None; flows.len()];
    let mut take = |fits: &dyn Fn(&FlowId, &FlowId) -> bool| {
        for (flow, resume) in flows.iter().zip(&mut resumes).filter(|(_, resume)| resume.is_none()) {
            if let Some(at) = known.iter().position(|(id, _)| fits(id, &flow.id)) {
                let (id, files) = known.remove(at);
                if id != flow.id {
                    info!(
                        "flow {} takes over the positions of {id}, which is not configured any more",
                        flow.id
                    );
                }
                *resume = Some(Resume::From(files));
            }
        }
    };
    take(&|known, flow| known == flow);
    take(&|known, flow| known.pattern() == flow.pattern());
    take(&|known, flow| known.destination() == flow.destination());
    let resumes = resumes.into_iter().map(|resume| resume.unwrap_or(Resume::FirstStart)).collect();
    (resumes, known)
}

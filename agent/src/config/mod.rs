//! What `agent.json` means.

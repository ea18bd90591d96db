//! The mails that a workflow can ask for.

/// The templates that a status may name. The role "state-machine" refuses a workflow that names another; the role "notification" has a
/// text for each, in each of its languages: `status` names the status, `courier` also who comes, and when, where that is known.
pub const TEMPLATES: &[&str] = &["status", "courier"];

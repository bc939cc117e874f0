//! Fields that an applier sets to another value than their owner did.

use api_types::status::{Cause, Details, Reason, Status};

use super::{
    element::path_text,
    managers::{Manager, Operation},
    set::Set,
};

/// One owner, and the fields that it would lose.
#[derive(Clone, Debug)]
pub struct Conflict {
    pub manager: Manager,
    pub fields: Set,
}

/// The answer to an apply that meets them: 409 with a cause for each field.
pub fn status(mut conflicts: Vec<Conflict>) -> Status {
    conflicts.sort_by_key(|conflict| identity(&conflict.manager));
    let with_paths: Vec<_> = conflicts.iter().map(|c| (shown(&c.manager), paths(&c.fields))).collect();
    let causes: Vec<_> = with_paths
        .iter()
        .flat_map(|(manager, paths)| {
            paths.iter().map(move |path| Cause {
                reason: "FieldManagerConflict".into(),
                message: format!("conflict with {manager}"),
                field: path.clone(),
            })
        })
        .collect();
    let message = match causes.as_slice() {
        [only] => format!("Apply failed with 1 conflict: {}: {}", only.message, only.field),
        all => {
            let mut lines = Vec::new();
            for (manager, paths) in &with_paths {
                lines.push(format!("conflicts with {manager}:"));
                lines.extend(paths.iter().map(|path| format!("- {path}")));
            }
            format!("Apply failed with {} conflicts: {}", all.len(), lines.join("\n"))
        }
    };
    Status::failure(409, Reason::Conflict, message).with_details(Details { causes, ..Details::default() })
}

fn paths(fields: &Set) -> Vec<String> {
    let mut paths = Vec::new();
    fields.each(&mut |path| paths.push(path_text(path)));
    paths
}

/// What upstream sorts managers by: the JSON of the entry without its fields.
fn identity(manager: &Manager) -> (String, Operation, String, String) {
    (manager.name.clone(), manager.operation, manager.api_version.clone(), manager.subresource.clone())
}

fn shown(manager: &Manager) -> String {
    let mut text = format!("{:?}", manager.name);
    if !manager.subresource.is_empty() {
        text += &format!(" with subresource {:?}", manager.subresource);
    }
    if manager.operation == Operation::Update {
        text += &format!(" using {}", manager.api_version);
    }
    text
}

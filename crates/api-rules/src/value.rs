//! Small steps on JSON values that defaults and update rules are written in.

use serde_json::{Map, Value};

/// The value at a path of member names.
pub fn at<'a>(object: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, name| value.get(name))
}

/// The text at a path; `""` if there is none.
pub fn text<'a>(object: &'a Value, path: &[&str]) -> &'a str {
    at(object, path).and_then(Value::as_str).unwrap_or_default()
}

/// The items of the list at a path.
pub fn items<'a>(object: &'a Value, path: &[&str]) -> &'a [Value] {
    at(object, path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The members of `object`, which becomes an object if it is none.
pub fn members(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    object.as_object_mut().expect("made an object above")
}

/// The member `name`, created empty if missing.
pub fn child<'a>(object: &'a mut Value, name: &str) -> &'a mut Value {
    members(object).entry(name).or_insert_with(|| Value::Object(Map::new()))
}

/// Sets the value at a path, making the objects on the way.
pub fn set(object: &mut Value, path: &[&str], value: Value) {
    if let [way @ .., last] = path {
        let parent = way.iter().fold(object, |parent, name| child(parent, name));
        members(parent).insert((*last).to_owned(), value);
    }
}

/// Sets the member `name` if it is unset.
pub fn default(object: &mut Value, name: &str, value: impl Into<Value>) {
    let members = members(object);
    if members.get(name).is_none_or(Value::is_null) {
        members.insert(name.to_owned(), value.into());
    }
}

/// Removes the value at a path, if it is there.
pub fn remove(object: &mut Value, path: &[&str]) -> Option<Value> {
    let (last, way) = path.split_last()?;
    let parent = way.iter().try_fold(object, |value, name| value.get_mut(name))?;
    parent.as_object_mut()?.shift_remove(*last)
}

/// Makes `new` have at `path` what `old` has there, or nothing.
pub fn copy(new: &mut Value, old: &Value, path: &[&str]) {
    match at(old, path) {
        Some(value) => set(new, path, value.clone()),
        None => drop(remove(new, path)),
    }
}

/// Makes every member of `new` that of `old`, save those in `kept`.
pub fn copy_all_but(new: &mut Value, old: &Value, kept: &[&str]) {
    let members = members(new);
    members.retain(|name, _| kept.contains(&name.as_str()));
    for (name, value) in old.as_object().into_iter().flatten() {
        if !kept.contains(&name.as_str()) {
            members.insert(name.clone(), value.clone());
        }
    }
}

/// Calls `change` on each item of the list `name`.
pub fn each(object: &mut Value, name: &str, mut change: impl FnMut(&mut Value)) {
    if let Some(items) = object.get_mut(name).and_then(Value::as_array_mut) {
        items.iter_mut().for_each(&mut change);
    }
}

/// A time as `metav1.Time` is written.
pub fn time(time: jiff::Timestamp) -> Value {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()
}

/// A scalar as a field selector compares it.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

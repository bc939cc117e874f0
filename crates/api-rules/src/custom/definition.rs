//! What a CustomResourceDefinition says, read for serving.
//!
//! Definitions that another server wrote may hold what this one refuses to take in. Of those with conversion by webhook the stored
//! version alone is served; where there are rules in CEL, every write is answered with a warning.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use serde_json::{Value, json};

use super::{
    json_path::JsonPath,
    kind::{CustomColumn, CustomKind, Versions},
    schema::Schema,
};
use crate::{
    columns,
    intern::{self, Full},
    kind::{Column, KindRef, Names, ScalePaths, Scope, SelectorPath, Storage, Subresource},
    typed::{GET_PATCH_UPDATE, STORED},
    value,
};

/// What may still be done while the definition goes away: nothing new, but whoever holds an instance must be able to let go.
const TERMINATING: &[&str] = &["delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The kinds of one definition.
pub struct Definition {
    /// One for each version that is served.
    pub served: Vec<Arc<CustomKind>>,
    /// The version that is stored, served or not.
    pub stored: Arc<CustomKind>,
}

impl Definition {
    /// Reads a definition that was validated. Its accepted names count, and where there are none yet the wanted ones.
    ///
    /// # Errors
    /// When there is no room for more names, or no version is stored.
    pub fn read(crd: &Value) -> Result<Self, ReadError> {
        let versions = value::items(crd, &["spec", "versions"]);
        let stored = versions.iter().find(|version| version["storage"] == true).ok_or(ReadError::NoStorage)?;
        let shared = Shared::read(crd, versions, value::text(stored, &["name"]))?;
        let converts = value::text(crd, &["spec", "conversion", "strategy"]) != "Webhook";
        let is_served = |version: &Value| version["served"] == true && (converts || version["storage"] == true);
        let kinds: Vec<(bool, Arc<CustomKind>)> = versions
            .iter()
            .filter(|version| is_served(version) || version["storage"] == true)
            .map(|version| Ok((is_served(version), Arc::new(shared.kind(crd, version)?))))
            .collect::<Result<_, Full>>()?;
        let stored = kinds.iter().find(|(_, kind)| kind.is_stored()).map(|(_, kind)| kind.clone());
        Ok(Self {
            stored: stored.ok_or(ReadError::NoStorage)?,
            served: kinds.into_iter().filter(|(served, _)| *served).map(|(_, kind)| kind).collect(),
        })
    }

    pub fn stored_kind(&self) -> KindRef {
        KindRef::Custom(self.stored.clone())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(transparent)]
    Full(#[from] Full),
    #[error("no version is stored")]
    NoStorage,
}

/// What of a definition decides about the bytes that are served of its objects: while it stays the same, objects that were
/// read stay as they are.
pub fn served_form(crd: &Value) -> Value {
    let versions = value::items(crd, &["spec", "versions"]).iter();
    let form = |version: &Value| {
        json!({
            "name": version["name"], "storage": version["storage"], "schema": version["schema"],
            "selectableFields": version["selectableFields"],
        })
    };
    json!({
        "preserves": crd["spec"]["preserveUnknownFields"],
        "uid": crd["metadata"]["uid"], "names": names_of(crd)["kind"], "scope": crd["spec"]["scope"],
        "versions": versions.map(form).collect::<Vec<_>>(),
    })
}

/// The accepted names, or the wanted ones before any are.
fn names_of(crd: &Value) -> &Value {
    match value::at(crd, &["status", "acceptedNames"]) {
        Some(accepted) if !value::text(accepted, &["plural"]).is_empty() => accepted,
        _ => &crd["spec"]["names"],
    }
}

/// What the versions have in common.
struct Shared {
    /// With the version left empty.
    names: Names,
    scope: Scope,
    storage: Storage,
    terminating: bool,
    versions: Arc<Versions>,
    stored_fields: &'static [&'static str],
}

impl Shared {
    fn read(crd: &Value, versions: &[Value], stored: &str) -> Result<Self, Full> {
        let (spec, names) = (&crd["spec"], names_of(crd));
        let (group, plural) = (intern::text(value::text(spec, &["group"]))?, value::text(names, &["plural"]));
        let kind = value::text(names, &["kind"]);
        let or = |given: &str, otherwise: String| if given.is_empty() { otherwise } else { given.to_owned() };
        let texts = |name: &str| intern::list(value::items(names, &[name]).iter().filter_map(Value::as_str));
        let mut schemas = BTreeMap::new();
        for version in versions {
            let schema = Arc::new(Schema::read(&version["schema"]["openAPIV3Schema"]));
            schemas.insert(intern::text(value::text(version, &["name"]))?, schema);
        }
        let mut fields: Vec<&str> = versions.iter().flat_map(selectable).collect();
        fields.sort_unstable();
        fields.dedup();
        Ok(Self {
            names: Names {
                group,
                version: "",
                kind: intern::text(kind)?,
                list_kind: intern::text(&or(value::text(names, &["listKind"]), format!("{kind}List")))?,
                plural: intern::text(plural)?,
                singular: intern::text(&or(value::text(names, &["singular"]), kind.to_lowercase()))?,
                short_names: texts("shortNames")?,
                categories: texts("categories")?,
            },
            scope: if spec["scope"] == "Cluster" { Scope::Cluster } else { Scope::Namespaced },
            storage: Storage { prefix: intern::text(&format!("{group}/{plural}"))?, cached: true },
            terminating: condition(crd, "Terminating"),
            versions: Arc::new(Versions {
                stored: intern::text(stored)?,
                schemas,
                keeps_all: spec["preserveUnknownFields"] == true,
            }),
            stored_fields: intern::list(fields)?,
        })
    }

    fn kind(&self, crd: &Value, version: &Value) -> Result<CustomKind, Full> {
        let name = intern::text(value::text(version, &["name"]))?;
        let names = Names { version: name, ..self.names };
        let subresources = &version["subresources"];
        let mut below = Vec::new();
        if subresources["status"].is_object() {
            let Names { group, version, kind, .. } = names;
            below.push(Subresource { name: "status", group, version, kind, verbs: GET_PATCH_UPDATE });
        }
        let scale = scale(&subresources["scale"])?;
        if scale.is_some() {
            let (group, version, kind) = ("autoscaling", "v1", "Scale");
            below.push(Subresource { name: "scale", group, version, kind, verbs: GET_PATCH_UPDATE });
        }
        let schema = &version["schema"]["openAPIV3Schema"];
        Ok(CustomKind {
            definition: definition_name(&names),
            deprecation: deprecation(crd, version, &names),
            scope: self.scope,
            storage: self.storage,
            verbs: if self.terminating { TERMINATING } else { STORED },
            subresources: below,
            scale,
            fields: intern::list(selectable(version))?,
            stored_fields: self.stored_fields,
            columns: columns(version),
            has_rules: has_rules(schema),
            published: schema.to_string().into(),
            versions: self.versions.clone(),
            typing: OnceLock::new(),
            names,
        })
    }
}

/// Whether there are rules in CEL anywhere in a schema.
fn has_rules(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => members.iter().any(|(name, member)| {
            (name == "x-kubernetes-validations" && member.as_array().is_some_and(|rules| !rules.is_empty()))
                || has_rules(member)
        }),
        Value::Array(items) => items.iter().any(has_rules),
        _ => false,
    }
}

/// Whether a condition of a definition holds.
pub fn condition(crd: &Value, type_: &str) -> bool {
    value::items(crd, &["status", "conditions"]).iter().any(|c| c["type"] == type_ && c["status"] == "True")
}

/// The selectable fields of a version, without the dot in front.
fn selectable(version: &Value) -> impl Iterator<Item = &str> {
    let fields = value::items(version, &["selectableFields"]).iter();
    fields.filter_map(|field| field["jsonPath"].as_str()).map(|path| path.trim_start_matches('.'))
}

fn scale(scale: &Value) -> Result<Option<ScalePaths>, Full> {
    if !scale.is_object() {
        return Ok(None);
    }
    let path = |name: &str| intern::list(value::text(scale, &[name]).split('.').filter(|step| !step.is_empty()));
    Ok(Some(ScalePaths {
        spec_replicas: path("specReplicasPath")?,
        status_replicas: path("statusReplicasPath")?,
        selector: match path("labelSelectorPath")? {
            [] => SelectorPath::None,
            path => SelectorPath::Text(path),
        },
    }))
}

fn deprecation(crd: &Value, version: &Value, names: &Names) -> Option<Box<str>> {
    if version["deprecated"] != true {
        return None;
    }
    let group = value::text(crd, &["spec", "group"]);
    Some(match version["deprecationWarning"].as_str() {
        Some(text) => text.into(),
        None => format!("{group}/{} {} is deprecated", names.version, names.kind).into(),
    })
}

/// `com.example.stable.v1.CronTab`: the domain turned round, so that names of one owner stand together.
fn definition_name(names: &Names) -> Box<str> {
    let mut parts: Vec<&str> = names.group.split('.').collect();
    parts.reverse();
    parts.extend([names.version, names.kind]);
    parts.join(".").into()
}

fn columns(version: &Value) -> Vec<CustomColumn> {
    let name = Column {
        name: Cow::Borrowed("Name"),
        type_: Cow::Borrowed("string"),
        format: Cow::Borrowed("name"),
        description: Cow::Borrowed(columns::describe("Name")),
        priority: 0,
    };
    let mut all = vec![CustomColumn::new(name, ".metadata.name")];
    let given = value::items(version, &["additionalPrinterColumns"]);
    if given.is_empty() {
        let age = Column {
            name: Cow::Borrowed("Age"),
            type_: Cow::Borrowed("date"),
            format: Cow::Borrowed(""),
            description: Cow::Borrowed(columns::describe("Age")),
            priority: 0,
        };
        all.push(CustomColumn::new(age, ".metadata.creationTimestamp"));
    }
    let text = |column: &Value, name: &str| value::text(column, &[name]).to_owned();
    all.extend(given.iter().map(|column| {
        let path = text(column, "jsonPath");
        let description = match text(column, "description") {
            empty if empty.is_empty() => format!("Custom resource definition column (in JSONPath format): {path}"),
            description => description,
        };
        let head = Column {
            name: text(column, "name").into(),
            type_: text(column, "type").into(),
            format: text(column, "format").into(),
            description: description.into(),
            priority: column["priority"].as_i64().unwrap_or(0) as i32,
        };
        CustomColumn::new(head, &path)
    }));
    all
}

impl CustomColumn {
    fn new(head: Column, path: &str) -> Self {
        Self { path: JsonPath::parse(path).ok(), head }
    }
}

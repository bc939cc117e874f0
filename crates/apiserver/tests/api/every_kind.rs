//! One row for every stored kind: a generated object goes through every way to write and read it.
//!
//! `cargo test -p apiserver --test api every_kind -- --nocapture` prints the rows. A row that fails names kind, seed and
//! step; `SEED=…` runs that seed alone.

use std::time::Duration;

use api_rules::{Kind, Scope, kinds};
use http::header;
use serde_json::{Value, json};
use testkit::objects;

use crate::harness::{Answer, Api, Watch, request};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
const COLUMNS: &str = include_str!("../../../api-rules/data/columns.tsv");
const SEEDS: [u64; 2] = [1, 2];
/// Of the paused clock: what has not happened by then never will.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(start_paused = true)]
async fn every_kind_passes_every_way() {
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => SEEDS.to_vec(),
    };
    let mut failed = Vec::new();
    for seed in seeds {
        let api = Api::start().await;
        println!("seed {seed}");
        for kind in kinds::all().iter().filter(|k| k.storage().is_some() && k.verbs().contains(&"create")) {
            let names = kind.names();
            let title = format!("{} {}", names.api_version(), names.kind);
            match Row::new(&api, *kind, seed).run().await {
                Ok(ways) => println!("{title:<62} {ways}"),
                Err(why) => failed.push(format!("{title}, seed {seed}: {why}")),
            }
        }
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

struct Row<'a> {
    api: &'a Api,
    kind: &'static dyn Kind,
    seed: u64,
    /// Of the collection.
    path: String,
}

type Outcome<T> = Result<T, String>;

impl<'a> Row<'a> {
    fn new(api: &'a Api, kind: &'static dyn Kind, seed: u64) -> Self {
        let names = kind.names();
        let root = if names.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", names.group) };
        let namespace = if kind.scope() == Scope::Namespaced { "/namespaces/default" } else { "" };
        let path = format!("{root}/{}{namespace}/{}", names.version, names.plural);
        Self { api, kind, seed, path }
    }

    /// The ways that were gone, for people to read.
    async fn run(&self) -> Outcome<String> {
        let sent = objects::object(self.kind, 1, self.seed).ok_or("there is no sample of this kind")?;
        let path = format!("{}/{}", self.path, text(&sent["metadata"]["name"]));
        let mine = format!("seed={}", self.seed);
        let mut watch = self.api.watch(&format!("{}?watch=1&labelSelector={mine}", self.path)).await;
        let created = self.create(&sent, &path).await?;
        self.seen(&mut watch, "ADDED").await?;
        let created = self.settled(created, &path, &mut watch).await?;
        self.listed(&format!("labelSelector={mine}"), &created).await?;
        let fields = self.select_by_fields(&created).await?;
        self.update(&path, &mut watch).await?;
        self.patch(&path, &mut watch).await?;
        self.apply(&path, &sent["metadata"]["name"]).await?;
        self.table(&path).await?;
        self.delete(&path, &mut watch).await?;
        let collection = if self.kind.verbs().contains(&"deletecollection") {
            self.delete_collection().await?;
            "collection"
        } else {
            "-"
        };
        Ok(format!(
            "create read list watch fields({fields}) update json merge strategic apply table dry-run delete {collection}"
        ))
    }

    async fn create(&self, sent: &Value, path: &str) -> Outcome<Value> {
        let tried = self.api.post(&format!("{}?dryRun=All", self.path), sent.clone()).await;
        code(tried, 201, "dry-run of create")?;
        code(self.api.get(path).await, 404, "get after a dry-run")?;
        let answer = self.api.post(&self.path, sent.clone()).await;
        let warnings: Vec<_> = answer.headers.get_all(header::WARNING).iter().filter_map(|w| w.to_str().ok()).collect();
        if self.kind.not_enforced().is_some() && !warnings.iter().any(|w| w.contains("is stored but not enforced")) {
            return Err(format!("create of what is not enforced warns: {warnings:?}"));
        }
        let created = code(answer, 201, "create")?;
        for (member, value) in sent.as_object().into_iter().flatten() {
            let servers_own = matches!(member.as_str(), "metadata" | "status" | "stringData");
            if !servers_own && !contains(&created[member], value) {
                return Err(format!("create keeps {member}: sent {value}, got {}", created[member]));
            }
        }
        Ok(created)
    }

    /// The object as it is read when the server itself has done with it: definitions it establishes at once.
    async fn settled(&self, created: Value, path: &str, watch: &mut Watch) -> Outcome<Value> {
        if self.kind.names().kind != "CustomResourceDefinition" {
            let read = code(self.api.get(path).await, 200, "get")?;
            same(&read, &created, "get answers what create did")?;
            return Ok(created);
        }
        loop {
            let event = tokio::time::timeout(PATIENCE, watch.next()).await.map_err(|_| "it is never established")?;
            let event = event.ok_or("watch ends before it is established")?;
            let is_established = |c: &Value| c["type"] == "Established" && c["status"] == "True";
            let conditions = event["object"]["status"]["conditions"].as_array().cloned().unwrap_or_default();
            if conditions.iter().any(is_established) {
                return code(self.api.get(path).await, 200, "get");
            }
        }
    }

    async fn seen(&self, watch: &mut Watch, type_: &str) -> Outcome<Value> {
        loop {
            let event = tokio::time::timeout(PATIENCE, watch.next()).await;
            let event = event.map_err(|_| format!("watch: no {type_}"))?.ok_or(format!("watch ends before {type_}"))?;
            match text(&event["type"]) {
                found if found == type_ => return Ok(event),
                // Controllers of the server itself may write in between.
                "MODIFIED" => {}
                other => return Err(format!("watch: {other} instead of {type_}")),
            }
        }
    }

    /// Whether a list by `selector` has just this object.
    async fn listed(&self, selector: &str, wanted: &Value) -> Outcome<()> {
        let list = code(self.api.get(&format!("{}?{selector}", self.path)).await, 200, selector)?;
        let found =
            list["items"].as_array().into_iter().flatten().find(|i| i["metadata"]["uid"] == wanted["metadata"]["uid"]);
        let found = found.ok_or(format!("list by {selector} lacks the object"))?;
        let bare = |object: &Value| {
            let mut object = object.clone();
            let members = object.as_object_mut().expect("an object");
            members.retain(|name, _| name != "apiVersion" && name != "kind");
            object
        };
        same(&bare(found), &bare(wanted), selector)
    }

    /// Lists by each selectable field; answers how many there are.
    async fn select_by_fields(&self, created: &Value) -> Outcome<usize> {
        let mut fields = vec!["metadata.name"];
        fields.extend((self.kind.scope() == Scope::Namespaced).then_some("metadata.namespace"));
        fields.extend(self.kind.selectable_fields());
        for field in &fields {
            let value = self.kind.field(created, field).ok_or(format!("{field} has no value"))?;
            let value = encoded(&value);
            self.listed(&format!("fieldSelector={field}%3D{value}"), created).await?;
            let without = format!("{}?fieldSelector={field}!%3D{value}", self.path);
            let without = code(self.api.get(&without).await, 200, field)?;
            let uid = &created["metadata"]["uid"];
            if without["items"].as_array().into_iter().flatten().any(|item| item["metadata"]["uid"] == *uid) {
                return Err(format!("list by {field}!={value} has the object"));
            }
        }
        Ok(fields.len())
    }

    async fn update(&self, path: &str, watch: &mut Watch) -> Outcome<()> {
        let mut object = code(self.api.get(path).await, 200, "get")?;
        object["metadata"]["labels"]["put"] = json!("1");
        let updated = code(self.api.put(path, &object).await, 200, "update")?;
        if updated["metadata"]["resourceVersion"] == object["metadata"]["resourceVersion"] {
            return Err("update keeps the resourceVersion".to_owned());
        }
        self.labelled(&updated, "put")?;
        self.seen(watch, "MODIFIED").await?;
        // The version that was read is no longer the newest.
        object["metadata"]["labels"]["put"] = json!("2");
        code(self.api.put(path, &object).await, 409, "update of an old version").map(drop)
    }

    async fn patch(&self, path: &str, watch: &mut Watch) -> Outcome<()> {
        let label = |name: &str| json!({"metadata": {"labels": {name: "1"}}});
        for (type_, body) in [
            ("json", json!([{"op": "add", "path": "/metadata/labels/json", "value": "1"}])),
            ("merge", label("merge")),
            ("strategic-merge", label("strategic-merge")),
        ] {
            let patched = code(self.api.patch(path, type_, body).await, 200, &format!("{type_} patch"))?;
            self.labelled(&patched, type_)?;
            self.seen(watch, "MODIFIED").await?;
        }
        let tried = self.api.patch(&format!("{path}?dryRun=All"), "merge", label("dry")).await;
        self.labelled(&code(tried, 200, "dry-run of patch")?, "dry")?;
        let read = code(self.api.get(path).await, 200, "get")?;
        ["put", "json", "merge", "strategic-merge"].iter().try_for_each(|name| self.labelled(&read, name))?;
        if read["metadata"]["labels"].get("dry").is_some() {
            return Err("the dry-run of a patch was stored".to_owned());
        }
        Ok(())
    }

    /// Two managers want different things of one label; the second takes it over by force.
    async fn apply(&self, path: &str, name: &Value) -> Outcome<()> {
        let names = self.kind.names();
        let apply = async |query: &str, labels: Value| {
            let body = json!({"apiVersion": names.api_version(), "kind": names.kind, "metadata": {"name": name, "labels": labels}});
            let headers = [("content-type", "application/apply-patch+yaml")];
            self.api.send(request("PATCH", &format!("{path}?{query}"), &headers, body.to_string().into())).await
        };
        let first = code(apply("fieldManager=first", json!({"applied": "1"})).await, 200, "apply")?;
        self.labelled(&first, "applied")?;
        let refused = apply("fieldManager=second", json!({"applied": "2"})).await;
        let conflict = code(refused, 409, "apply of what another manager has")?;
        let cause = &conflict["details"]["causes"][0];
        if cause["reason"] != "FieldManagerConflict" || cause["field"] != ".metadata.labels.applied" {
            return Err(format!("causes of a conflict: {conflict}"));
        }
        let forced = apply("fieldManager=second&force=true", json!({"applied": "2"})).await;
        let forced = code(forced, 200, "forced apply")?;
        let owners: Vec<_> = forced["metadata"]["managedFields"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|entry| !entry.pointer("/fieldsV1/f:metadata/f:labels/f:applied").unwrap_or(&Value::Null).is_null())
            .map(|entry| format!("{} {}", text(&entry["manager"]), text(&entry["operation"])))
            .collect();
        if forced["metadata"]["labels"]["applied"] != "2" || owners != ["second Apply"] {
            return Err(format!("a forced apply takes over: {owners:?}, {}", forced["metadata"]["labels"]));
        }
        // Who no longer has a field cannot take it away; who has it can.
        let kept = code(apply("fieldManager=first", json!({})).await, 200, "apply of nothing")?;
        if kept["metadata"]["labels"]["applied"] != "2" {
            return Err("an apply removed another manager's field".to_owned());
        }
        let gone = code(apply("fieldManager=second", json!({})).await, 200, "apply without the field")?;
        match gone["metadata"]["labels"].get("applied") {
            None => Ok(()),
            Some(_) => Err("an apply without the field keeps it".to_owned()),
        }
    }

    fn labelled(&self, object: &Value, name: &str) -> Outcome<()> {
        match object["metadata"]["labels"][name] == "1" {
            true => Ok(()),
            false => Err(format!("label {name} is missing: {}", object["metadata"]["labels"])),
        }
    }

    async fn table(&self, path: &str) -> Outcome<()> {
        let names = self.kind.names();
        let row = |line: &'static str| {
            let cells: Vec<_> = line.split('\t').collect();
            let is_ours = cells.len() > 6 && cells[..3] == [names.group, names.version, names.plural];
            is_ours
                .then(|| (cells[3].to_owned(), cells[4].to_owned(), cells[5].to_owned(), cells[6].parse().unwrap_or(0)))
        };
        let mut wanted: Vec<(String, String, String, i64)> = COLUMNS.lines().filter_map(row).collect();
        if wanted.is_empty() {
            wanted = vec![
                ("Name".into(), "string".into(), "name".into(), 0),
                ("Created At".into(), "date".into(), String::new(), 0),
            ];
        }
        let selected = format!("{}?labelSelector=seed={}", self.path, self.seed);
        for from in [path, &selected] {
            let table = code(self.api.get_as(from, TABLE).await, 200, "table")?;
            let columns = table["columnDefinitions"].as_array().cloned().unwrap_or_default();
            let of = |c: &Value| {
                let text = |member: &str| text(&c[member]).to_owned();
                (text("name"), text("type"), text("format"), c["priority"].as_i64().unwrap_or(0))
            };
            if columns.iter().map(of).collect::<Vec<_>>() != wanted {
                return Err(format!("columns: {columns:?}"));
            }
            let cells = table["rows"][0]["cells"].as_array().map_or(0, Vec::len);
            if cells != wanted.len() {
                return Err(format!("{cells} cells for {} columns", wanted.len()));
            }
        }
        Ok(())
    }

    async fn delete(&self, path: &str, watch: &mut Watch) -> Outcome<()> {
        code(self.api.delete(&format!("{path}?dryRun=All"), Value::Null).await, 200, "dry-run of delete")?;
        code(self.api.get(path).await, 200, "get after the dry-run of a delete")?;
        code(self.api.delete(path, Value::Null).await, 200, "delete")?;
        self.release(path).await?;
        self.seen(watch, "DELETED").await?;
        code(self.api.get(path).await, 404, "get after delete").map(drop)
    }

    /// Takes away what keeps a deleted object: what controllers would do.
    async fn release(&self, path: &str) -> Outcome<()> {
        let answer = self.api.get(path).await;
        if answer.code.as_u16() == 404 {
            return Ok(());
        }
        let mut object = answer.body;
        if self.kind.names().kind == "Namespace" {
            object["spec"]["finalizers"] = json!([]);
            return code(self.api.put(&format!("{path}/finalize"), &object).await, 200, "finalize").map(drop);
        }
        if object["metadata"]["finalizers"].is_array() {
            let none = json!({"metadata": {"finalizers": null}});
            return code(self.api.patch(path, "merge", none).await, 200, "removal of finalizers").map(drop);
        }
        Ok(())
    }

    async fn delete_collection(&self) -> Outcome<()> {
        let mut paths = Vec::new();
        let mut watch = self.api.watch(&format!("{}?watch=1&labelSelector=gone%3Dyes", self.path)).await;
        for number in [2, 3] {
            let mut object = objects::object(self.kind, number, self.seed).ok_or("there is no sample of this kind")?;
            object["metadata"]["labels"]["gone"] = json!("yes");
            code(self.api.post(&self.path, object.clone()).await, 201, "create for a collection")?;
            paths.push(format!("{}/{}", self.path, text(&object["metadata"]["name"])));
            self.seen(&mut watch, "ADDED").await?;
        }
        let all = format!("{}?labelSelector=gone%3Dyes", self.path);
        let gone = code(self.api.delete(&all, Value::Null).await, 200, "delete of a collection")?;
        if gone["items"].as_array().map(Vec::len) != Some(2) {
            return Err(format!("delete of a collection: {gone}"));
        }
        for path in paths {
            self.release(&path).await?;
            self.seen(&mut watch, "DELETED").await?;
            code(self.api.get(&path).await, 404, "get after delete of a collection")?;
        }
        Ok(())
    }
}

fn code(answer: Answer, wanted: u16, step: &str) -> Outcome<Value> {
    match answer.code.as_u16() == wanted {
        true => Ok(answer.body),
        false => Err(format!("{step}: {} {}", answer.code.as_u16(), answer.body)),
    }
}

fn same(got: &Value, wanted: &Value, step: &str) -> Outcome<()> {
    if got == wanted { Ok(()) } else { Err(format!("{step}:\n  got    {got}\n  wanted {wanted}")) }
}

/// Whether `whole` says all that `part` says; lists may have grown at their end.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(name, value)| whole.get(name).is_some_and(|whole| contains(whole, value)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            whole.len() >= part.len() && part.iter().zip(whole).all(|(part, whole)| contains(whole, part))
        }
        _ => whole == part,
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b == b'.' { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

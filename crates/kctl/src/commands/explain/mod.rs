//! `kctl explain`: what the fields of a kind are for, from the server's OpenAPI.

mod schema;
mod text;

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::{discovery::Resource, session::Session};
use schema::Document;

#[derive(Args, Debug)]
pub struct Explain {
    /// TYPE[.FIELD…]
    path: String,
    /// Names and types of all fields below
    #[arg(long)]
    recursive: bool,
    /// Of this group and version
    #[arg(long, value_name = "GROUP/VERSION")]
    api_version: Option<String>,
}

impl Explain {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        let (resource, fields) = self.find(session).await?;
        let document = document(session, &resource).await?;
        let kind = document.kind(&resource.group, &resource.version, &resource.kind);
        let kind = kind.with_context(|| format!("Couldn't find resource for \"{}\"", resource.kind))?;
        let mut out = String::new();
        if !resource.group.is_empty() {
            out.push_str(&format!("GROUP:      {}\n", resource.group));
        }
        out.push_str(&format!("KIND:       {}\nVERSION:    {}\n\n", resource.kind, resource.version));
        let mut schema = kind;
        for (at, field) in fields.iter().enumerate() {
            let Some(next) = document.field(schema, field) else {
                print!("{out}");
                bail!("field \"{field}\" does not exist");
            };
            schema = next;
            if at + 1 == fields.len() {
                out.push_str(&format!("FIELD: {field} <{}>\n{}\n", document.type_of(schema), text::enumerated(schema)));
            }
        }
        out.push_str(&text::description(&document.about(schema)));
        out.push_str(&text::fields(&document, schema, self.recursive));
        print!("{out}");
        Ok(())
    }

    /// The resource, and the names of the fields on the way down. Resources may have dots in their names, too.
    async fn find(&self, session: &Session) -> anyhow::Result<(Resource, Vec<String>)> {
        let discovery = session.discovery().await?;
        let path = self.path.trim_end_matches('.');
        let (head, fields) = path.split_once('.').unwrap_or((path, ""));
        let whole = discovery.find(path).ok().filter(|resource| resource.full_name() == path);
        let (found, fields) = match whole {
            Some(found) => (found, ""),
            None => (discovery.find(head)?, fields),
        };
        let mut found = found.clone();
        if let Some(wanted) = &self.api_version {
            let named = |one: &&Resource| one.plural == found.plural && &one.api_version() == wanted;
            let other = discovery.resources.iter().find(named);
            ensure!(other.is_some(), "couldn't find resource for \"{wanted}, Kind={}\"", found.kind);
            found = other.cloned().unwrap_or(found);
        }
        Ok((found, fields.split('.').filter(|field| !field.is_empty()).map(str::to_owned).collect()))
    }
}

async fn document(session: &Session, resource: &Resource) -> anyhow::Result<Document> {
    let index = session.get("/openapi/v3").await?;
    let root = if resource.group.is_empty() { "api".to_owned() } else { format!("apis/{}", resource.group) };
    let name = format!("{root}/{}", resource.version);
    let url = index["paths"][&name]["serverRelativeURL"].as_str();
    let url = url.with_context(|| {
        format!("couldn't find resource for \"{}\" in the server's OpenAPI", resource.api_version())
    })?;
    Ok(Document::new(session.get(url).await?))
}

//! What an OCI archive (a tar of the OCI image layout) holds, and where: read from its headers and its index.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context, ensure};
use serde::Deserialize;

const BLOCK: u64 = 512;
/// An index or manifest is a few kilobytes; one of this size is not worth reading.
const DOCUMENT_LIMIT: u64 = 4 << 20;

/// Where a member's content lies in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub offset: u64,
    pub size: u64,
}

#[derive(Debug, Default)]
pub struct Archive {
    members: BTreeMap<String, Range>,
    /// Full image name to the digest of its manifest.
    pub images: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

impl Archive {
    pub fn read(file: &mut (impl Read + Seek)) -> anyhow::Result<Self> {
        let mut archive = Self { members: members(file)?, images: BTreeMap::new() };
        let index = archive.members.get("index.json").copied().context("no index.json: not an OCI archive")?;
        ensure!(index.size <= DOCUMENT_LIMIT, "its index is too large");
        file.seek(SeekFrom::Start(index.offset))?;
        let index: Index = serde_json::from_reader(file.take(index.size)).context("index.json")?;
        for manifest in index.manifests {
            let names = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];
            if let Some(name) = names.iter().find_map(|name| manifest.annotations.get(*name)) {
                archive.images.insert(cri::normalize(name), manifest.digest);
            }
        }
        Ok(archive)
    }

    /// The blob with a digest (`sha256:…`).
    pub fn blob(&self, digest: &str) -> Option<Range> {
        let (algorithm, value) = digest.split_once(':')?;
        self.members.get(&format!("blobs/{algorithm}/{value}")).copied()
    }
}

/// A manifest's or index's media type, as it says or as it looks.
pub fn media_type(document: &[u8]) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Document {
        media_type: Option<String>,
        #[serde(default)]
        manifests: Vec<serde_json::Value>,
    }
    let document: Document = serde_json::from_slice(document).context("a manifest")?;
    Ok(document.media_type.unwrap_or_else(|| match document.manifests.is_empty() {
        true => "application/vnd.oci.image.manifest.v1+json".to_owned(),
        false => "application/vnd.oci.image.index.v1+json".to_owned(),
    }))
}

/// The regular files of a tar. Names longer than a header's field do not occur in an image layout.
fn members(file: &mut (impl Read + Seek)) -> anyhow::Result<BTreeMap<String, Range>> {
    let mut members = BTreeMap::new();
    let mut offset = 0;
    let mut header = [0; BLOCK as usize];
    loop {
        file.seek(SeekFrom::Start(offset))?;
        if file.read_exact(&mut header).is_err() || header[0] == 0 {
            return Ok(members);
        }
        let size = octal(&header[124..136]).context("a header without a size: not a tar")?;
        if matches!(header[156], b'0' | 0) {
            let name = text(&header[..100]);
            let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
            members.insert(name, Range { offset: offset + BLOCK, size });
        }
        offset += BLOCK + size.div_ceil(BLOCK) * BLOCK;
    }
}

fn text(field: &[u8]) -> String {
    String::from_utf8_lossy(field.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

fn octal(field: &[u8]) -> Option<u64> {
    u64::from_str_radix(text(field).trim(), 8).ok()
}

#[cfg(test)]
pub mod tests {
    use std::path::Path;

    use sha2::{Digest, Sha256};

    use super::*;

    /// An archive with one image, whose manifest's digest is returned.
    pub fn write(path: &Path, name: &str) -> String {
        let manifest = br#"{"schemaVersion":2,"layers":[]}"#.to_vec();
        let hex: String = Sha256::digest(&manifest).iter().map(|byte| format!("{byte:02x}")).collect();
        let index = format!(
            r#"{{"manifests":[{{"digest":"sha256:{hex}","annotations":{{"io.containerd.image.name":"{name}"}}}}]}}"#
        );
        let mut tar = vec![];
        for (name, content) in [("index.json", index.into_bytes()), (&format!("blobs/sha256/{hex}"), manifest)] {
            let mut header = [0; 512];
            header[..name.len()].copy_from_slice(name.as_bytes());
            let size = format!("{:011o}", content.len());
            header[124..135].copy_from_slice(size.as_bytes());
            header[156] = b'0';
            tar.extend(header);
            tar.extend(&content);
            tar.resize(tar.len().div_ceil(512) * 512, 0);
        }
        tar.extend([0; 1024]);
        std::fs::write(path, tar).unwrap();
        format!("sha256:{hex}")
    }

    #[test]
    fn names_and_places() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.tar");
        let digest = write(&path, "busybox");
        let archive = Archive::read(&mut std::fs::File::open(&path).unwrap()).unwrap();
        assert_eq!(archive.images["docker.io/library/busybox:latest"], digest);
        assert_eq!(archive.blob(&digest).unwrap().size, 31);
        assert_eq!(archive.blob("sha256:00"), None);
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        assert!(Archive::read(&mut std::io::Cursor::new(vec![b'x'; 2048])).is_err());
    }
}

//! Files that change as one: written beside the old ones, then switched to by replacing one link.

use anyhow::Context as _;
use jiff::Timestamp;
use nix::unistd::{Gid, Uid};
use pod_lifecycle::volumes::{
    File, Files,
    atomic::{self, DATA, NEW_DATA},
};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

/// Brings a volume's directory to the wanted files; does nothing when they are there. `group` is the
/// pod's `fsGroup`, which then may read them.
pub fn write(directory: &Path, wanted: &Files, group: Option<i64>, now: Timestamp) -> anyhow::Result<()> {
    if let Some(path) = wanted.keys().find(|p| !atomic::is_safe(p)) {
        anyhow::bail!("invalid path {path:?}");
    }
    fs::create_dir_all(directory)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o777))?;
    let wanted = &shared_with(wanted, group);
    let present = read(directory)?;
    let Some(update) = atomic::update(present.as_ref(), wanted, &links(directory)?) else { return Ok(()) };
    let old = fs::read_link(directory.join(DATA)).ok();
    let fresh = now.strftime("..%Y_%m_%d_%H_%M_%S.").to_string() + &now.subsec_nanosecond().to_string();
    fill(&directory.join(&fresh), wanted, group).with_context(|| format!("cannot write to {}", directory.display()))?;
    let temporary = directory.join(NEW_DATA);
    remove_if_there(&temporary)?;
    symlink(&fresh, &temporary)?;
    fs::rename(&temporary, directory.join(DATA))?;
    for name in update.link {
        symlink(Path::new(DATA).join(&name), directory.join(&name))?;
    }
    for name in update.unlink {
        remove_if_there(&directory.join(name))?;
    }
    match old {
        Some(old) if old != Path::new(&fresh) => Ok(fs::remove_dir_all(directory.join(old))?),
        _ => Ok(()),
    }
}

/// What a group may do is part of a file's mode.
fn shared_with(wanted: &Files, group: Option<i64>) -> Files {
    let mut files = wanted.clone();
    if group.is_some() {
        files.values_mut().for_each(|f| f.mode |= 0o440);
    }
    files
}

fn remove_if_there(path: &Path) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn fill(directory: &Path, files: &Files, group: Option<i64>) -> anyhow::Result<()> {
    let gid = group.map(gid).transpose()?;
    let make = |path: &Path| -> anyhow::Result<()> {
        fs::create_dir_all(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(if gid.is_some() { 0o2755 } else { 0o755 }))?;
        if gid.is_some() {
            nix::unistd::chown(path, None, gid)?;
        }
        Ok(())
    };
    make(directory)?;
    for (path, file) in files {
        let mut parent = PathBuf::from(directory);
        for part in Path::new(path).parent().into_iter().flat_map(Path::components) {
            parent.push(part);
            make(&parent)?;
        }
        let path = directory.join(path);
        fs::write(&path, &file.content)?;
        let owner = file.owner.and_then(|o| u32::try_from(o).ok()).map(Uid::from_raw);
        if owner.is_some() || gid.is_some() {
            nix::unistd::chown(&path, owner, gid)?;
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(file.mode))?;
    }
    Ok(())
}

/// Top-level names that users see.
fn links(directory: &Path) -> anyhow::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !name.starts_with("..") {
            names.insert(name);
        }
    }
    Ok(names)
}

/// The files that are there now; `None` before the first write.
fn read(directory: &Path) -> anyhow::Result<Option<Files>> {
    let data = directory.join(DATA);
    if !data.exists() {
        return Ok(None);
    }
    let mut files = Files::new();
    collect(&data, &data, &mut files)?;
    Ok(Some(files))
}

fn collect(root: &Path, directory: &Path, files: &mut Files) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let metadata = fs::metadata(&path)?;
        if metadata.is_dir() {
            collect(root, &path, files)?;
            continue;
        }
        let name = path.strip_prefix(root)?.to_string_lossy().into_owned();
        let owner = (metadata.uid() != 0 && Uid::effective().is_root()).then(|| i64::from(metadata.uid()));
        files.insert(name, File { content: fs::read(&path)?, mode: metadata.mode() & 0o7777, owner });
    }
    Ok(())
}

/// `fsGroup`: the group owns everything below and new files become its own.
pub fn give_to_group(path: &Path, group: i64, writable: bool) -> anyhow::Result<()> {
    nix::unistd::chown(path, None, Some(gid(group)?))?;
    let metadata = fs::metadata(path)?;
    let access = if writable { 0o660 } else { 0o440 };
    let extra = if metadata.is_dir() { 0o2110 } else { 0 };
    fs::set_permissions(path, fs::Permissions::from_mode(metadata.mode() & 0o7777 | access | extra))?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            let entry = entry?.path();
            if !entry.is_symlink() {
                give_to_group(&entry, group, writable)?;
            }
        }
    }
    Ok(())
}

fn gid(group: i64) -> anyhow::Result<Gid> {
    Ok(Gid::from_raw(u32::try_from(group).context("a group id out of range")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        list.iter()
            .map(|(n, c)| ((*n).to_owned(), File { content: c.as_bytes().to_vec(), mode: 0o640, owner: None }))
            .collect()
    }

    #[test]
    fn content_changes_as_one_and_only_when_it_must() {
        let directory = std::env::temp_dir().join(format!("kubelet-files-{}", std::process::id()));
        let at = |s| Timestamp::from_second(s).unwrap();
        let show = |name: &str| fs::read_to_string(directory.join(name)).ok();
        write(&directory, &files(&[("a", "1"), ("d/x", "2")]), None, at(1)).unwrap();
        assert_eq!((show("a"), show("d/x")), (Some("1".into()), Some("2".into())));
        let first = fs::read_link(directory.join(DATA)).unwrap();
        write(&directory, &files(&[("a", "1"), ("d/x", "2")]), None, at(2)).unwrap();
        assert_eq!(fs::read_link(directory.join(DATA)).unwrap(), first, "nothing has changed");
        write(&directory, &files(&[("a", "9"), ("b", "3")]), None, at(3)).unwrap();
        assert_eq!((show("a"), show("b"), show("d/x")), (Some("9".into()), Some("3".into()), None));
        assert!(!directory.join("d").exists() && !directory.join(&first).exists());
        assert_eq!(fs::metadata(directory.join("a")).unwrap().mode() & 0o777, 0o640);
        assert!(write(&directory, &files(&[("../x", "")]), None, at(4)).is_err());
        fs::remove_dir_all(&directory).unwrap();
    }
}

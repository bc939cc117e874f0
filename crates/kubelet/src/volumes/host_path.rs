//! `hostPath`: a path of the node, checked or made as its type says.

use anyhow::bail;
use pod_lifecycle::core::HostPathVolumeSource;
use std::{
    fs,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::PathBuf,
};

pub fn check(source: &HostPathVolumeSource) -> anyhow::Result<PathBuf> {
    let path = PathBuf::from(&source.path);
    let kind = source.type_.as_deref().unwrap_or_default();
    let found = fs::metadata(&path).ok();
    match (kind, &found) {
        ("", _) => return Ok(path),
        ("DirectoryOrCreate", None) => {
            fs::create_dir_all(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            return Ok(path);
        }
        ("FileOrCreate", None) => {
            fs::write(&path, b"")?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
            return Ok(path);
        }
        _ => {}
    }
    let is = |test: fn(&fs::FileType) -> bool| found.as_ref().is_some_and(|m| test(&m.file_type()));
    let (good, what) = match kind {
        "Directory" | "DirectoryOrCreate" => (is(fs::FileType::is_dir), "a directory"),
        "File" | "FileOrCreate" => (is(fs::FileType::is_file), "a file"),
        "Socket" => (is(|t| t.is_socket()), "a socket file"),
        "CharDevice" => (is(|t| t.is_char_device()), "a character device"),
        "BlockDevice" => (is(|t| t.is_block_device()), "a block device"),
        other => bail!("hostPath type {other:?} is not known"),
    };
    if !good {
        bail!("hostPath type check failed: {} is not {what}", source.path);
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn types() {
        let directory = std::env::temp_dir().join(format!("kubelet-host-path-{}", std::process::id()));
        let check = |path: &Path, kind: &str| {
            check(&HostPathVolumeSource { path: path.to_string_lossy().into(), type_: Some(kind.into()) })
        };
        assert!(check(&directory, "").is_ok(), "without a type nothing is looked at");
        assert!(check(&directory, "Directory").unwrap_err().to_string().ends_with("is not a directory"));
        assert!(check(&directory, "DirectoryOrCreate").is_ok());
        assert!(check(&directory, "Directory").is_ok());
        assert!(check(&directory, "File").is_err());
        assert!(check(&directory.join("f"), "FileOrCreate").is_ok());
        assert!(check(&directory.join("f"), "Socket").is_err());
        fs::remove_dir_all(&directory).unwrap();
    }
}

//! Where pods stand in the cgroup tree: `kubepods[/burstable|besteffort]/pod<uid>` below the
//! cgroup root, in the form of either driver.

use crate::qos::Class;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    Cgroupfs,
    Systemd,
}

/// A node's part of the cgroup tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    pub driver: Driver,
    /// `/` or a path like `/kogge/node-2`.
    pub root: String,
}

impl Tree {
    /// Path components below the mount point of a controller.
    fn components(&self, class: Option<Class>, uid: Option<&str>) -> Vec<String> {
        let mut path: Vec<String> = self.root.split('/').filter(|p| !p.is_empty()).map(str::to_owned).collect();
        path.push("kubepods".into());
        match class {
            Some(Class::Burstable) => path.push("burstable".into()),
            Some(Class::BestEffort) => path.push("besteffort".into()),
            _ => {}
        }
        path.extend(uid.map(|uid| format!("pod{uid}")));
        path
    }

    /// The directory below a controller's mount point, with a leading slash.
    pub fn path(&self, class: Option<Class>, uid: Option<&str>) -> String {
        let components = self.components(class, uid);
        match self.driver {
            Driver::Cgroupfs => format!("/{}", components.join("/")),
            Driver::Systemd => {
                let slices: Vec<_> = (1..=components.len()).map(|n| slice(&components[..n])).collect();
                format!("/{}", slices.join("/"))
            }
        }
    }

    /// What CRI wants as a sandbox's `cgroup_parent`: a path, or a slice's name.
    pub fn parent(&self, class: Class, uid: &str) -> String {
        match self.driver {
            Driver::Cgroupfs => self.path(Some(class), Some(uid)),
            Driver::Systemd => slice(&self.components(Some(class), Some(uid))),
        }
    }
}

fn slice(components: &[String]) -> String {
    let escaped: Vec<_> = components.iter().map(|c| c.replace('-', "_")).collect();
    format!("{}.slice", escaped.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_drivers() {
        let fs = Tree { driver: Driver::Cgroupfs, root: "/kogge/n-2".into() };
        assert_eq!(fs.parent(Class::Guaranteed, "a-b"), "/kogge/n-2/kubepods/poda-b");
        assert_eq!(fs.path(Some(Class::Burstable), None), "/kogge/n-2/kubepods/burstable");
        let systemd = Tree { driver: Driver::Systemd, root: "/".into() };
        assert_eq!(systemd.parent(Class::BestEffort, "a-b"), "kubepods-besteffort-poda_b.slice");
        let below = Tree { driver: Driver::Systemd, root: "/test/a-1".into() };
        assert_eq!(below.parent(Class::Guaranteed, "x"), "test-a_1-kubepods-podx.slice");
        assert_eq!(
            below.path(None, None),
            "/test.slice/test-a_1.slice/test-a_1-kubepods.slice",
            "a dash in a name would be taken for a level"
        );
        assert_eq!(
            systemd.path(Some(Class::BestEffort), Some("a-b")),
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-poda_b.slice"
        );
    }
}

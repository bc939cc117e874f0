use serde_json::{Value, json};

use crate::check::{changed, check, check_cells, check_change, created, kind, with};

fn volume(spec: Value) -> Value {
    let base = json!({"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}});
    with(base, json!({"spec": spec}))
}

fn on_host(spec: Value) -> Value {
    with(volume(json!({"hostPath": {"path": "/v"}})), json!({"spec": spec}))
}

#[test]
fn volumes() {
    let object = created("PersistentVolume", on_host(json!({})));
    let spec = &object["spec"];
    assert_eq!((&spec["persistentVolumeReclaimPolicy"], &spec["volumeMode"]), (&json!("Retain"), &json!("Filesystem")));
    assert_eq!(spec["hostPath"], json!({"path": "/v", "type": ""}));
    let status = json!({"phase": "Pending", "lastPhaseTransitionTime": "1970-01-01T00:00:00Z"});
    assert_eq!(object["status"], status);
    check("PersistentVolume", on_host(json!({})), &[]);
    check("PersistentVolume", volume(json!({})), &["spec: Required value: must specify a volume type"]);
    check(
        "PersistentVolume",
        on_host(
            json!({"nfs": {"server": "s", "path": "p"}, "accessModes": ["Often"], "capacity": {"storage": "0", "cpu": "1"}}),
        ),
        &[
            "spec.accessModes: Unsupported value: \"Often\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"",
            "spec.capacity: Unsupported value: {\"cpu\":\"1\",\"storage\":\"0\"}: supported values: \"storage\"",
            "spec.capacity[storage]: Invalid value: \"0\": must be greater than zero",
            "spec.nfs: Forbidden: may not specify more than 1 volume type",
            "spec.nfs.path: Invalid value: \"p\": must be an absolute path",
        ],
    );
    check(
        "PersistentVolume",
        volume(json!({"local": {"path": "/d"}})),
        &["spec.nodeAffinity: Required value: Local volume requires node affinity"],
    );
    check(
        "PersistentVolume",
        volume(
            json!({"csi": {"driver": "-", "volumeHandle": ""}, "accessModes": ["ReadWriteOncePod", "ReadOnlyMany"]}),
        ),
        &[
            "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
            "spec.csi.volumeHandle: Required value",
            "spec.csi.driver: Invalid value: \"-\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
        ],
    );
    check(
        "PersistentVolume",
        on_host(
            json!({"volumeAttributesClassName": "gold", "hostPath": {"path": "/"}, "persistentVolumeReclaimPolicy": "Recycle"}),
        ),
        &[
            "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'",
            "spec.csi: Required value: has to be specified when using volumeAttributesClassName",
        ],
    );
}

#[test]
fn volumes_stay_where_they_are() {
    let old = created("PersistentVolume", on_host(json!({})));
    check_change("PersistentVolume", &old, json!({"spec": {"capacity": {"storage": "2Gi"}}}), &[]);
    check_change(
        "PersistentVolume",
        &old,
        json!({"spec": {"hostPath": {"path": "/w"}, "volumeMode": "Block"}}),
        &[
            "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\nspec.hostPath.path: \"/v\" -> \"/w\"",
            "volumeMode: Invalid value: \"Block\": field is immutable",
        ],
    );
    let (new, _) = changed("PersistentVolume", &old, json!({"status": {"phase": "Available"}}), Some("status"));
    assert_eq!(new["status"]["phase"], "Available");
    let (new, _) = changed("PersistentVolume", &old, json!({"status": {"phase": "Available"}}), None);
    assert_eq!(new["status"], old["status"], "the status has a path of its own");
    let bound = with(
        old,
        json!({"spec": {"claimRef": {"namespace": "n", "name": "c"}, "storageClassName": "s"}, "status": {"phase": "Bound"}}),
    );
    check_cells(
        "PersistentVolume",
        &bound,
        json!(["x", "1Gi", "RWO", "Retain", "Bound", "n/c", "s", "<unset>", "", "<unknown>", "Filesystem"]),
    );
}

fn claim(spec: Value) -> Value {
    let base = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    with(base, json!({"spec": spec}))
}

#[test]
fn claims() {
    let object =
        created("PersistentVolumeClaim", claim(json!({"dataSource": {"kind": "PersistentVolumeClaim", "name": "a"}})));
    assert_eq!(object["spec"]["dataSourceRef"], object["spec"]["dataSource"]);
    assert_eq!(
        (&object["status"], &object["spec"]["volumeMode"]),
        (&json!({"phase": "Pending"}), &json!("Filesystem"))
    );
    check("PersistentVolumeClaim", claim(json!({})), &[]);
    check(
        "PersistentVolumeClaim",
        json!({"spec": {}}),
        &[
            "spec.accessModes: Required value: at least 1 access mode is required",
            "spec.resources[storage]: Required value",
        ],
    );
    check(
        "PersistentVolumeClaim",
        claim(
            json!({"resources": {"requests": {"storage": "-1"}}, "volumeMode": "Odd", "dataSource": {"kind": "Pod", "name": ""}}),
        ),
        &[
            "spec.resources[storage]: Invalid value: \"-1\": must be greater than zero",
            "spec.volumeMode: Unsupported value: \"Odd\": supported values: \"Block\", \"Filesystem\"",
            "spec.dataSource.name: Required value",
            "spec.dataSource: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
            "spec.dataSourceRef.name: Required value",
            "spec.dataSourceRef: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default apiGroup",
        ],
    );
    let elsewhere = json!({"dataSource": {"kind": "PersistentVolumeClaim", "name": "a"},
        "dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "a", "namespace": "n"}});
    check(
        "PersistentVolumeClaim",
        claim(elsewhere),
        &["spec: Invalid value: \"spec.dataSource\": may not be specified when dataSourceRef.namespace is specified"],
    );
}

#[test]
fn claims_change_little() {
    const FIXED: &str = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n";
    let pending = created("PersistentVolumeClaim", claim(json!({})));
    let size = |size: &str| json!({"spec": {"resources": {"requests": {"storage": size}}}});
    check_change("PersistentVolumeClaim", &pending, json!({"spec": {"volumeName": "v", "storageClassName": "s"}}), &[]);
    let grows = format!("{FIXED}spec.resources.requests.storage: \"1Gi\" -> \"2Gi\"");
    check_change("PersistentVolumeClaim", &pending, size("2Gi"), &[&grows]);
    let bound = with(
        pending,
        json!({"spec": {"volumeName": "v", "volumeAttributesClassName": "gold"}, "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]}}),
    );
    check_change("PersistentVolumeClaim", &bound, size("2Gi"), &[]);
    check_change(
        "PersistentVolumeClaim",
        &bound,
        size("500Mi"),
        &["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"],
    );
    let moved = format!("{FIXED}spec.volumeName: \"v\" -> \"w\"");
    check_change("PersistentVolumeClaim", &bound, json!({"spec": {"volumeName": "w"}}), &[&moved]);
    check_change("PersistentVolumeClaim", &bound, json!({"spec": {"volumeAttributesClassName": "silver"}}), &[]);
    check_change(
        "PersistentVolumeClaim",
        &bound,
        json!({"spec": {"volumeAttributesClassName": null}}),
        &["spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden"],
    );
    check_cells(
        "PersistentVolumeClaim",
        &bound,
        json!(["x", "Bound", "v", "1Gi", "RWO", "", "gold", "<unknown>", "Filesystem"]),
    );
}

#[test]
fn classes() {
    let class = |changes: Value| with(json!({"provisioner": "example.com/p"}), changes);
    let object = created("StorageClass", class(json!({})));
    assert_eq!((&object["reclaimPolicy"], &object["volumeBindingMode"]), (&json!("Delete"), &json!("Immediate")));
    check("StorageClass", class(json!({})), &[]);
    check(
        "StorageClass",
        json!({"reclaimPolicy": "Recycle", "volumeBindingMode": "Later"}),
        &[
            "provisioner: Required value",
            "reclaimPolicy: Unsupported value: \"Recycle\": supported values: \"Delete\", \"Retain\"",
            "volumeBindingMode: Unsupported value: \"Later\": supported values: \"Immediate\", \"WaitForFirstConsumer\"",
        ],
    );
    let term = json!({"matchLabelExpressions": [{"key": "zone", "values": ["a", "a"]}, {"key": "zone", "values": []}]});
    check(
        "StorageClass",
        class(json!({"allowedTopologies": [term]})),
        &[
            "allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: \"a\"",
            "allowedTopologies[0].matchLabelExpressions[1].values: Required value",
            "allowedTopologies[0].matchLabelExpressions[1].key: Duplicate value: \"zone\"",
        ],
    );
    check_change(
        "StorageClass",
        &object,
        json!({"parameters": {"a": "b"}, "reclaimPolicy": "Retain", "volumeBindingMode": "WaitForFirstConsumer"}),
        &[
            "parameters: Forbidden: updates to parameters are forbidden.",
            "reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden.",
            "volumeBindingMode: Invalid value: \"WaitForFirstConsumer\": field is immutable",
        ],
    );
    let marked =
        with(object, json!({"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}));
    check_cells(
        "StorageClass",
        &marked,
        json!(["x (default)", "example.com/p", "Delete", "Immediate", false, "<unknown>"]),
    );
    check(
        "VolumeAttributesClass",
        json!({"driverName": "d.example.com"}),
        &["parameters: Required value: must contain at least one key/value pair"],
    );
}

#[test]
fn drivers_and_what_they_attach() {
    let driver = created("CSIDriver", json!({"spec": {}}));
    assert_eq!(driver["spec"]["volumeLifecycleModes"], json!(["Persistent"]));
    assert_eq!(driver["spec"]["fsGroupPolicy"], "ReadWriteOnceWithFSType");
    let (changed_driver, errors) = changed("CSIDriver", &driver, json!({"spec": {"requiresRepublish": true}}), None);
    assert_eq!((changed_driver["metadata"]["generation"].clone(), errors), (json!(1), vec![]));
    check_change(
        "CSIDriver",
        &driver,
        json!({"spec": {"attachRequired": false}}),
        &["spec.attachedRequired: Invalid value: false: field is immutable"],
    );
    check(
        "CSIDriver",
        json!({"spec": {"fsGroupPolicy": "Odd", "nodeAllocatableUpdatePeriodSeconds": 9, "tokenRequests": [{"audience": "a", "expirationSeconds": 1}, {"audience": "a"}]}}),
        &[
            "spec.fsGroupPolicy: Unsupported value: \"Odd\": supported values: \"File\", \"None\", \"ReadWriteOnceWithFSType\"",
            "spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
            "spec.tokenRequests[1].audience: Duplicate value: \"a\"",
            "spec.nodeAllocatableUpdatePeriodSeconds: Invalid value: 9: must be greater than or equal to 10 seconds",
        ],
    );
    let node = json!({"spec": {"drivers": [{"name": "d", "nodeID": "n"}, {"name": "d", "nodeID": "", "allocatable": {"count": -1}}]}});
    check(
        "CSINode",
        node,
        &[
            "spec.drivers[1].nodeID: Required value",
            "spec.drivers[1].allocatable.count: Invalid value: -1: must be greater than or equal to 0",
            "spec.drivers[1].name: Duplicate value: \"d\"",
        ],
    );
    let attachment = |source: Value| json!({"spec": {"attacher": "d", "nodeName": "n", "source": source}});
    let one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    check("VolumeAttachment", attachment(json!({"persistentVolumeName": "v"})), &[]);
    check("VolumeAttachment", attachment(json!({})), &[&format!("spec.source: Required value: {one}")]);
    check(
        "VolumeAttachment",
        attachment(json!({"inlineVolumeSpec": {"hostPath": {"path": "/v"}, "capacity": {"storage": "1"}}})),
        &[
            "spec.source.inlineVolumeSpec.capacity: Forbidden: may not be specified in the context of inline volumes",
            "spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes",
            "spec.source.inlineVolumeSpec.accessModes: Required value",
        ],
    );
    let old = created("VolumeAttachment", attachment(json!({"persistentVolumeName": "v"})));
    let (attached, errors) = changed("VolumeAttachment", &old, json!({"status": {"attached": true}}), Some("status"));
    assert_eq!((attached["status"]["attached"].clone(), errors), (json!(true), vec![]));
    assert_eq!(changed("VolumeAttachment", &old, json!({"spec": {"nodeName": "m"}}), None).1.len(), 1);
}

#[test]
fn what_is_not_there_yet_is_said() {
    let warnings = kind("CSIDriver").warnings(&created("CSIDriver", json!({"spec": {}})));
    assert_eq!(warnings, ["CSIDriver is stored but not enforced: kubelets mount no volumes of CSI drivers"]);
}

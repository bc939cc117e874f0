//! Custom resources on a real etcd: from the definition over a restart of the server to the last instance.

use crate::{
    Row, newest, run,
    server::{Etcd, Server},
};

/// A definition with two versions; `%s` is what else `spec` may hold.
const CRD: &str = r#"printf '
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    schema: &schema
      openAPIV3Schema:
        type: object
        description: A job by the clock.
        properties:
          spec:
            type: object
            properties:
              cronSpec: {type: string, description: When it runs., pattern: "^[0-9*/ ]+$"}
              replicas: {type: integer, minimum: 1, default: 1}
              %s
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    additionalPrinterColumns:
    - {name: Spec, type: string, jsonPath: .spec.cronSpec}
    - {name: Replicas, type: integer, jsonPath: .spec.replicas, priority: 1}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
  - {name: v1beta1, served: true, storage: false, schema: *schema}
'"#;
const CT: &str = "printf 'apiVersion: stable.example.com/v1\nkind: CronTab\nmetadata: {name: %s}\nspec: {%s}\n'";

const FIRST: &[Row] = &[
    Row(
        "defined",
        "$CRD '' | $K apply -f -",
        0,
        "customresourcedefinition.apiextensions.k8s.io/crontabs.stable.example.com created",
    ),
    Row(
        "established",
        "$K wait --for=condition=Established crd/crontabs.stable.example.com --timeout=10s",
        0,
        "condition met",
    ),
    Row("created", "$CT a 'cronSpec: \"* 6\", replicas: 4' | $K apply -f -", 0, "crontab.stable.example.com/a created"),
    Row(
        "a rule in CEL is refused",
        "$CRD 'x: {type: string, x-kubernetes-validations: [{rule: \"true\"}]}' | $K apply -f -",
        1,
        "rules in CEL are not evaluated by this server yet",
    ),
];

/// After a restart of the server.
const SECOND: &[Row] = &[
    Row("still there", "$K get ct a -o jsonpath='{.spec.cronSpec} {.spec.replicas}'", 0, "* 6 4"),
    Row("another field", "$CRD 'image: {type: string, default: none}' | $K apply -f -", 0, "configured"),
    Row("with its default", "$K wait ct/a --for=jsonpath='{.spec.image}'=none --timeout=10s", 0, "condition met"),
    Row("explained anew", "$K explain ct.spec.image", 0, "image"),
    Row("deleted", "$K delete crd crontabs.stable.example.com --timeout=10s", 0, "deleted"),
    Row("gone", "rm -rf $HOME; $K get ct", 1, "the server doesn't have a resource type \"ct\""),
    Row(
        "the instances too",
        "$CRD '' | $K apply -f - && $K wait --for=condition=Established crd/crontabs.stable.example.com && $K get ct",
        0,
        "No resources found",
    ),
];

#[tokio::test]
async fn from_the_definition_to_the_last_instance() {
    let Some(kubectl) = newest() else { return };
    let etcd = Etcd::start();
    let server = Server::on(etcd.connect().await).await;
    run(FIRST, &kubectl, &server, &[("CRD", CRD), ("CT", CT)]).await;
    drop(server);
    let server = Server::on(etcd.connect().await).await;
    run(SECOND, &kubectl, &server, &[("CRD", CRD), ("CT", CT)]).await;
}

/// Two hundred definitions at once, and what one of them takes of the memory of the process.
#[tokio::test]
async fn many_definitions() {
    let Some(kubectl) = newest() else { return };
    let server = Server::start().await;
    let before = resident();
    let rows = [
        Row(
            "defined",
            "for i in $(seq 200); do $CRD '' | sed \"s/crontab/crontab$i/;s/CronTab/CronTab$i/;s/\\[ct\\]/[ct$i]/;s/plural: crontabs/plural: crontab${i}s/;s/singular: crontab/singular: crontab$i/\"; echo ---; done | $K apply -f - | wc -l",
            0,
            "200",
        ),
        Row("established", "$K wait --for=condition=Established crd --all --timeout=20s | wc -l", 0, "200"),
    ];
    run(&rows, &kubectl, &server, &[("CRD", CRD)]).await;
    println!("{} KB for each definition", resident().saturating_sub(before) / 200);
    let rows = [
        Row("served", "$K get crontab200s", 0, "No resources found"),
        Row("explained", "$K explain ct7.spec.cronSpec", 0, "When it runs."),
    ];
    run(&rows, &kubectl, &server, &[]).await;
    println!("{} KB with discovery and OpenAPI", resident().saturating_sub(before) / 200);
}

/// Kilobytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

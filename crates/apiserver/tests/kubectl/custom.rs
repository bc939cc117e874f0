//! Custom resources with kubectl on a real etcd: from the definition over a restart of the server to the last instance.

use crate::{
    Row, kubectls, run,
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
    Row("unknown at first", "$K get crontabs", 1, "the server doesn't have a resource type \"crontabs\""),
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
    Row("nothing of it yet", "$K get ct", 0, "No resources found in default namespace."),
    Row(
        "resources",
        "$K api-resources --api-group=stable.example.com",
        0,
        "crontabs   ct           stable.example.com/v1   true         CronTab",
    ),
    Row("created", "$CT a 'cronSpec: \"* 5\"' | $K apply -f -", 0, "crontab.stable.example.com/a created"),
    Row("the same again", "$CT a 'cronSpec: \"* 5\"' | $K apply -f -", 0, "crontab.stable.example.com/a unchanged"),
    Row("columns", "$K get ct a", 0, "NAME   SPEC   AGE\na      * 5    "),
    Row("wide", "$K get ct a -o wide", 0, "NAME   SPEC   REPLICAS   AGE\na      * 5    1          "),
    Row("by category", "$K get all", 0, "crontab.stable.example.com/a"),
    Row("explained", "$K explain ct.spec.cronSpec", 0, "When it runs."),
    Row("explained as a whole", "$K explain ct --recursive", 0, "cronSpec"),
    Row("the client finds what is unknown", "$CT b 'cronSpc: x' | $K create -f -", 1, "unknown field \"spec.cronSpc\""),
    Row(
        "invalid",
        "$CT b 'cronSpec: x' | $K create -f -",
        1,
        "The CronTab \"b\" is invalid: spec.cronSpec: Invalid value: \"x\": spec.cronSpec in body should match '^[0-9*/ ]+$'",
    ),
    Row(
        "a wrong type",
        "$CT b 'replicas: x' | $K create --validate=false -f -",
        1,
        "spec.replicas in body must be of type integer: \"string\"",
    ),
    Row(
        "patched",
        "$K patch ct a --type=merge -p '{\"spec\":{\"replicas\":3}}' && $K get ct a -o jsonpath='{.spec.replicas} {.metadata.generation}'",
        0,
        "3 2",
    ),
    Row("scaled", "$K scale ct a --replicas=4 && $K get ct a -o jsonpath='{.spec.replicas}'", 0, "4"),
    Row("labelled", "$K label ct a x=y && $K get ct -l x=y -o name", 0, "crontab.stable.example.com/a"),
    Row(
        "its status",
        "$K patch ct a --subresource=status --type=merge -p '{\"status\":{\"replicas\":4}}' && $K get ct a -o jsonpath='{.status.replicas}'",
        0,
        "4",
    ),
    Row(
        "the other version",
        "$K get crontabs.v1beta1.stable.example.com a -o jsonpath='{.apiVersion}'",
        0,
        "stable.example.com/v1beta1",
    ),
    Row(
        "server-side apply",
        "$CT a 'cronSpec: \"* 6\"' | $K apply --server-side --force-conflicts -f -",
        0,
        "serverside-applied",
    ),
    Row("diff", "$CT a 'cronSpec: \"* 7\"' | $K diff -f -", 1, "+  cronSpec: '* 7'"),
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
    Row("with its default", "until $K get ct a -o jsonpath='{.spec.image}' | grep none; do sleep 0.1; done", 0, "none"),
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
    for kubectl in kubectls() {
        let etcd = Etcd::start();
        let server = Server::on(etcd.connect().await).await;
        run(FIRST, &kubectl, &server, &[("CRD", CRD), ("CT", CT)]).await;
        drop(server);
        let server = Server::on(etcd.connect().await).await;
        run(SECOND, &kubectl, &server, &[("CRD", CRD), ("CT", CT)]).await;
    }
}

/// Two hundred definitions at once, and what one of them takes of the memory of the process.
#[tokio::test]
async fn many_definitions() {
    let Some(kubectl) = kubectls().pop() else { return };
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

"""What programs do with the Python client: lists, writes, watches, exec and logs. Prints `done` at the end."""

from kubernetes import client, config, watch
from kubernetes.stream import stream

config.load_kube_config()
core, apps = client.CoreV1Api(), client.AppsV1Api()
NAMESPACE = "python"

core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=NAMESPACE)))
try:
    # Pods: create, watch to Running, exec, logs, patch, delete.
    container = client.V1Container(
        name="main",
        image="busybox",
        image_pull_policy="IfNotPresent",
        command=["sh", "-c", "echo ready; sleep 3600"],
    )
    spec = client.V1PodSpec(containers=[container], termination_grace_period_seconds=1)
    pod = client.V1Pod(metadata=client.V1ObjectMeta(name="one", labels={"app": "one"}), spec=spec)
    core.create_namespaced_pod(NAMESPACE, pod)
    watcher = watch.Watch()
    for event in watcher.stream(core.list_namespaced_pod, NAMESPACE, label_selector="app=one", timeout_seconds=60):
        if event["object"].status.phase == "Running":
            watcher.stop()
    answer = stream(
        core.connect_get_namespaced_pod_exec,
        "one",
        NAMESPACE,
        command=["sh", "-c", "echo out; echo err >&2"],
        stdout=True,
        stderr=True,
        stdin=False,
        tty=False,
    )
    assert "out" in answer and "err" in answer, answer
    assert core.read_namespaced_pod_log("one", NAMESPACE) == "ready\n"
    patched = core.patch_namespaced_pod("one", NAMESPACE, {"metadata": {"labels": {"more": "yes"}}})
    assert patched.metadata.labels == {"app": "one", "more": "yes"}
    assert len(core.list_namespaced_pod(NAMESPACE, label_selector="more=yes").items) == 1
    assert len(core.list_pod_for_all_namespaces(field_selector="metadata.name=one").items) == 1
    core.delete_namespaced_pod("one", NAMESPACE)

    # Deployments and their ReplicaSets.
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels={"app": "web"}),
        spec=client.V1PodSpec(
            containers=[client.V1Container(name="web", image="kogge/hello", image_pull_policy="IfNotPresent")],
            termination_grace_period_seconds=1,
        ),
    )
    selector = client.V1LabelSelector(match_labels={"app": "web"})
    deployment = client.V1Deployment(
        metadata=client.V1ObjectMeta(name="web"),
        spec=client.V1DeploymentSpec(replicas=2, selector=selector, template=template),
    )
    apps.create_namespaced_deployment(NAMESPACE, deployment)
    watcher = watch.Watch()
    for event in watcher.stream(apps.list_namespaced_deployment, NAMESPACE, timeout_seconds=60):
        if event["object"].status.ready_replicas == 2:
            watcher.stop()
    live = apps.read_namespaced_deployment("web", NAMESPACE)
    assert live.status.ready_replicas == 2, live.status
    live.spec.replicas = 3
    apps.replace_namespaced_deployment("web", NAMESPACE, live)
    assert apps.read_namespaced_deployment_scale("web", NAMESPACE).spec.replicas == 3
    apps.patch_namespaced_deployment_scale("web", NAMESPACE, {"spec": {"replicas": 1}})
    sets = apps.list_namespaced_replica_set(NAMESPACE, label_selector="app=web").items
    assert len(sets) == 1 and sets[0].metadata.owner_references[0].kind == "Deployment"

    # Services.
    service = client.V1Service(
        metadata=client.V1ObjectMeta(name="web"),
        spec=client.V1ServiceSpec(
            selector={"app": "web"},
            session_affinity="ClientIP",
            ports=[client.V1ServicePort(port=80, target_port=8080)],
        ),
    )
    made = core.create_namespaced_service(NAMESPACE, service)
    assert made.spec.session_affinity_config.client_ip.timeout_seconds == 10800
    assert made.spec.cluster_ip
    core.patch_namespaced_service("web", NAMESPACE, {"spec": {"type": "NodePort"}})
    assert core.read_namespaced_service("web", NAMESPACE).spec.ports[0].node_port >= 30000
    core.delete_namespaced_service("web", NAMESPACE)

    # A foreground deletion: the Deployment goes when all that it owns is gone.
    apps.delete_namespaced_deployment("web", NAMESPACE, propagation_policy="Foreground")
    watcher = watch.Watch()
    for event in watcher.stream(apps.list_namespaced_deployment, NAMESPACE, timeout_seconds=60):
        if event["type"] == "DELETED":
            watcher.stop()
    assert apps.list_namespaced_replica_set(NAMESPACE).items == []

    # Errors arrive as ApiException with a Status.
    try:
        core.read_namespaced_pod("absent", NAMESPACE)
        raise AssertionError("a pod that does not exist was read")
    except client.ApiException as error:
        assert error.status == 404 and '"reason":"NotFound"' in error.body
finally:
    core.delete_namespace(NAMESPACE)
print("done")

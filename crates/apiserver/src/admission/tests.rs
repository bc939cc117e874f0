use api_rules::admission::Operation;
use api_rules::authz::User;
use api_types::{GroupVersionKind, GroupVersionResource};
use component::Shutdown;
use serde_json::json;

use super::*;
use crate::{bootstrap, service_alloc::ServiceAllocator, test_core};

async fn chain() -> Chain {
    let core = test_core::core(test_core::config()).await;
    bootstrap::run(&core, &ServiceAllocator::new(Arc::clone(&core)).unwrap()).await.unwrap();
    let authorizer = Authorizer::start(&core, &Shutdown::new());
    authorizer.ready().await;
    Chain::new(core, authorizer)
}

fn request<'a>(
    user: &'a User,
    group: &'static str,
    kind: &'static str,
    resource: &'static str,
) -> AdmissionRequest<'a> {
    AdmissionRequest {
        operation: Operation::Create,
        user,
        kind: GroupVersionKind::new(group, "v1", kind),
        resource: GroupVersionResource::new(group, "v1", resource),
        subresource: "",
        namespace: "default",
        name: "x",
        old: None,
        dry_run: false,
    }
}

#[tokio::test]
async fn a_namespace_created_a_moment_ago_counts() {
    let chain = chain().await;
    let user = User::new("ann", ["devs"]);
    let in_shop = AdmissionRequest { namespace: "shop", ..request(&user, "", "ConfigMap", "configmaps") };
    let missing = chain.mutate(&in_shop, &mut json!({})).await.unwrap_err();
    assert_eq!(missing.message, r#"namespaces "shop" not found"#);
    let id = chain.core.resource("", "namespaces").unwrap();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "uid": "u"}});
    let put = store::Write::put(chain.core.store.key(&id, "", "shop"), api_rules::encode(&namespace));
    chain.core.store.commit(store::Transaction { checks: Vec::new(), writes: vec![put] }).await.unwrap();
    chain.mutate(&in_shop, &mut json!({})).await.unwrap();
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_have() {
    let chain = chain().await;
    let rbac = "rbac.authorization.k8s.io";
    let role = json!({"metadata": {"name": "x"}, "rules": [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]});
    let (ann, root) = (User::new("ann", ["devs"]), User::new("root", ["system:masters"]));
    chain.validate(&request(&root, rbac, "Role", "roles"), &role).await.unwrap();
    let refused = chain.validate(&request(&ann, rbac, "Role", "roles"), &role).await.unwrap_err();
    assert_eq!(
        refused.message,
        "roles.rbac.authorization.k8s.io \"x\" is forbidden: user \"ann\" (groups=[\"devs\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\" \"list\"]}"
    );
    let binding =
        json!({"metadata": {"name": "x"}, "roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": []});
    assert_eq!(
        chain.validate(&request(&ann, rbac, "RoleBinding", "rolebindings"), &binding).await.unwrap_err().code,
        403
    );
}

#[tokio::test]
async fn signers_are_for_those_who_may_use_them() {
    let chain = chain().await;
    let group = "certificates.k8s.io";
    let csr = |signer: &str| json!({"metadata": {"name": "x"}, "spec": {"signerName": signer}, "status": {}});
    let with = |mut csr: Value, conditions: Value| {
        csr["status"] = conditions;
        csr
    };
    let old = csr("kubernetes.io/kube-apiserver-client-kubelet");
    let issued = with(old.clone(), json!({"certificate": "Yg=="}));
    let controller = User::new("system:serviceaccount:kube-system:certificate-controller", ["system:serviceaccounts"]);
    let ann = User::new("ann", ["devs"]);
    let on = |user, subresource| AdmissionRequest {
        operation: Operation::Update,
        subresource,
        old: Some(&old),
        ..request(user, group, "CertificateSigningRequest", "certificatesigningrequests")
    };
    chain.validate(&on(&controller, "approval"), &old).await.unwrap();
    chain.validate(&on(&controller, "status"), &issued).await.unwrap();
    chain.validate(&on(&ann, "status"), &old).await.unwrap();
    for (subresource, verb) in [("approval", "approve"), ("status", "sign")] {
        let refused = chain.validate(&on(&ann, subresource), &issued).await.unwrap_err();
        let why = format!(
            "user not permitted to {verb} requests with signerName \"kubernetes.io/kube-apiserver-client-kubelet\""
        );
        assert_eq!(
            refused.message,
            format!("certificatesigningrequests.certificates.k8s.io \"x\" is forbidden: {why}")
        );
    }
}

#[tokio::test]
async fn nobody_asks_to_be_master() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let chain = chain().await;
    let ann = User::new("ann", ["devs"]);
    let creates = request(&ann, "certificates.k8s.io", "CertificateSigningRequest", "certificatesigningrequests");
    let asked = |group: &str| {
        let mut parameters = rcgen::CertificateParams::default();
        parameters.distinguished_name.push(rcgen::DnType::OrganizationName, group);
        let key = rcgen::KeyPair::generate().unwrap();
        let pem = parameters.serialize_request(&key).unwrap().pem().unwrap();
        json!({"spec": {"signerName": "kubernetes.io/kube-apiserver-client", "request": STANDARD.encode(pem)}})
    };
    chain.validate(&creates, &asked("devs")).await.unwrap();
    let refused = chain.validate(&creates, &asked("system:masters")).await.unwrap_err();
    assert!(
        refused
            .message
            .ends_with("use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed")
    );
}

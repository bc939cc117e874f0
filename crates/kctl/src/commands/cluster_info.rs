//! `kctl cluster-info`: where the cluster answers.

use clap::Args;

use crate::session::{Session, with_query};

#[derive(Args, Debug)]
pub struct ClusterInfo {}

impl ClusterInfo {
    pub async fn run(self, session: &Session) -> anyhow::Result<()> {
        session.get("/version").await?;
        println!("Kubernetes control plane is running at {}", session.server);
        let path = with_query(
            "/api/v1/namespaces/kube-system/services",
            &[("labelSelector", "kubernetes.io/cluster-service=true")],
        );
        for service in session.list(&path).await?.0 {
            let meta = &service["metadata"];
            let name = meta["name"].as_str().unwrap_or_default();
            let title = meta["labels"]["kubernetes.io/name"].as_str().unwrap_or(name);
            let port = service["spec"]["ports"][0]["name"].as_str().map(|p| format!(":{p}")).unwrap_or_default();
            println!(
                "{title} is running at {}/api/v1/namespaces/kube-system/services/{name}{port}/proxy",
                session.server
            );
        }
        Ok(())
    }
}

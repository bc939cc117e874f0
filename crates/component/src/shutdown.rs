//! One signal that ends a component, passed to every task it starts.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[derive(Clone, Debug, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins on SIGTERM or SIGINT; a second signal ends the process at once.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::new();
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let begun = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! { _ = term.recv() => {} _ = int.recv() => {} }
            tracing::info!("shutting down");
            begun.begin();
            tokio::select! { _ = term.recv() => {} _ = int.recv() => {} }
            std::process::exit(1);
        });
        Ok(shutdown)
    }

    /// Ends everything that holds this or a child of it.
    pub fn begin(&self) {
        self.0.cancel();
    }

    pub fn has_begun(&self) -> bool {
        self.0.is_cancelled()
    }

    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }

    /// Ends with this one, and can be ended alone.
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    pub fn token(&self) -> &CancellationToken {
        &self.0
    }

    /// Runs `work` until it ends or shutdown begins; `None` when shutdown came first.
    pub async fn or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.0.run_until_cancelled(work).await
    }
}

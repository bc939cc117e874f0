//! What can go wrong between Kogge and a container runtime, as far as a caller would act differently.

/// The result of a runtime call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed runtime call.
///
/// `Display` is the runtime's own words: users read them in events and container statuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The container, sandbox or image does not exist.
    #[error("{0}")]
    NotFound(String),
    /// The name is taken: a container or sandbox of that name and attempt exists already.
    #[error("{0}")]
    AlreadyExists(String),
    /// The runtime does not answer: it is starting, stopping or gone. Worth trying again.
    #[error("{0}")]
    Unavailable(String),
    /// The call did not finish in its time; whether it took effect is unknown.
    #[error("{0}")]
    Timeout(String),
    /// The runtime is too old for this call.
    #[error("{0}")]
    Unimplemented(String),
    /// An image could not be pulled from its registry.
    #[error("{message}")]
    ImagePull {
        /// The image as it was asked for.
        image: String,
        /// Why, as far as the kubelet words it differently.
        cause: PullFailure,
        /// The runtime's words.
        message: String,
    },
    /// Anything else, in the runtime's words.
    #[error("{0}")]
    Failed(String),
}

/// Why a pull failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullFailure {
    /// The registry does not know the image, or hides that it does.
    NotFound,
    /// The registry wants other credentials.
    Unauthorized,
    /// The registry cannot be reached, or answers nonsense.
    RegistryUnavailable,
    /// The image's name cannot be parsed.
    InvalidName,
    /// Anything else.
    Other,
}

impl Error {
    /// Whether the error says that the object is gone, which most callers that tear down take for success.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::NotFound(_))
    }

    /// Sorts a failed pull by the runtime's words: CRI has no code for it.
    pub(crate) fn image_pull(image: &str, message: String) -> Error {
        let lower = message.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let cause = if has(&["invalid reference", "parse image reference", "failed to parse image"]) {
            PullFailure::InvalidName
        } else if has(&["401 unauthorized", "403 forbidden", "no basic auth", "authorization failed"]) {
            PullFailure::Unauthorized
        } else if has(&["not found", "does not exist", "manifest unknown"]) {
            PullFailure::NotFound
        } else if has(&[
            "dial tcp",
            "i/o timeout",
            "connection refused",
            "no such host",
            "eof",
            "unexpected status",
            "tls:",
            "x509:",
        ]) {
            PullFailure::RegistryUnavailable
        } else {
            PullFailure::Other
        };
        Error::ImagePull { image: image.to_owned(), cause, message }
    }
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Error {
        use tonic::Code;
        let message = status.message().to_owned();
        match status.code() {
            Code::NotFound => Error::NotFound(message),
            Code::AlreadyExists => Error::AlreadyExists(message),
            Code::Unavailable => Error::Unavailable(message),
            Code::DeadlineExceeded => Error::Timeout(message),
            Code::Unimplemented => Error::Unimplemented(message),
            // containerd's CRI answers Unknown for much that has a code of its own, and says which in its text.
            Code::Unknown if message.contains("does not exist") || message.ends_with("not found") => {
                Error::NotFound(message)
            }
            Code::Unknown if message.contains("is reserved for") => Error::AlreadyExists(message),
            Code::Unknown if message.contains("server is not initialized yet") => Error::Unavailable(message),
            // A broken connection reaches the caller as Unknown or Cancelled with a transport error below it.
            _ if std::error::Error::source(&status).is_some() => Error::Unavailable(message),
            _ => Error::Failed(message),
        }
    }
}

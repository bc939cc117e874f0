//! service-rules

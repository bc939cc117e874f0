//! api-rules

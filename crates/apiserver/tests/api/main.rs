//! The API as a client sees it, from HTTP to the store and back.

mod deletes;
mod harness;
mod pods;
mod reads;
mod watches;
mod writes;

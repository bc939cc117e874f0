//! The rules of the kinds of storage, networking, admission, flow control and devices: defaults, validation, updates, cells.

mod admission;
mod check;
mod devices;
mod flow_control;
mod networking;
mod storage;

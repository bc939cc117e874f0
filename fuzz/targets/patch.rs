//! The patches against objects: no panic, and no blow-up in size.
//!
//! The input is a byte that says which, a JSON object, a zero byte, and the patch.

#![no_main]

use api_rules::{kinds, patch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [which, rest @ ..] = data else { return };
    let Some(end) = rest.iter().position(|byte| *byte == 0) else { return };
    let (object, body) = (&rest[..end], &rest[end + 1..]);
    let Ok(object) = serde_json::from_slice(object) else { return };
    let patched = match which % 3 {
        0 => patch::json::apply(&object, body),
        1 => patch::merge::apply(&object, body),
        _ => {
            let all = kinds::all();
            patch::strategic::apply(&object, body, all[usize::from(*which) / 3 % all.len()].schema())
        }
    };
    if let Ok(patched) = patched {
        // A JSON patch may copy what is there, each time twice as much: that has a limit.
        assert!(patched.to_string().len() <= (data.len() + 16) << 10);
    }
});

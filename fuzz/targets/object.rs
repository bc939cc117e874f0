//! Objects of every kind, from bytes to the store's form and back: no panic, and what was written reads the same.

#![no_main]

use std::collections::BTreeMap;

use api_rules::{Context, Encoding, FieldValidation, Requester, encode, kinds};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [which, how, body @ ..] = data else { return };
    let all = kinds::all();
    let kind = all[usize::from(*which) % all.len()];
    let encoding = if how & 1 == 0 { Encoding::Json } else { Encoding::Yaml };
    let validation = if how & 2 == 0 { FieldValidation::Warn } else { FieldValidation::Strict };
    let Ok(decoded) = kind.decode(body, encoding, validation) else { return };
    let mut object = decoded.object;
    let extra = BTreeMap::new();
    let user = Requester { name: "fuzz", uid: "", groups: &[], extra: &extra };
    let context = Context { now: Timestamp::UNIX_EPOCH, user };
    kind.set_defaults(&mut object);
    kind.prepare_create(&mut object, &context);
    let errors = kind.validate_create(&object);
    kind.warnings(&object);
    assert_eq!(kind.cells(&object, context.now).len(), kind.columns().len());
    for field in kind.selectable_fields() {
        kind.field(&object, field);
    }
    let stored = encode(&object);
    let read: serde_json::Value = serde_json::from_slice(&stored).expect("what we write is JSON");
    assert!(api_rules::is_noop(&object, &read));
    if errors.is_empty() {
        let mut again = read.clone();
        kind.set_defaults(&mut again);
        assert!(api_rules::is_noop(&again, &read), "defaults are given once: {again}");
        kind.validate_update(&again, &read, None);
        kind.validate_update(&again, &read, Some("status"));
    }
});

//! Small languages: selectors, quantities, paths.

#![no_main]

use api_types::{
    quantity::Quantity,
    selector::{FieldSelector, Selector},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(selector) = Selector::parse(text) {
        let again = Selector::parse(&selector.to_string()).expect("what we write can be read");
        assert_eq!(again, selector);
    }
    if let Ok(selector) = FieldSelector::parse(text) {
        FieldSelector::parse(&selector.to_string()).expect("what we write can be read");
    }
    if let Ok(quantity) = Quantity::parse(text) {
        let again = Quantity::parse(&quantity.to_string()).expect("what we write can be read");
        assert_eq!((again.value(), again.milli_value()), (quantity.value(), quantity.milli_value()), "{text}");
    }
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    apiserver::request_info::parse(&http::Method::GET, path, query);
});

use super::*;

fn occurrence(second: i64, text: &str) -> Occurrence {
    Occurrence {
        at: Timestamp::from_second(second).unwrap(),
        component: "c".into(),
        instance: "i".into(),
        warning: false,
        reason: "Reason".into(),
        text: text.into(),
        action: String::new(),
        regarding: ObjectReference {
            name: Some("o".into()),
            namespace: Some("n".into()),
            ..ObjectReference::default()
        },
        related: None,
    }
}

fn body(report: Option<Report>) -> (bool, Value) {
    match report.expect("reported") {
        Report::New { body, .. } => (true, body),
        Report::Again { body, .. } => (false, body),
    }
}

#[test]
fn the_same_again_is_counted() {
    let mut memory = Memory::default();
    let (new, first) = body(memory.decide(&occurrence(0, "t")));
    assert!(new);
    assert_eq!((first["count"].clone(), first["type"].clone()), (json!(1), json!("Normal")));
    let (new, again) = body(memory.decide(&occurrence(5, "t")));
    assert!(!new);
    assert_eq!((again["count"].clone(), again["lastTimestamp"].clone()), (json!(2), json!("1970-01-01T00:00:05Z")));
}

#[test]
fn many_that_differ_only_in_their_text_become_one() {
    let mut memory = Memory::default();
    let outcomes: Vec<bool> =
        (0..15).map(|number| body(memory.decide(&occurrence(number, &number.to_string()))).0).collect();
    // Each of the first, and the combined one.
    assert_eq!(outcomes.iter().filter(|new| **new).count(), SIMILAR + 1, "{outcomes:?}");
    let (_, combined) = body(memory.decide(&occurrence(20, "x")));
    assert_eq!(combined["message"], "(combined from similar events): x");
}

#[test]
fn a_flood_is_silenced_for_a_while() {
    let mut memory = Memory::default();
    let reported = (0..100).filter(|_| memory.decide(&occurrence(0, "t")).is_some()).count();
    assert_eq!(reported, 25);
    assert!(memory.decide(&occurrence(299, "t")).is_none());
    assert!(memory.decide(&occurrence(301, "t")).is_some());
}

#[test]
fn memory_is_bounded() {
    let mut memory = Memory::default();
    for number in 0..3 * REMEMBERED {
        let mut occurrence = occurrence(i64::try_from(number).unwrap(), "t");
        occurrence.regarding.name = Some(number.to_string());
        memory.decide(&occurrence);
    }
    assert!(memory.events.len() <= REMEMBERED + 1 && memory.budgets.len() <= REMEMBERED + 1);
}

#[test]
fn long_texts_are_cut_between_characters() {
    assert_eq!(truncated("äöü", 3), "ä");
    assert_eq!(truncated("abc", 9), "abc");
}

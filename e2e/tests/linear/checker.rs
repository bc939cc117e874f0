//! Is there an order of the operations, each somewhere between its call and its answer, in which a single object would have
//! answered as it was answered? (Wing and Gong's search, with the memory of Lowe.)
//!
//! Every write carries a value of its own, so a value names the write that made it.

use std::collections::HashSet;

/// The number of a write.
pub type Value = u32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Read,
    Create(Value),
    /// Whatever is there is replaced.
    Put(Value),
    /// Replaces what the first value's write made.
    Swap(Value, Value),
    Delete,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What a read found.
    Found(Option<Value>),
    Done,
    /// 404: nothing was there.
    Absent,
    /// 409: something, or something else, was there.
    Conflict,
    /// It may have happened, at any time after its call.
    Unknown,
}

#[derive(Clone, Debug)]
pub struct Call {
    pub operation: Operation,
    pub answer: Answer,
    /// Nanoseconds since the beginning of the round.
    pub called: u64,
    pub answered: u64,
}

/// So many states are looked at before the search is given up.
const LIMIT: usize = 2_000_000;

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Linearizable,
    /// The longest beginning that could be put in order, and what followed it.
    Violated {
        ordered: usize,
        of: usize,
        stuck_at: Vec<String>,
    },
    Undecided,
}

/// The state after an operation that was answered so; `None` if that cannot be.
fn step(state: Option<Value>, operation: &Operation, answer: &Answer) -> Option<Option<Value>> {
    use Operation::{Create, Delete, Put, Read, Swap};
    match (operation, answer) {
        (Read, Answer::Found(found)) => (*found == state).then_some(state),
        (Create(new), Answer::Done) => state.is_none().then_some(Some(*new)),
        (Create(_), Answer::Conflict) => state.is_some().then_some(state),
        (Create(new), Answer::Unknown) => Some(state.or(Some(*new))),
        (Put(new), Answer::Done) => state.is_some().then_some(Some(*new)),
        (Put(new), Answer::Unknown) => Some(state.map(|_| *new)),
        (Swap(old, new), Answer::Done) => (state == Some(*old)).then_some(Some(*new)),
        (Swap(old, _), Answer::Conflict) => (state != Some(*old)).then_some(state),
        (Swap(old, new), Answer::Unknown) => Some(if state == Some(*old) { Some(*new) } else { state }),
        (Delete, Answer::Done) => state.is_some().then_some(None),
        (Delete, Answer::Unknown) => Some(None),
        (Put(_) | Swap(..) | Delete, Answer::Absent) => state.is_none().then_some(None),
        _ => None,
    }
}

/// Judges the history of one key, which is absent at first.
pub fn check(calls: &[Call]) -> Verdict {
    let mut calls: Vec<&Call> = calls.iter().collect();
    // Those that were answered first, in the order of their answers: most often that is the order that works.
    calls.sort_by_key(|call| (call.answer == Answer::Unknown, call.answered));
    let known = calls.iter().filter(|call| call.answer != Answer::Unknown).count();
    let mut search = Search { calls: &calls, known, taken: vec![false; calls.len()], seen: HashSet::new(), best: 0 };
    let mut stuck_at = Vec::new();
    match search.go(None, 0, &mut stuck_at) {
        Some(true) => Verdict::Linearizable,
        Some(false) => Verdict::Violated { ordered: search.best, of: known, stuck_at },
        None => Verdict::Undecided,
    }
}

struct Search<'a> {
    calls: &'a [&'a Call],
    known: usize,
    taken: Vec<bool>,
    seen: HashSet<(Vec<bool>, Option<Value>)>,
    best: usize,
}

impl Search<'_> {
    /// Depth first, without recursion of the stack's depth being a matter: histories are a few hundred calls.
    fn go(&mut self, state: Option<Value>, ordered: usize, stuck_at: &mut Vec<String>) -> Option<bool> {
        if ordered == self.known {
            return Some(true);
        }
        if self.seen.len() > LIMIT {
            return None;
        }
        if !self.seen.insert((self.taken.clone(), state)) {
            return Some(false);
        }
        // Whatever comes next was called before the first of the rest was answered.
        let open = |n: &usize| !self.taken[*n];
        let bound = (0..self.known).filter(open).map(|n| self.calls[n].answered).min().unwrap_or(u64::MAX);
        let candidates: Vec<usize> =
            (0..self.calls.len()).filter(open).filter(|n| self.calls[*n].called <= bound).collect();
        if ordered >= self.best {
            self.best = ordered;
            *stuck_at = candidates.iter().map(|n| format!("{:?} with {state:?} there", self.calls[*n])).collect();
        }
        for n in candidates {
            let call = self.calls[n];
            let Some(next) = step(state, &call.operation, &call.answer) else { continue };
            let is_known = n < self.known;
            if !is_known && next == state {
                continue;
            }
            self.taken[n] = true;
            let found = self.go(next, ordered + usize::from(is_known), stuck_at);
            self.taken[n] = false;
            if found != Some(false) {
                return found;
            }
        }
        Some(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(operation: Operation, answer: Answer, called: u64, answered: u64) -> Call {
        Call { operation, answer, called, answered }
    }

    fn check_is(calls: &[Call], expected: bool) {
        assert_eq!(check(calls) == Verdict::Linearizable, expected, "{calls:?}: {:?}", check(calls));
    }

    #[test]
    fn what_one_object_could_have_answered() {
        use Answer::{Absent, Conflict, Done, Found, Unknown};
        use Operation::{Create, Delete, Put, Read, Swap};
        check_is(&[], true);
        check_is(&[call(Create(1), Done, 0, 1), call(Read, Found(Some(1)), 2, 3)], true);
        check_is(&[call(Create(1), Done, 0, 1), call(Read, Found(None), 2, 3)], false);
        check_is(&[call(Create(1), Done, 0, 4), call(Read, Found(None), 2, 3)], true);
        // Two reads that disagree about the order of two writes at once.
        let writes = [call(Create(1), Done, 0, 1), call(Put(2), Done, 2, 9), call(Put(3), Done, 2, 9)];
        let reads = |a, b| [call(Read, Found(Some(a)), 10, 11), call(Read, Found(Some(b)), 12, 13)];
        check_is(&[&writes[..], &reads(2, 2)].concat(), true);
        check_is(&[&writes[..], &reads(2, 3)].concat(), false);
        // An unknown write may show late, but does not come back.
        let unknown = [call(Create(1), Done, 0, 1), call(Put(2), Unknown, 2, 3)];
        check_is(&[&unknown[..], &reads(1, 2)].concat(), true);
        check_is(&[&unknown[..], &reads(2, 1)].concat(), false);
        check_is(&[call(Create(1), Done, 0, 1), call(Swap(1, 2), Done, 2, 5), call(Swap(1, 3), Done, 2, 5)], false);
        check_is(&[call(Create(1), Done, 0, 1), call(Swap(1, 2), Done, 2, 5), call(Swap(1, 3), Conflict, 2, 5)], true);
        check_is(&[call(Create(1), Done, 0, 1), call(Delete, Done, 2, 3), call(Put(2), Absent, 4, 5)], true);
        check_is(&[call(Create(1), Done, 0, 1), call(Create(2), Done, 2, 3)], false);
        check_is(&[call(Create(1), Unknown, 0, 1), call(Create(2), Conflict, 2, 3)], true);
    }
}

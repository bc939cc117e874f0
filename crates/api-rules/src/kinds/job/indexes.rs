//! Sets of completion indexes in their short form: `1,3-5,7`.

/// The ranges in it, each with both ends; an error in upstream's words if they do not rise or reach `completions`.
pub fn parse(text: &str, completions: i32) -> Result<Vec<(i64, i64)>, String> {
    let mut ranges: Vec<(i64, i64)> = Vec::new();
    let mut last: Option<i64> = None;
    for fragment in text.split(',').filter(|_| !text.is_empty()) {
        let ends: Vec<_> = fragment.split('-').collect();
        if ends.len() > 2 {
            return Err(format!(
                "the fragment {fragment:?} violates the requirement that an index interval can have at most two parts separated by '-'"
            ));
        }
        let first = index(ends[0], completions, &mut last)?;
        let end = match ends.get(1) {
            Some(end) => index(end, completions, &mut last)?,
            None => first,
        };
        ranges.push((first, end));
    }
    Ok(ranges)
}

fn index(text: &str, completions: i32, last: &mut Option<i64>) -> Result<i64, String> {
    let index: i64 = text.parse().map_err(|_| format!("cannot convert string to integer for index: {text:?}"))?;
    if index >= completions.into() {
        return Err(format!("too large index: {text:?}"));
    }
    if let Some(previous) = last.filter(|last| *last >= index) {
        return Err(format!("non-increasing order, previous: {previous}, current: {index}"));
    }
    *last = Some(index);
    Ok(index)
}

/// How many indexes the ranges hold.
pub fn count(ranges: &[(i64, i64)]) -> i64 {
    ranges.iter().map(|(first, last)| last - first + 1).sum()
}

/// The first index that both hold.
pub fn overlap(a: &[(i64, i64)], b: &[(i64, i64)]) -> Option<i64> {
    a.iter().find_map(|(first, last)| {
        b.iter().find_map(|(from, to)| {
            let start = *first.max(from);
            (start <= *last.min(to)).then_some(start)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        assert_eq!(parse("", 5), Ok(vec![]));
        assert_eq!(parse("0,2-4", 5).map(|r| count(&r)), Ok(4));
        assert_eq!(parse("5", 5), Err("too large index: \"5\"".into()));
        assert_eq!(parse("2,1", 5), Err("non-increasing order, previous: 2, current: 1".into()));
        assert_eq!(parse("x", 5), Err("cannot convert string to integer for index: \"x\"".into()));
        assert!(parse("1-2-3", 5).unwrap_err().starts_with("the fragment \"1-2-3\" violates"));
        assert_eq!(overlap(&[(0, 3)], &[(4, 5)]), None);
        assert_eq!(overlap(&[(0, 3), (6, 9)], &[(4, 7)]), Some(6));
    }
}

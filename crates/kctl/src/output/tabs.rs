//! Lines with tab stops that fit what stands between them: a tab ends a cell, and neighbouring lines with a cell in
//! the same place line up. `describe` is laid out so.

/// Replaces tabs by at least `gap` spaces.
pub fn align(text: &str, gap: usize) -> String {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let mut widths: Vec<Vec<usize>> = lines.iter().map(|cells| vec![0; cells.len() - 1]).collect();
    let columns = widths.iter().map(Vec::len).max().unwrap_or(0);
    for column in 0..columns {
        let mut start = 0;
        while start < lines.len() {
            let end = (start..lines.len()).find(|&n| widths[n].len() <= column).unwrap_or(lines.len());
            let widest = (start..end).map(|n| lines[n][column].chars().count()).max().unwrap_or(0);
            (start..end).for_each(|n| widths[n][column] = widest + gap);
            start = end + 1;
        }
    }
    let mut out = String::new();
    for (cells, widths) in lines.iter().zip(&widths) {
        for (cell, width) in cells.iter().zip(widths.iter().copied().chain([0])) {
            out.push_str(cell);
            out.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_line_up() {
        assert_eq!(
            align("Name:\ta\nNamespace:\tb\nX:\n  k:\tv\n  long:\tw\n", 2),
            "Name:       a\nNamespace:  b\nX:\n  k:     v\n  long:  w\n"
        );
    }
}

//! Text in columns as kubectl lays it out: each as wide as its widest cell and a gap, the last one ragged.

/// Rows that are printed together so that their columns line up.
#[derive(Debug, Default)]
pub struct Columns {
    rows: Vec<Vec<String>>,
    gap: usize,
    least: usize,
}

impl Columns {
    /// As `get` prints: three spaces between columns.
    pub fn table() -> Self {
        Self { gap: 3, least: 6, ..Self::default() }
    }

    /// As `describe` prints: two spaces.
    pub fn description() -> Self {
        Self { gap: 2, ..Self::default() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The widths that [`render_with`](Self::render_with) would use.
    pub fn widths(&self) -> Vec<usize> {
        let count = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |n: usize| self.rows.iter().filter_map(|r| r.get(n)).map(|c| c.chars().count()).max().unwrap_or(0);
        (0..count).map(|n| (width(n) + self.gap).max(self.least)).collect()
    }

    pub fn render(&self) -> String {
        self.render_with(&self.widths())
    }

    /// Lays out in given widths, so that rows of a watch stay under their header.
    pub fn render_with(&self, widths: &[usize]) -> String {
        let mut out = String::new();
        for row in &self.rows {
            for (n, cell) in row.iter().enumerate() {
                out.push_str(cell);
                if n + 1 < row.len() {
                    let used = cell.chars().count();
                    let width = widths.get(n).copied().unwrap_or(0).max(used + self.gap);
                    out.extend(std::iter::repeat_n(' ', width - used));
                }
            }
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_up() {
        let mut table = Columns::table();
        table.row(["NAME", "READY", "AGE"]);
        table.row(["hello-world", "1/1", "5s"]);
        assert_eq!(table.render(), "NAME          READY   AGE\nhello-world   1/1     5s\n");
    }
}

//! Figures of paired rounds as Markdown: medians, and ratios to the first server within each round.

use std::fmt::Write as _;

/// One column of figures.
#[derive(Clone, Copy)]
pub struct Column {
    /// Its head, with the unit.
    pub title: &'static str,
    /// Digits after the point.
    pub decimals: usize,
    /// Whether a second column gives the ratio to the first server.
    pub ratio: bool,
}

/// A column of plain figures.
pub const fn plain(title: &'static str, decimals: usize) -> Column {
    Column { title, decimals, ratio: false }
}

/// A column of figures followed by their ratios to the first server's.
pub const fn paired(title: &'static str, decimals: usize) -> Column {
    Column { title, decimals, ratio: true }
}

/// The figures of one server, round by round; a round that failed is none. NaN stands for "not measured".
pub struct Row {
    /// The server.
    pub label: String,
    /// One entry a round, each with one figure a column.
    pub rounds: Vec<Option<Vec<f64>>>,
}

/// The table of `rows`.
pub fn markdown(columns: &[Column], rows: &[Row]) -> String {
    let mut heads = vec!["server".to_owned()];
    for column in columns {
        heads.push(column.title.into());
        if column.ratio {
            heads.push(format!("× {}", rows.first().map_or("first", |row| row.label.as_str())));
        }
    }
    let mut text = format!("| {} |\n|---|{}\n", heads.join(" | "), "---:|".repeat(heads.len() - 1));
    for row in rows {
        let _ = write!(text, "| {}", row.label);
        for (index, column) in columns.iter().enumerate() {
            let figures = row.rounds.iter().flatten().map(|round| round[index]);
            let _ = write!(text, " | {}", spread(figures, column.decimals, false));
            if column.ratio {
                let _ = write!(text, " | {}", spread(ratios(row, rows, index).into_iter(), 2, true));
            }
        }
        text.push_str(" |\n");
    }
    text
}

/// Per round, the figure divided by the first server's of the same round. For the first server itself, its figures
/// divided by their median: the noise of the machine.
fn ratios(row: &Row, rows: &[Row], index: usize) -> Vec<f64> {
    let Some(first) = rows.first() else { return Vec::new() };
    let ratio = |mine: f64, other: f64| (other != 0.0).then_some(mine / other);
    if std::ptr::eq(row, first) {
        let own: Vec<f64> = first.rounds.iter().flatten().map(|round| round[index]).collect();
        let median = median(&sorted(own.iter().copied())).unwrap_or(0.0);
        return own.into_iter().filter_map(|figure| ratio(figure, median)).collect();
    }
    let pairs = row.rounds.iter().zip(&first.rounds);
    pairs.filter_map(|(mine, first)| ratio(mine.as_ref()?[index], first.as_ref()?[index])).collect()
}

fn sorted(figures: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = figures.filter(|figure| !figure.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The median, and where it is wanted and there are several the least and the greatest.
fn spread(figures: impl Iterator<Item = f64>, decimals: usize, bounds: bool) -> String {
    let sorted = sorted(figures);
    let (Some(least), Some(median), Some(greatest)) = (sorted.first(), median(&sorted), sorted.last()) else {
        return "–".into();
    };
    if bounds && sorted.len() > 1 && format!("{least:.decimals$}") != format!("{greatest:.decimals$}") {
        format!("{median:.decimals$} ({least:.decimals$}–{greatest:.decimals$})")
    } else {
        format!("{median:.decimals$}")
    }
}

fn median(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 { Some(upper) } else { Some((sorted[sorted.len() / 2 - 1] + upper) / 2.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_pair_within_a_round_and_failed_rounds_are_left_out() {
        let row = |label: &str, rounds: &[Option<[f64; 2]>]| Row {
            label: label.into(),
            rounds: rounds.iter().map(|round| round.map(|figures| figures.to_vec())).collect(),
        };
        let rows = [
            row("bare", &[Some([2.0, 0.0]), Some([4.0, 1.0]), Some([1.0, f64::NAN])]),
            row("other", &[Some([3.0, 5.0]), Some([8.0, 7.0]), None]),
        ];
        assert_eq!(
            markdown(&[paired("µs", 1), plain("lost", 0)], &rows),
            "| server | µs | × bare | lost |\n\
             |---|---:|---:|---:|\n\
             | bare | 2.0 | 1.00 (0.50–2.00) | 0 |\n\
             | other | 5.5 | 1.75 (1.50–2.00) | 6 |\n"
        );
    }
}

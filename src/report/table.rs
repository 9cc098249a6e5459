//! Tables that align.

/// Rows under headings, columns as wide as their widest value, two spaces between.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let count = headings.len();
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, value) in widths.iter_mut().zip(row) {
            *width = (*width).max(value.chars().count());
        }
    }
    let line = |values: Vec<&str>| {
        let mut line = String::new();
        for (position, (value, width)) in values.iter().zip(&widths).enumerate() {
            line.push_str(value);
            if position + 1 < count {
                line.push_str(&" ".repeat(width.saturating_sub(value.chars().count()) + 2));
            }
        }
        line.trim_end().to_owned() + "\n"
    };
    let mut text = line(headings.to_vec());
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_align_whatever_the_letters() {
        let rows = vec![
            vec!["é".to_owned(), "1".to_owned()],
            vec!["longer".to_owned(), "2".to_owned()],
        ];
        assert_eq!(super::table(&["NAME", "N"], &rows), "NAME    N\né       1\nlonger  2\n");
    }
}

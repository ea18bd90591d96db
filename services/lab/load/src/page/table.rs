//! Tables in HTML, and text that is safe in it.

/// A table that grows row by row.
#[derive(Default)]
pub(super) struct Table {
    rows: String,
}

impl Table {
    /// Adds a row of cells.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: String = cells.into_iter().collect();
        self.rows += &format!("<tr>{cells}</tr>\n");
    }

    /// The table. A wide one scrolls by itself on a narrow screen.
    pub fn html(self) -> String {
        format!("<div class=\"wide\"><table>\n{}</table></div>\n", self.rows)
    }
}

/// A cell with text.
pub(super) fn text(text: &str) -> String {
    format!("<td>{}</td>", escape(text))
}

/// A cell with numbers, as HTML.
pub(super) fn figure(html: &str) -> String {
    format!("<td class=\"number\">{html}</td>")
}

/// A cell that says what the cells below it are.
pub(super) fn head(text: &str) -> String {
    format!("<th>{}</th>", escape(text))
}

/// The same above numbers.
pub(super) fn figure_head(text: &str) -> String {
    format!("<th class=\"number\">{}</th>", escape(text))
}

/// Text as it can stand in HTML, also inside an attribute.
pub(super) fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_html_is_escaped() {
        assert_eq!(escape("<a href='x'>\"&lt;\"</a>"), "&lt;a href=&#39;x&#39;&gt;&quot;&amp;lt;&quot;&lt;/a&gt;");
    }
}

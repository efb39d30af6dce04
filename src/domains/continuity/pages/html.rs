//! Writes HTML so that no text can become markup: names are the program's own, the rest is escaped.

/// Attributes of an element; a value is escaped like any other text.
pub type Attributes<'a> = &'a [(&'static str, &'a str)];

/// Elements that have no end (HTML Living Standard §13.1.2).
const VOID: [&str; 6] = ["br", "hr", "img", "input", "link", "meta"];

/// A piece of a page.
#[derive(Debug, Default)]
pub struct Html(String);

impl Html {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Text, as it is to be read.
    pub fn text(&mut self, text: &str) -> &mut Self {
        escape(&mut self.0, text);
        self
    }

    /// An element with what is inside it.
    pub fn el(
        &mut self,
        name: &'static str,
        attributes: Attributes<'_>,
        inside: impl FnOnce(&mut Self),
    ) -> &mut Self {
        self.0.push('<');
        self.0.push_str(name);
        for (attribute, value) in attributes {
            self.0.push(' ');
            self.0.push_str(attribute);
            self.0.push_str("=\"");
            escape(&mut self.0, value);
            self.0.push('"');
        }
        self.0.push('>');
        if VOID.contains(&name) {
            return self;
        }
        inside(self);
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
        self
    }

    /// An element that holds text alone.
    pub fn say(&mut self, name: &'static str, attributes: Attributes<'_>, text: &str) -> &mut Self {
        self.el(name, attributes, |h| {
            h.text(text);
        })
    }

    /// An element without inside.
    pub fn void(&mut self, name: &'static str, attributes: Attributes<'_>) -> &mut Self {
        self.el(name, attributes, |_| {})
    }

    /// A link.
    pub fn link(&mut self, to: &str, text: &str) -> &mut Self {
        self.say("a", &[("href", to)], text)
    }

    /// The whole document around this body's inside.
    pub fn document(self, lang: &str, head: impl FnOnce(&mut Self)) -> String {
        let mut page = Self(String::from("<!doctype html>"));
        page.el("html", &[("lang", lang)], |h| {
            h.el("head", &[], head);
            h.el("body", &[], |h| h.0.push_str(&self.0));
        });
        page.0
    }
}

/// The five characters that mean something in HTML, in text and in quoted values alike; characters that
/// no page may hold become the one that stands for them.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}' => {
                out.push(char::REPLACEMENT_CHARACTER);
            }
            // Letters that turn the direction of what follows could make a line say something else.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup_in_no_place() {
        let evil = "\"'><script>alert(1)</script>&amp;<!--\0\u{202e}\u{1b}é\n";
        let mut html = Html::new();
        html.el("a", &[("href", "/x?a=1&b=2"), ("title", evil)], |h| {
            h.text(evil).void("br", &[]).say("b", &[], "gras");
        });
        let page = html.document("fr", |h| {
            h.say("title", &[], "</title><b>");
        });
        let escaped = "&quot;&#39;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;&lt;!--\u{fffd}\u{fffd}é\n";
        assert_eq!(
            page,
            format!(
                "<!doctype html><html lang=\"fr\"><head><title>&lt;/title&gt;&lt;b&gt;</title></head><body>\
                 <a href=\"/x?a=1&amp;b=2\" title=\"{escaped}\">{escaped}<br><b>gras</b></a></body></html>"
            )
        );
    }
}

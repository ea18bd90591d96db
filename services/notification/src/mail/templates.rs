//! The texts of mails, in each language: `services/notification/templates`.

use anyhow::Result;
use comanda_proto::v1::Item;
use minijinja::{Environment, Value, context};
use tracing::warn;

use super::locale::Locale;

/// The template that every other one falls back to.
const GENERIC: &str = "status";

/// Each text by its file's name. HTML is escaped because of its ending.
const TEXTS: [(&str, &str); 4] = [
    ("status.es.txt", include_str!("../../templates/status.es.txt")),
    ("status.es.html", include_str!("../../templates/status.es.html")),
    ("status.en.txt", include_str!("../../templates/status.en.txt")),
    ("status.en.html", include_str!("../../templates/status.en.html")),
];

/// What a text can speak of.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    pub number: i64,
    pub name: &'a str,
    pub items: &'a [Item],
    /// The status as people call it.
    pub status: &'a str,
}

/// All templates.
#[derive(Debug)]
pub struct Templates(Environment<'static>);

impl Templates {
    /// Reads those that are built in.
    pub fn load() -> Result<Self> {
        let mut environment = Environment::new();
        for (name, text) in TEXTS {
            environment.add_template(name, text)?;
        }
        Ok(Self(environment))
    }

    /// The plain text and the HTML of a mail.
    pub fn render(&self, template: &str, locale: Locale, facts: &Facts<'_>) -> Result<(String, String)> {
        let (template, values) = (self.existing(template), values(facts));
        let part = |ending| self.0.get_template(&file(template, locale, ending))?.render(&values);
        Ok((part("txt")?, part("html")?))
    }

    fn existing<'t>(&self, template: &'t str) -> &'t str {
        if self.0.get_template(&file(template, Locale::Es, "txt")).is_ok() {
            return template;
        }
        warn!(template, "there is no such mail template: taking {GENERIC:?}");
        GENERIC
    }
}

fn file(template: &str, locale: Locale, ending: &str) -> String {
    format!("{template}.{}.{ending}", locale.code())
}

fn values(facts: &Facts<'_>) -> Value {
    let items: Vec<_> = facts.items.iter().map(|i| context! { name => &i.name, quantity => i.quantity }).collect();
    context! { number => facts.number, name => facts.name, status => facts.status, items => items }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(name: &str, quantity: i32) -> Item {
        Item { name: name.into(), quantity, ..Default::default() }
    }

    fn render(template: &str, locale: Locale, items: &[Item]) -> (String, String) {
        let facts = Facts { number: 1042, name: "Ana <x>", items, status: "preparando" };
        Templates::load().expect("valid templates").render(template, locale, &facts).expect("rendered")
    }

    #[test]
    fn a_text_tells_number_products_and_status() {
        let (text, html) = render("status", Locale::Es, &[item("Mole", 2), item("Agua", 1)]);
        let expected =
            "Hola, Ana <x>:\n\nPedido número 1042\nProductos:\n- Mole × 2\n- Agua\n\nEstado de tu pedido: preparando.";
        assert_eq!(text, expected);
        assert!(html.contains("<li>Mole × 2</li>") && html.contains("<strong>preparando</strong>"));
        let (text, _) = render("status", Locale::En, &[item("Mole", 1)]);
        assert_eq!(text, "Hello Ana <x>,\n\nOrder number 1042\nProduct:\n- Mole\n\nStatus of your order: preparando.");
    }

    #[test]
    fn html_is_escaped_and_long_lists_are_cut() {
        let mut items = vec![item("<script>alert(1)</script>", 1)];
        items.extend((0..24).map(|index| item(&format!("p{index}"), 1)));
        let (text, html) = render("status", Locale::Es, &items);
        assert!(html.contains("&lt;script&gt;") && !html.contains("<script>") && html.contains("Ana &lt;x&gt;"));
        assert!(text.contains("\n- p18\n… y 5 más\n") && !text.contains("p19"));
    }

    #[test]
    fn an_unknown_template_falls_back_to_the_generic_one() {
        assert_eq!(render("birthday", Locale::En, &[]), render("status", Locale::En, &[]));
    }
}

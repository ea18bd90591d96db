//! The texts of mails, in each language: `services/notification/templates`.

use anyhow::Result;
use comanda_proto::v1::Item;
use minijinja::{Environment, Value, context};
use tracing::warn;

use super::{locale::Locale, names::isolated};

/// The template that every other one falls back to.
const GENERIC: &str = "status";

/// Each text by its file's name. HTML is escaped because of its ending.
const TEXTS: [(&str, &str); 8] = [
    ("status.es.txt", include_str!("../../templates/status.es.txt")),
    ("status.es.html", include_str!("../../templates/status.es.html")),
    ("status.en.txt", include_str!("../../templates/status.en.txt")),
    ("status.en.html", include_str!("../../templates/status.en.html")),
    ("courier.es.txt", include_str!("../../templates/courier.es.txt")),
    ("courier.es.html", include_str!("../../templates/courier.es.html")),
    ("courier.en.txt", include_str!("../../templates/courier.en.txt")),
    ("courier.en.html", include_str!("../../templates/courier.en.html")),
];

/// What a template can use.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    pub number: i64,
    pub name: &'a str,
    pub items: &'a [Item],
    /// The order's total as people read it, with its currency.
    pub total: Option<&'a str>,
    /// The status as people call it.
    pub status: &'a str,
    /// Who comes; only the template "courier" shows it.
    pub courier: Option<CourierFacts>,
    /// The address of the order's page.
    pub page: Option<&'a str>,
}

/// What the template "courier" says of who comes.
#[derive(Clone, Debug)]
pub struct CourierFacts {
    pub name: String,
    /// May be empty.
    pub vehicle: String,
    /// May be empty.
    pub plate: String,
    /// The promised pickup as a clock shows it; empty once it has passed.
    pub pickup_clock: String,
    /// In how many minutes that is; `None` where it is less than two, or more than an hour.
    pub pickup_minutes: Option<i64>,
}

/// All templates.
#[derive(Debug)]
pub struct Templates(Environment<'static>);

impl Templates {
    /// Reads those that are built in.
    pub fn load() -> Result<Self> {
        let mut environment = Environment::new();
        environment.add_filter("isolated", |text: &str| isolated(text));
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
    let courier = facts.courier.as_ref().map(|c| {
        let CourierFacts { name, vehicle, plate, pickup_clock, pickup_minutes } = c;
        context! { name, vehicle, plate, pickup_clock, pickup_minutes }
    });
    context! {
        number => facts.number, name => facts.name, status => facts.status, items => items, total => facts.total, courier => courier, page => facts.page
    }
}

#[cfg(test)]
mod tests {
    use comanda_proto::mail::TEMPLATES;

    use super::*;

    fn item(name: &str, quantity: i32) -> Item {
        Item { name: name.into(), quantity, ..Default::default() }
    }

    fn render(template: &str, locale: Locale, items: &[Item]) -> (String, String) {
        let facts = Facts {
            number: 1042,
            name: "Ana <x>",
            items,
            total: Some("900 CLP"),
            status: "preparando",
            courier: None,
            page: None,
        };
        Templates::load().expect("valid templates").render(template, locale, &facts).expect("rendered")
    }

    #[test]
    fn a_mail_links_to_the_page_of_its_order_where_there_is_one() {
        let render = |template, locale, page| {
            let facts = Facts { number: 7, name: "", items: &[], total: None, status: "s", courier: None, page };
            Templates::load().expect("valid templates").render(template, locale, &facts).expect("rendered")
        };
        for template in ["status", "courier"] {
            let (text, html) = render(template, Locale::En, Some("https://orders.example/t/trk_x"));
            assert!(text.ends_with("\n\nFollow your order: https://orders.example/t/trk_x"), "{text}");
            // Slashes are escaped as well.
            let html = html.replace("&#x2f;", "/");
            assert!(html.contains(r#"<a href="https://orders.example/t/trk_x">Follow your order</a>"#), "{html}");
            let (text, html) = render(template, Locale::Es, None);
            assert!(!text.contains("Sigue") && !html.contains("href"), "{text}{html}");
        }
    }

    #[test]
    fn a_text_has_status_number_products_and_total() {
        let (text, html) = render("status", Locale::Es, &[item("Mole", 2), item("Agua", 1)]);
        let expected = "Estado de tu pedido: preparando.\n\nHola, Ana <x>:\n\nPedido número 1042\nProductos:\n- Mole × 2\n- Agua\n\nTotal: 900 CLP";
        assert_eq!(text, expected);
        assert!(
            html.contains("<li><bdi>Mole</bdi> × 2</li>") && html.contains("<strong><bdi>preparando</bdi></strong>")
        );
        let (text, _) = render("status", Locale::En, &[item("Mole", 1)]);
        let expected = "Status of your order: preparando.\n\nHello Ana <x>,\n\nOrder number 1042\nProduct:\n- Mole\n\nTotal: 900 CLP";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_name_from_right_to_left_leaves_quantities_where_they_are() {
        for locale in [Locale::Es, Locale::En] {
            let (text, html) = render("status", locale, &[item("فلافل (L) 3", 4), item("Mole", 2)]);
            assert!(text.contains("\n- \u{2068}فلافل (L) 3\u{2069} × 4\n- Mole × 2\n"), "{text}");
            assert!(html.contains("<li><bdi>فلافل (L) 3</bdi> × 4</li>"), "{html}");
            assert!(html.contains(&format!("<html lang=\"{}\" dir=\"ltr\">", locale.code())));
            assert_eq!(html.matches("<bdi>").count(), html.matches("</bdi>").count());
        }
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
    fn there_are_texts_for_exactly_the_templates_that_a_workflow_may_name() {
        let endings = ["es.txt", "es.html", "en.txt", "en.html"];
        let named = TEMPLATES.iter().flat_map(|name| endings.map(|ending| format!("{name}.{ending}")));
        assert_eq!(named.collect::<Vec<_>>(), TEXTS.map(|(name, _)| name));
    }

    #[test]
    fn the_text_of_a_confirmed_ride_says_who_comes_and_when() {
        let courier = CourierFacts {
            name: "Luz <x>".into(),
            vehicle: "Corolla blanco".into(),
            plate: "ABCD-12".into(),
            pickup_clock: "19:42 UTC-3".into(),
            pickup_minutes: Some(7),
        };
        let render = |courier| {
            let facts = Facts {
                number: 7,
                name: "",
                items: &[item("Viaje", 1)],
                total: None,
                status: "confirmado",
                courier,
                page: None,
            };
            Templates::load().expect("valid").render("courier", Locale::Es, &facts).expect("rendered")
        };
        let (text, html) = render(Some(courier.clone()));
        let expected = "Te atiende: Luz <x>\nVehículo: Corolla blanco\nMatrícula: ABCD-12\nRecogida: 19:42 UTC-3 (en unos 7 minutos)\n\nPedido";
        assert!(text.contains(expected), "{text}");
        assert!(html.contains("Luz &lt;x&gt;") && html.contains("ABCD-12") && html.contains("(en unos 7 minutos)"));
        let (text, html) = render(Some(CourierFacts { pickup_clock: String::new(), plate: String::new(), ..courier }));
        assert!(text.contains("Vehículo: Corolla blanco\n\nPedido") && !html.contains("Recogida"), "{text}");
        let (text, _) = render(None);
        assert!(text.contains("Hola:\n\nPedido número 7\n"), "{text}");
    }

    #[test]
    fn an_unknown_template_falls_back_to_the_generic_one() {
        assert_eq!(render("birthday", Locale::En, &[]), render("status", Locale::En, &[]));
    }
}

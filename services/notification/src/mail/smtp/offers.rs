//! What a server offers in its reply to EHLO (RFC 5321, section 4.1.1.1).

use super::super::reply::Reply;

/// What a server offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    pub start_tls: bool,
    pub smtp_utf8: bool,
    pub eight_bit: bool,
    /// Whether it takes the parameter SIZE.
    pub size: bool,
    /// The largest message in octets, where it has said one.
    pub max_size: Option<u64>,
    /// Ways to log in, in upper case.
    pub logins: Vec<String>,
}

impl Offers {
    /// Reads the reply to EHLO.
    pub fn read(reply: &Reply) -> Self {
        let mut offers = Self::default();
        for line in reply.lines.iter().skip(1) {
            // Old servers write "AUTH=LOGIN".
            let upper = line.to_ascii_uppercase().replacen("AUTH=", "AUTH ", 1);
            let mut words = upper.split_whitespace();
            match words.next().unwrap_or_default() {
                "STARTTLS" => offers.start_tls = true,
                "SMTPUTF8" => offers.smtp_utf8 = true,
                "8BITMIME" => offers.eight_bit = true,
                "AUTH" => offers.logins.extend(words.map(str::to_owned)),
                "SIZE" => {
                    offers.size = true;
                    offers.max_size = words.next().and_then(|size| size.parse().ok()).filter(|size| *size > 0);
                }
                _ => {}
            }
        }
        offers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_are_read_in_any_case_and_the_first_line_is_none() {
        let lines =
            ["SMTPUTF8.example", "size 1000", "Auth PLAIN login", "AUTH=LOGIN", "StartTLS", "8BITMIME", "SMTPUTF8", ""];
        let offers = Offers::read(&Reply { code: 250, lines: lines.map(str::to_owned).into() });
        assert!(offers.start_tls && offers.smtp_utf8 && offers.eight_bit && offers.size);
        assert_eq!(
            (offers.max_size, offers.logins),
            (Some(1000), ["PLAIN", "LOGIN", "LOGIN"].map(str::to_owned).into())
        );
        assert_eq!(Offers::read(&Reply { code: 250, lines: vec![String::new()] }), Offers::default());
        let unlimited = Offers::read(&Reply { code: 250, lines: vec!["x".into(), "SIZE 0".into()] });
        assert_eq!((unlimited.size, unlimited.max_size), (true, None));
    }
}

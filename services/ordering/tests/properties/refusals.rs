//! Errors and page tokens, which every service gives to its callers.

use comanda_kit::{
    access::Scope,
    errors::Violations,
    page,
    testing::outside::{damaged, wrong_fields},
};
use proptest::{collection::vec, prelude::*};

proptest! {
    #[test]
    fn a_refusal_fits_into_what_every_client_reads(fields in vec((any::<String>(), 1..500usize), 1..60)) {
        let mut violations = Violations::default();
        for (field, length) in fields {
            let field = format!("labels[{}]", field.repeat(length));
            violations.text(&field, "", 1, 256);
            violations.uuid(&field, "none");
        }
        prop_assert!(!wrong_fields(violations.check().expect_err("all are wrong")).is_empty());
    }

    #[test]
    fn a_page_token_gives_back_its_position_and_no_other_token_does(
        filter in any::<String>(), position in vec(any::<u8>(), 0..40), changes in vec(any::<(u16, u8)>(), 1..4)
    ) {
        let scope = Scope::built_in();
        let token = page::token(&scope, &filter, &position);
        prop_assert_eq!(page::position(&scope, &filter, &token).expect("ours"), Some(position).filter(|_| !token.is_empty()));
        let other = String::from_utf8_lossy(&damaged(token.as_bytes(), &changes)).into_owned();
        match page::position::<Vec<u8>>(&scope, &filter, &other) {
            // Another position of the same list, or bytes that mean the same.
            Ok(position) => prop_assert_eq!(position.is_none(), other.is_empty()),
            Err(error) => prop_assert_eq!(wrong_fields(error), ["page_token"]),
        }
    }

    #[test]
    fn what_is_no_uuid_is_none(text in any::<String>()) {
        let mut violations = Violations::default();
        let parsed = violations.uuid("order_id", &text);
        if let Err(error) = violations.check() {
            prop_assert!(parsed.is_nil());
            prop_assert_eq!(wrong_fields(error), ["order_id"]);
        }
    }
}

//! What the claims of a verified token say of its holder. Pure.

use std::time::{Duration, UNIX_EPOCH};

use comanda_proto::access::Role;
use serde_json::{Map, Value};

use super::Settings;
use crate::access::{principal::Principal, refusal::Why, scope::Scope};

/// The longest name of a tenant or a caller, in characters.
const MOST_CHARS: usize = 128;

type Claims = Map<String, Value>;

/// Whose token it is. Its time lasts `leeway` longer than it says.
pub fn principal(settings: &Settings, claims: &Claims, leeway: Duration) -> Result<Principal, Why> {
    let tenant = match &settings.oidc_tenant {
        Some(tenant) => tenant.as_str(),
        None => name(claims, &settings.oidc_tenant_claim)?,
    };
    let subject = name(claims, &settings.oidc_subject_claim)?;
    // Nobody may be taken for a part of the system in the history.
    if subject.starts_with("system:") {
        return Err(Why::Invalid);
    }
    let role = role(at(claims, &settings.oidc_role_claim)).ok_or(Why::Role)?;
    let expires =
        claims.get("exp").and_then(Value::as_f64).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let expires = expires.and_then(|expires| UNIX_EPOCH.checked_add(expires + leeway)).ok_or(Why::Invalid)?;
    Ok(Principal { scope: Scope::new(tenant, subject, role), expires: Some(expires), is_revocable: true })
}

/// A claim by its name, or by a path of names with dots between.
fn at<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        at(claims.get(first)?.as_object()?, rest)
    })
}

fn name<'a>(claims: &'a Claims, claim: &str) -> Result<&'a str, Why> {
    let text = at(claims, claim).and_then(Value::as_str).ok_or(Why::Invalid)?;
    let is_name = !text.is_empty() && text.chars().count() <= MOST_CHARS && !text.contains(char::is_control);
    if is_name { Ok(text) } else { Err(Why::Invalid) }
}

/// Of several roles the one that may do most.
fn role(claim: Option<&Value>) -> Option<Role> {
    let has = |role: Role| match claim {
        Some(Value::String(name)) => name == role.name(),
        Some(Value::Array(names)) => names.iter().any(|name| name == role.name()),
        _ => false,
    };
    Role::ALL.into_iter().find(|role| has(*role))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        settings: Settings,
    }

    fn of(flags: &[&str], claims: Value) -> Result<Principal, Why> {
        let settings = Cli::parse_from([&["test"], flags].concat()).settings;
        principal(&settings, claims.as_object().expect("an object"), Duration::from_secs(5))
    }

    #[test]
    fn tenant_role_and_subject_are_taken_from_their_claims() {
        let claims = json!({"tenant": "acme", "role": "staff", "sub": "ana", "exp": 100});
        let expected = Principal {
            scope: Scope::new("acme", "ana", Role::Staff),
            expires: Some(UNIX_EPOCH + Duration::from_secs(105)),
            is_revocable: true,
        };
        assert_eq!(of(&[], claims), Ok(expected.clone()));
        let claims = json!({
            "https://acme.example/org": "acme", "realm_access": {"roles": ["offline", "customer", "staff"]},
            "user": {"id": "ana"}, "exp": 100.0
        });
        let flags = [
            "--oidc-tenant-claim",
            "https://acme.example/org",
            "--oidc-role-claim",
            "realm_access.roles",
            "--oidc-subject-claim",
            "user.id",
        ];
        assert_eq!(of(&flags, claims), Ok(expected.clone()));
        let claims = json!({"role": "staff", "sub": "ana", "exp": 100, "tenant": "bravo"});
        assert_eq!(of(&["--oidc-tenant", "acme"], claims), Ok(expected));
    }

    #[test]
    fn a_token_without_a_name_for_each_is_refused() {
        let good = json!({"tenant": "acme", "role": "staff", "sub": "ana", "exp": 100});
        for (claim, value, why) in [
            ("tenant", json!(null), Why::Invalid),
            ("tenant", json!(""), Why::Invalid),
            ("tenant", json!(["acme"]), Why::Invalid),
            ("sub", json!("a\nb"), Why::Invalid),
            ("sub", json!("system:relay"), Why::Invalid),
            ("sub", json!("x".repeat(129)), Why::Invalid),
            ("role", json!(null), Why::Role),
            ("role", json!(["root", "tracker"]), Why::Role),
            ("exp", json!("soon"), Why::Invalid),
            ("exp", json!(1e300), Why::Invalid),
        ] {
            let mut claims = good.clone();
            claims[claim] = value;
            assert_eq!(of(&[], claims), Err(why), "{claim}");
        }
    }
}

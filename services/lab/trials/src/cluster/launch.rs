//! How the process of a replica is started: what it is told of the others, all of it through links.

use std::{fs, net::SocketAddr, path::Path};

use anyhow::{Context, Result};

use super::{
    endpoints::{Replica, Role},
    postgres,
    process::Launch,
    shape::{Shape, quick_settings},
    wires::{Class, Wire},
};

/// The topics of the run.
pub const TOPIC_PREFIX: &str = "trial.";

/// The launch of one of `replicas`.
pub fn launch(shape: &Shape, folder: &Path, replica: &Replica, replicas: &[Replica], wires: &[Wire]) -> Result<Launch> {
    let (name, program) = (replica.name.clone(), shape.binary.clone());
    let mut environment = quick_settings(shape.step_ms);
    environment.push(("COMANDA_ADMIN_LISTEN".into(), replica.admin.to_string()));
    environment.extend(match replica.role {
        Role::Gateway => of_gateway(replica, replicas)?,
        _ => of_server(replica, wires)?,
    });
    environment.extend(shape.settings.iter().cloned());
    let (log, folder) = (folder.join(format!("{name}.log")), folder.join(&name));
    fs::create_dir_all(&folder)?;
    Ok(Launch { name, program, arguments: vec![replica.role.name().into()], environment, folder, log, account: None })
}

fn of_server(replica: &Replica, wires: &[Wire]) -> Result<Vec<(String, String)>> {
    let own = |class| wires.iter().filter(move |wire| wire.class == class && wire.replica == replica.name);
    let addresses = |class| own(class).map(|wire| wire.link.address.to_string()).collect::<Vec<_>>().join(",");
    let database = own(Class::Postgres).next().context("each server has a link to Postgres")?;
    let links = [
        ("DATABASE_URL", postgres::url(database.link.address)),
        ("KAFKA_BOOTSTRAP_SERVERS", addresses(Class::Kafka)),
        ("COMANDA_TOPIC_PREFIX", TOPIC_PREFIX.into()),
        ("COMANDA_LISTEN", replica.direct.to_string()),
    ];
    let mut environment: Vec<_> = links.map(|(key, value)| (key.to_owned(), value)).into();
    if replica.name.ends_with("-1") {
        // The leadership moves about, so that both ways of publishing are tried.
        environment.push(("COMANDA_OUTBOX_CACHE_MIB".into(), "0".into()));
    }
    environment.extend(own(Class::Smtp).map(|wire| ("SMTP_URL".into(), format!("smtp://{}", wire.link.address))));
    Ok(environment)
}

/// A gateway knows one process of each role, and reaches it as clients do: the link of that process may be hurt.
fn of_gateway(gateway: &Replica, replicas: &[Replica]) -> Result<Vec<(String, String)>> {
    let mut environment = vec![("COMANDA_HTTP_LISTEN".to_owned(), gateway.direct.to_string())];
    for role in Role::SERVERS {
        // It would otherwise look for a role that does not run where strangers may listen.
        let address = behind(role, gateway, replicas).or_else(|| behind(Role::Ordering, gateway, replicas));
        let address = address.context("a gateway needs an ordering behind it")?;
        let role = role.name().to_uppercase().replace('-', "_");
        environment.push((format!("COMANDA_{role}_ADDR"), address.to_string()));
    }
    Ok(environment)
}

/// Where a gateway finds a role: the first gateway the first process, the second one the second.
fn behind(role: Role, gateway: &Replica, replicas: &[Replica]) -> Option<SocketAddr> {
    let before = replicas.iter().filter(|replica| replica.role == Role::Gateway);
    let n = before.take_while(|replica| replica.name != gateway.name).count();
    let of_role: Vec<_> = replicas.iter().filter(|replica| replica.role == role).collect();
    of_role.get(n % of_role.len().max(1)).map(|replica| replica.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(role: Role, n: usize, port: u16) -> Replica {
        let [address, direct, admin] = [0, 1000, 2000].map(|more| SocketAddr::from(([127, 0, 0, 1], port + more)));
        Replica { name: format!("{}-{n}", role.name()), role, address, direct, admin }
    }

    fn cluster() -> Vec<Replica> {
        let servers = Role::NEEDED.into_iter().zip([20_000, 20_010, 20_020]);
        let servers = servers.flat_map(|(role, port)| [replica(role, 0, port), replica(role, 1, port + 1)]);
        servers.chain((0..3).map(|n| replica(Role::Gateway, n, 20_030 + n as u16))).collect()
    }

    fn told(n: usize, key: &str) -> String {
        let replicas = cluster();
        let environment = of_gateway(&replicas[6 + n], &replicas).expect("there is an ordering");
        environment.into_iter().find(|(name, _)| name == key).expect(key).1
    }

    #[test]
    fn a_gateway_reaches_one_process_of_each_role_through_its_link() {
        assert_eq!(told(0, "COMANDA_STATE_MACHINE_ADDR"), "127.0.0.1:20010");
        assert_eq!(told(1, "COMANDA_STATE_MACHINE_ADDR"), "127.0.0.1:20011");
        assert_eq!(told(2, "COMANDA_NOTIFICATION_ADDR"), "127.0.0.1:20020");
        assert_eq!(told(1, "COMANDA_HTTP_LISTEN"), "127.0.0.1:21031");
    }

    #[test]
    fn a_role_that_does_not_run_is_looked_for_at_no_stranger() {
        assert_eq!(told(1, "COMANDA_ANALYTICS_ADDR"), told(1, "COMANDA_ORDERING_ADDR"));
    }
}

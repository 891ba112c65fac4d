//! `orca pause|unpause|rename|port|top`.

use api::node::{
    Container, PauseContainerRequest, RenameContainerRequest, TopContainerRequest, UnpauseContainerRequest,
};
use clap::Args;

use super::lifecycle::{Names, each, inspect};
use crate::client::{Client, Host};
use crate::elsewhere;
use crate::error::{Error, Result};
use crate::output::{format, human, table};

/// Arguments of `orca rename`.
#[derive(Debug, Args)]
pub struct RenameArgs {
    /// Container
    container: String,
    /// Its new name
    name: String,
}

/// Arguments of `orca port`.
#[derive(Debug, Args)]
pub struct PortArgs {
    /// Container
    container: String,
    /// Port inside of it: PORT[/PROTOCOL]
    #[arg(value_name = "PRIVATE_PORT")]
    private_port: Option<String>,
}

/// Arguments of `orca top`.
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Container
    container: String,
    /// Options of ps: -ef, aux, -o with columns
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "PS OPTION")]
    ps: Vec<String>,
}

/// Freezes containers.
pub async fn pause(host: &Host, args: Names) -> Result<()> {
    each(host, args.names(), "pause", async |client, container| {
        client.node.pause_container(PauseContainerRequest { container: container.id }).await?;
        Ok(())
    })
    .await
}

/// Thaws containers.
pub async fn unpause(host: &Host, args: Names) -> Result<()> {
    each(host, args.names(), "unpause", async |client, container| {
        client.node.unpause_container(UnpauseContainerRequest { container: container.id }).await?;
        Ok(())
    })
    .await
}

/// Gives a container another name.
pub async fn rename(host: &Host, args: RenameArgs) -> Result<()> {
    let mut client = Client::connect(host).await?;
    client.node.rename_container(RenameContainerRequest { container: args.container, name: args.name }).await?;
    Ok(())
}

/// Prints where a container's ports are published.
pub async fn port(host: &Host, args: PortArgs) -> Result<()> {
    let (mut client, container) = elsewhere::find(&Client::connect(host).await?, &args.container).await?;
    let container = inspect(&mut client, &container).await?;
    format::write(&ports(&container, args.private_port.as_deref())?)
}

/// `80/tcp -> 0.0.0.0:8080`, or of one port the addresses alone.
pub fn ports(container: &Container, private: Option<&str>) -> Result<String> {
    let private = private.map(|text| {
        wanted_port(text).map_err(|reason| Error::Flag { flag: "PRIVATE_PORT", value: text.into(), reason })
    });
    let private = private.transpose()?;
    let mut lines = Vec::new();
    for port in container.ports.iter().filter(|_| human::is_up(container)) {
        let Some(published) = port.published else { continue };
        let target = (port.target, human::protocol(port));
        for host_ip in human::host_addresses(container, port) {
            let address = format!("{}:{published}", human::bracketed(&host_ip));
            match &private {
                None => lines.push(format!("{}/{} -> {address}", target.0, target.1)),
                Some((port, protocol)) if (*port, protocol.as_str()) == target => lines.push(address),
                Some(_) => {}
            }
        }
    }
    match private {
        Some((port, protocol)) if lines.is_empty() => {
            Err(Error::NotFound { kind: "published port", name: format!("{port}/{protocol} of {}", container.name) })
        }
        _ => Ok(lines.into_iter().map(|line| line + "\n").collect()),
    }
}

fn wanted_port(text: &str) -> Result<(u32, String), String> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    match (number.parse::<u16>(), protocol) {
        (Ok(number @ 1..), "tcp" | "udp" | "sctp") => Ok((number.into(), protocol.to_owned())),
        _ => Err("expected a port such as 80 or 53/udp".into()),
    }
}

/// Prints a container's processes.
pub async fn top(host: &Host, args: TopArgs) -> Result<()> {
    let (mut client, container) = elsewhere::find(&Client::connect(host).await?, &args.container).await?;
    format::write(&processes(&mut client, container, args.ps).await?)
}

/// A container's processes as a table.
pub async fn processes(client: &mut Client, container: String, ps_args: Vec<String>) -> Result<String> {
    let reply = client.node.top_container(TopContainerRequest { container, ps_args }).await?.into_inner();
    let mut rows = vec![reply.titles];
    rows.extend(reply.processes.into_iter().map(|process| process.cells));
    Ok(table::plain(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::types::{ContainerPhase, ContainerStatus, PortSpec};

    #[test]
    fn published_ports() {
        let port = |target, published, host_ip: Option<&str>| PortSpec {
            target,
            published: Some(published),
            host_ip: host_ip.map(Into::into),
            ..PortSpec::default()
        };
        let mut status = ContainerStatus::default();
        status.set_phase(ContainerPhase::Running);
        let ports_given = vec![port(80, 8080, None), port(443, 8443, Some("127.0.0.1"))];
        let mut container =
            Container { name: "web".into(), ports: ports_given, status: Some(status), ..Container::default() };
        assert_eq!(
            ports(&container, None).unwrap(),
            "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n443/tcp -> 127.0.0.1:8443\n"
        );
        assert_eq!(ports(&container, Some("443")).unwrap(), "127.0.0.1:8443\n");
        assert_eq!(ports(&container, Some("80/tcp")).unwrap(), "0.0.0.0:8080\n[::]:8080\n");
        for bad in ["81", "80/udp", "0", "x", "80/icmp"] {
            assert!(ports(&container, Some(bad)).is_err(), "{bad}");
        }
        container.status = None;
        assert_eq!(ports(&container, None).unwrap(), "");
    }
}

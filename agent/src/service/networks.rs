//! `orca.network.v1.Networks`: what clients ask of this node about its networks.

use api::network as wire;
use api::network::networks_server::{Networks, NetworksServer};
use model::{IpSubnet, MacAddress};
use net::plan::Family;
use tonic::{Request, Response, Status};

use super::{NodeService, Reply};
use crate::containers::{ContainerView, made_before};
use crate::network::{CreateNetwork, NetworkView, ipam};
use crate::{Error, Kind};

impl NodeService {
    /// The part that answers about networks.
    pub fn networks_server(&self) -> NetworksServer<Self> {
        NetworksServer::new(self.clone()).max_decoding_message_size(api::client::MESSAGE_MAX)
    }

    fn view(&self, view: NetworkView) -> wire::Network {
        let endpoints = self.containers().endpoints(&view);
        let endpoints = endpoints.iter().map(|container| endpoint(container, &view)).collect();
        let stack = view.assigned.then(String::new);
        let NetworkView { network, driver, .. } = view;
        wire::Network { network: Some(network.into()), driver: driver.into(), stack, endpoints }
    }
}

fn endpoint(container: &ContainerView, view: &NetworkView) -> wire::Endpoint {
    let on = container.attachments.iter().find(|attachment| attachment.network_id == view.network.id);
    let prefix = |address: &std::net::IpAddr| {
        let subnet = view.network.pools.iter().find(|pool| pool.subnet.contains(*address));
        subnet.map_or(Family::of(*address).width(), |pool| pool.subnet.prefix())
    };
    let addresses = on.map(|on| on.addresses.as_slice()).unwrap_or_default();
    wire::Endpoint {
        container: container.id.to_string(),
        name: container.name.clone(),
        mac: on.and_then(|on| on.mac).map(|mac: MacAddress| mac.to_string()).unwrap_or_default(),
        addresses: addresses.iter().map(|address| format!("{address}/{}", prefix(address))).collect(),
    }
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(texts: &[String], what: &str) -> Result<Vec<T>, Status> {
    let parse =
        |text: &String| text.parse().map_err(|error| Status::invalid_argument(format!("{what} {text:?}: {error}")));
    texts.iter().map(parse).collect()
}

fn create_request(request: wire::CreateRequest) -> Result<CreateNetwork, Status> {
    let wire::CreateRequest {
        name,
        driver,
        options,
        labels,
        internal,
        attachable,
        ipv6,
        ipv4,
        subnets,
        ranges,
        gateways,
        auxiliary,
    } = request;
    let address = |(name, text): (String, String)| {
        let address = parsed(std::slice::from_ref(&text), "auxiliary address")?.into_iter().next();
        Ok::<_, Status>(address.map(|address| (name, address)))
    };
    let auxiliary: Vec<_> = auxiliary.into_iter().map(address).collect::<Result<_, _>>()?;
    let wanted = ipam::Wanted {
        subnets: parsed::<IpSubnet>(&subnets, "subnet")?,
        ranges: parsed(&ranges, "IP range")?,
        gateways: parsed(&gateways, "gateway")?,
        auxiliary: auxiliary.into_iter().flatten().collect(),
    };
    let asked = [(Family::V4, ipv4.unwrap_or(true)), (Family::V6, ipv6)];
    let families = asked.into_iter().filter(|(_, is_asked)| *is_asked).map(|(family, _)| family).collect();
    Ok(CreateNetwork { name, driver, options, labels, internal, attachable, families, wanted })
}

fn fits(labels: &std::collections::BTreeMap<String, String>, filter: &wire::LabelFilter) -> bool {
    let found = labels.get(&filter.key);
    let has = found.is_some_and(|found| filter.value.as_ref().is_none_or(|value| value == found));
    has != filter.negate
}

#[tonic::async_trait]
impl Networks for NodeService {
    async fn create_network(&self, request: Request<wire::CreateRequest>) -> Reply<wire::CreateReply> {
        let network = self.containers().create_network(create_request(request.into_inner())?).await?;
        Ok(Response::new(wire::CreateReply { id: network.id.to_string(), warnings: Vec::new() }))
    }

    async fn list_networks(&self, _: Request<wire::ListRequest>) -> Reply<wire::ListReply> {
        let networks = self.parts.networks.list().into_iter().map(|view| self.view(view)).collect();
        Ok(Response::new(wire::ListReply { networks }))
    }

    async fn inspect_network(&self, request: Request<wire::InspectRequest>) -> Reply<wire::Network> {
        let view = self.parts.networks.find(&request.into_inner().network)?;
        Ok(Response::new(self.view(view)))
    }

    async fn remove_network(&self, request: Request<wire::RemoveRequest>) -> Reply<wire::RemoveReply> {
        let wire::RemoveRequest { network, force } = request.into_inner();
        let name = match self.containers().remove_network(&network).await {
            Err(error) if force && error.kind() == Kind::NotFound => String::new(),
            done => done?,
        };
        Ok(Response::new(wire::RemoveReply { name }))
    }

    async fn prune_networks(&self, request: Request<wire::PruneRequest>) -> Reply<wire::PruneReply> {
        let wire::PruneRequest { until, labels } = request.into_inner();
        let wanted = |network: &model::LocalNetwork| {
            made_before(network, until) && labels.iter().all(|filter| fits(&network.labels, filter))
        };
        let names = self.containers().prune_networks(wanted).await?;
        Ok(Response::new(wire::PruneReply { names }))
    }

    async fn connect_network(&self, request: Request<wire::ConnectRequest>) -> Reply<wire::ConnectReply> {
        let wire::ConnectRequest { container, attachment } = request.into_inner();
        let attachment = attachment.ok_or_else(|| Status::invalid_argument("the request names no network"))?;
        let id = self.resolve(&container)?;
        self.containers().connect_network(id, attachment.try_into()?).await?;
        Ok(Response::new(wire::ConnectReply {}))
    }

    async fn disconnect_network(&self, request: Request<wire::DisconnectRequest>) -> Reply<wire::DisconnectReply> {
        let wire::DisconnectRequest { network, container, force } = request.into_inner();
        let id = self.resolve(&container)?;
        match self.containers().disconnect_network(id, &network).await {
            Err(Error::NotConnected { .. }) if force => {}
            done => done?,
        }
        Ok(Response::new(wire::DisconnectReply {}))
    }
}

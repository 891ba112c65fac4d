//! What a stack's declaration must be in itself: its own objects, each once, and no service that waits for itself.

use std::collections::{BTreeMap, BTreeSet};

use model::{Service, Stack};

use super::{Draft, Refusal};

/// Checks that everything declared is the stack's, once.
pub(super) fn check_members(stack: &Stack) -> Result<(), Refusal> {
    let owned = |kind, name: &str, owner: Option<&str>| match owner {
        Some(owner) if owner == stack.name => Ok(()),
        _ => Err(Refusal::NotOfStack { kind, name: name.to_owned(), stack: stack.name.clone() }),
    };
    for network in &stack.networks {
        owned("network", &network.name, network.stack.as_deref())?;
    }
    for secret in &stack.secrets {
        owned("secret", &secret.name, secret.stack.as_deref())?;
    }
    for config in &stack.configs {
        owned("config", &config.name, config.stack.as_deref())?;
    }
    for service in &stack.services {
        owned("service", &service.name, service.stack.as_ref().map(|member| member.stack.as_str()))?;
    }
    once("network", stack.networks.iter().map(|network| network.name.as_str()))?;
    once("secret", stack.secrets.iter().map(|secret| secret.name.as_str()))?;
    once("config", stack.configs.iter().map(|config| config.name.as_str()))?;
    once("service", stack.services.iter().map(|service| service.name.as_str()))?;
    once("service key", stack.services.iter().map(|service| service.key()))
}

fn once<'a>(kind: &'static str, names: impl Iterator<Item = &'a str>) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Refusal::Twice { kind, name: name.to_owned() });
        }
    }
    Ok(())
}

impl Draft<'_> {
    /// Services that wait for each other would neither start nor, when they are removed, end.
    pub(super) fn check_dependencies(&self, stack: &str) -> Result<(), Refusal> {
        let mut waiting: BTreeMap<&str, &Service> = BTreeMap::new();
        // Not by the index, which holds one service a key.
        let is_member = |service: &&Service| service.spec.stack.as_ref().is_some_and(|member| member.stack == stack);
        for service in self.state.services.values().filter(is_member) {
            let key = service.spec.key();
            if waiting.insert(key, service).is_some() {
                return Err(Refusal::Twice { kind: "service key", name: key.to_owned() });
            }
        }
        // Those that wait for nobody start first, then those that waited for them, and so on.
        loop {
            let first_of = |service: &Service| {
                service.spec.depends_on.keys().find(|key| waiting.contains_key(key.as_str())).cloned()
            };
            let blocked: BTreeMap<&str, String> =
                waiting.iter().filter_map(|(key, service)| Some((*key, first_of(service)?))).collect();
            if blocked.len() == waiting.len() {
                let cycle = blocked.into_iter().next();
                return cycle.map_or(Ok(()), |(service, through)| {
                    Err(Refusal::DependencyCycle { service: service.to_owned(), through })
                });
            }
            waiting.retain(|key, _| blocked.contains_key(key));
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{DependencyCondition, ServiceSpec, Stack, StackMember};

    use crate::world::{World, config, dependency, network, secret, service, stack};

    fn refusal(stack: Stack) -> String {
        World::new(1).up(stack).unwrap_err().to_string()
    }

    fn after(key: &str, others: &[&str]) -> ServiceSpec {
        let mut spec = service(key);
        let on = |other: &&str| ((*other).to_owned(), dependency(DependencyCondition::ServiceStarted));
        spec.depends_on = others.iter().map(on).collect();
        spec
    }

    #[test]
    fn everything_is_of_the_stack() {
        let theirs = Some("blog".to_owned());
        let network = model::NetworkSpec { stack: theirs.clone(), ..network("blog_default", &[]) };
        let text = refusal(Stack { networks: vec![network], ..stack([]) });
        assert_eq!(text, "network blog_default is declared in stack shop, but is not of it");
        let secret = model::SecretSpec { stack: None, ..secret("key", "x") };
        assert!(
            refusal(Stack { secrets: vec![secret], ..stack([]) }).starts_with("secret key is declared in stack shop")
        );
        let config = model::ConfigSpec { stack: theirs, ..config("conf", "x") };
        assert!(
            refusal(Stack { configs: vec![config], ..stack([]) }).starts_with("config conf is declared in stack shop")
        );
        let service = ServiceSpec { stack: None, ..service("web") };
        assert!(refusal(stack([service])).starts_with("service shop-web is declared in stack shop"));
    }

    #[test]
    fn everything_is_declared_once() {
        assert_eq!(refusal(stack([service("web"), service("web")])), "service shop-web is declared twice");
        let twin = ServiceSpec { name: "shop-twin".into(), ..service("web") };
        assert_eq!(refusal(stack([service("web"), twin.clone()])), "service key web is declared twice");
        let networks = vec![network("shop_a", &[]), network("shop_a", &["10.1.0.0/24"])];
        assert_eq!(refusal(Stack { networks, ..stack([]) }), "network shop_a is declared twice");
        let mut world = World::new(1);
        world.up(stack([service("web")])).unwrap();
        assert_eq!(world.up(stack([twin])).unwrap_err().to_string(), "service key web is declared twice");
    }

    #[test]
    fn a_key_may_move_to_another_service_name() {
        let mut world = World::new(1);
        world.up(stack([service("web")])).unwrap();
        let member = StackMember { stack: "shop".into(), key: "front".into() };
        world.up(stack([ServiceSpec { stack: Some(member), ..service("web") }])).unwrap();
        assert_eq!(world.service("front").spec.name, "shop-web");
        assert!(world.state.service_of_stack("shop", "web").is_none());
    }

    #[test]
    fn services_that_wait_for_each_other_are_refused_also_when_they_come_one_by_one() {
        let text = "service a depends on itself by way of b; none of them could ever start";
        assert_eq!(refusal(stack([after("a", &["b"]), after("b", &["c"]), after("c", &["a"]), service("d")])), text);
        assert!(refusal(stack([after("a", &["a"])])).contains("by way of a"));
        let mut world = World::new(1);
        world.up(stack([after("a", &["b"])])).unwrap();
        assert_eq!(world.up(stack([after("b", &["a"])])).unwrap_err().to_string(), text);
        world.up(stack([after("b", &["c"]), service("c"), after("d", &["a", "b", "c"])])).unwrap();
    }
}

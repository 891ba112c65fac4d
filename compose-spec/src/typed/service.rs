//! The shape of a project.

use super::Shape::{self, *};

/// The whole model.
pub static PROJECT: Shape = Object(&[
    ("name", Text),
    ("services", Map(&SERVICE)),
    ("networks", Map(&NETWORK)),
    ("volumes", Map(&VOLUME)),
    ("secrets", Map(&FILE_OBJECT)),
    ("configs", Map(&FILE_OBJECT)),
    ("models", Map(&MODEL)),
]);

static MODEL: Shape = Object(&[("name", Text), ("model", Text), ("context_size", Integer), ("runtime_flags", Texts)]);

static NETWORK: Shape = Object(&[
    ("name", Text),
    ("driver", Text),
    ("driver_opts", Labels),
    ("ipam", Object(&[("driver", Text), ("config", List(&POOL)), ("options", Labels)])),
    ("external", Flag),
    ("internal", Flag),
    ("attachable", Flag),
    ("labels", Labels),
    ("enable_ipv4", OptionalFlag),
    ("enable_ipv6", OptionalFlag),
]);

static POOL: Shape = Object(&[("subnet", Text), ("gateway", Text), ("ip_range", Text), ("aux_addresses", Labels)]);

static VOLUME: Shape =
    Object(&[("name", Text), ("driver", Text), ("driver_opts", Labels), ("external", Flag), ("labels", Labels)]);

static FILE_OBJECT: Shape = Object(&[
    ("name", Text),
    ("file", Text),
    ("environment", Text),
    ("content", Text),
    ("external", Flag),
    ("labels", Labels),
    ("driver", Text),
    ("driver_opts", Labels),
    ("template_driver", Text),
]);

static SERVICE: Shape = Object(&[
    ("annotations", Labels),
    ("attach", OptionalFlag),
    ("blkio_config", Same(&BLKIO)),
    ("build", Same(&BUILD)),
    ("cap_add", Texts),
    ("cap_drop", Texts),
    ("cgroup", Text),
    ("cgroup_parent", Text),
    ("command", Command),
    ("configs", List(&FILE_MOUNT)),
    ("container_name", Text),
    ("cpu_count", Integer),
    ("cpu_percent", Float),
    ("cpu_period", Integer),
    ("cpu_quota", Integer),
    ("cpu_rt_period", Integer),
    ("cpu_rt_runtime", Integer),
    ("cpu_shares", Integer),
    ("cpus", Float),
    ("cpuset", Text),
    ("credential_spec", Object(&[("config", Text), ("file", Text), ("registry", Text)])),
    ("depends_on", Map(&DEPENDENCY)),
    ("deploy", Same(&DEPLOY)),
    ("develop", Object(&[("watch", List(&WATCH))])),
    ("device_cgroup_rules", Texts),
    ("devices", List(&DEVICE)),
    ("dns", Texts),
    ("dns_opt", Texts),
    ("dns_search", Texts),
    ("domainname", Text),
    ("entrypoint", Command),
    ("env_file", List(&ENV_FILE)),
    ("environment", Environment),
    ("expose", Texts),
    ("extends", Object(&[("service", Text), ("file", Text)])),
    ("external_links", Texts),
    ("extra_hosts", Hosts),
    ("gpus", List(&DEVICE_REQUEST)),
    ("group_add", Texts),
    (
        "healthcheck",
        Object(&[
            ("disable", Flag),
            ("interval", OptionalDuration),
            ("retries", OptionalInteger),
            ("start_interval", OptionalDuration),
            ("start_period", OptionalDuration),
            ("test", HealthTest),
            ("timeout", OptionalDuration),
        ]),
    ),
    ("hostname", Text),
    ("image", Text),
    ("init", OptionalFlag),
    ("ipc", Text),
    ("isolation", Text),
    ("label_file", Texts),
    ("labels", Labels),
    ("links", Texts),
    ("logging", Object(&[("driver", Text), ("options", Labels)])),
    ("mac_address", Text),
    ("mem_limit", Bytes),
    ("mem_reservation", Bytes),
    ("mem_swappiness", Bytes),
    ("memswap_limit", Bytes),
    ("models", Map(&MODEL_USE)),
    ("network_mode", Text),
    ("networks", Map(&ATTACHMENT)),
    ("oom_kill_disable", Flag),
    ("oom_score_adj", Integer),
    ("pid", Text),
    ("pids_limit", Integer),
    ("platform", Text),
    ("ports", List(&PORT)),
    ("post_start", List(&HOOK)),
    ("pre_start", List(&HOOK)),
    ("pre_stop", List(&HOOK)),
    ("privileged", Flag),
    ("profiles", Texts),
    ("provider", Object(&[("type", Text), ("options", MultiOptions)])),
    ("pull_policy", Text),
    ("pull_refresh_after", Text),
    ("read_only", Flag),
    ("restart", Text),
    ("runtime", Text),
    ("scale", OptionalInteger),
    ("secrets", List(&FILE_MOUNT)),
    ("security_opt", Texts),
    ("shm_size", Bytes),
    ("stdin_open", Flag),
    ("stop_grace_period", OptionalDuration),
    ("stop_signal", Text),
    ("storage_opt", Labels),
    ("sysctls", Labels),
    ("tmpfs", Texts),
    ("tty", Flag),
    ("ulimits", Map(&Ulimit)),
    ("use_api_socket", Flag),
    ("user", Text),
    ("userns_mode", Text),
    ("uts", Text),
    ("volumes", List(&MOUNT)),
    ("volumes_from", Texts),
    ("working_dir", Text),
]);

static BUILD: Shape = Object(&[
    ("additional_contexts", Labels),
    ("args", Environment),
    ("cache_from", Texts),
    ("cache_to", Texts),
    ("context", Text),
    ("dockerfile", Text),
    ("dockerfile_inline", Text),
    ("entitlements", Texts),
    ("extra_hosts", Hosts),
    ("isolation", Text),
    ("labels", Labels),
    ("network", Text),
    ("no_cache", Flag),
    ("no_cache_filter", Texts),
    ("platforms", Texts),
    ("privileged", Flag),
    ("provenance", Text),
    ("pull", Flag),
    ("sbom", Text),
    ("secrets", List(&FILE_MOUNT)),
    ("shm_size", Bytes),
    ("ssh", Ssh),
    ("tags", Texts),
    ("target", Text),
    ("ulimits", Map(&Ulimit)),
]);

static BLKIO: Shape = Object(&[
    ("device_read_bps", List(&THROTTLE)),
    ("device_read_iops", List(&THROTTLE)),
    ("device_write_bps", List(&THROTTLE)),
    ("device_write_iops", List(&THROTTLE)),
    ("weight", Integer),
    ("weight_device", List(&WEIGHT)),
]);

static THROTTLE: Shape = Object(&[("path", Text), ("rate", Bytes)]);
static WEIGHT: Shape = Object(&[("path", Text), ("weight", Integer)]);
static DEPENDENCY: Shape = Object(&[("condition", Text), ("required", OptionalFlag), ("restart", Flag)]);
static DEVICE: Shape = Object(&[("source", Text), ("target", Text), ("permissions", Text)]);
static ENV_FILE: Shape = Object(&[("path", Text), ("required", OptOut), ("format", Text)]);
static FILE_MOUNT: Shape = Object(&[("source", Text), ("target", Text), ("uid", Text), ("gid", Text), ("mode", Mode)]);
static MODEL_USE: Shape = Object(&[("endpoint_var", Text), ("model_var", Text)]);

static ATTACHMENT: Shape = Object(&[
    ("aliases", Texts),
    ("driver_opts", Labels),
    ("gw_priority", Integer),
    ("interface_name", Text),
    ("ipv4_address", Text),
    ("ipv6_address", Text),
    ("link_local_ips", Texts),
    ("mac_address", Text),
    ("priority", Integer),
]);

static PORT: Shape = Object(&[
    ("app_protocol", Text),
    ("host_ip", Text),
    ("mode", Text),
    ("name", Text),
    ("protocol", Text),
    ("published", Text),
    ("target", Integer),
]);

static HOOK: Shape = Object(&[
    ("command", Command),
    ("environment", Environment),
    ("image", Text),
    ("per_replica", Flag),
    ("privileged", Flag),
    ("user", Text),
    ("working_dir", Text),
]);

static MOUNT: Shape = Object(&[
    ("bind", Object(&[("create_host_path", OptOut), ("propagation", Text), ("recursive", Text), ("selinux", Text)])),
    ("consistency", Text),
    ("image", Object(&[("subpath", Text)])),
    ("read_only", Flag),
    ("source", Text),
    ("target", Text),
    ("tmpfs", Object(&[("mode", Integer), ("size", Bytes)])),
    ("type", Text),
    ("volume", Object(&[("labels", Labels), ("nocopy", Flag), ("subpath", Text)])),
]);

static WATCH: Shape = Object(&[
    ("action", Text),
    ("exec", Same(&HOOK)),
    ("ignore", Texts),
    ("include", Texts),
    ("initial_sync", Flag),
    ("path", Text),
    ("target", Text),
]);

static DEVICE_REQUEST: Shape = Object(&[
    ("capabilities", Texts),
    ("count", DeviceCount),
    ("device_ids", Texts),
    ("driver", Text),
    ("options", Labels),
]);

static UPDATE: Shape = Object(&[
    ("delay", Duration),
    ("failure_action", Text),
    ("max_failure_ratio", Float),
    ("monitor", Duration),
    ("order", Text),
    ("parallelism", OptionalInteger),
]);

static RESOURCE: Shape = Object(&[
    ("cpus", Float),
    ("devices", List(&DEVICE_REQUEST)),
    ("generic_resources", List(&GENERIC)),
    ("memory", Bytes),
    ("pids", Integer),
]);

static GENERIC: Shape = Object(&[("discrete_resource_spec", Object(&[("kind", Text), ("value", Integer)]))]);

static DEPLOY: Shape = Object(&[
    ("endpoint_mode", Text),
    ("labels", Labels),
    ("mode", Text),
    (
        "placement",
        Object(&[("constraints", Texts), ("max_replicas_per_node", Integer), ("preferences", List(&PREFERENCE))]),
    ),
    ("replicas", OptionalInteger),
    ("resources", Object(&[("limits", Same(&RESOURCE)), ("reservations", Same(&RESOURCE))])),
    (
        "restart_policy",
        Object(&[
            ("condition", Text),
            ("delay", OptionalDuration),
            ("max_attempts", OptionalInteger),
            ("window", OptionalDuration),
        ]),
    ),
    ("rollback_config", Same(&UPDATE)),
    ("update_config", Same(&UPDATE)),
]);

static PREFERENCE: Shape = Object(&[("spread", Text)]);

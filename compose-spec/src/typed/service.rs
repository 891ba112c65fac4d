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
    ("profiles", Texts),
    ("annotations", Labels),
    ("attach", OptionalFlag),
    ("build", Same(&BUILD)),
    ("develop", Object(&[("watch", List(&WATCH))])),
    ("blkio_config", Same(&BLKIO)),
    ("cap_add", Texts),
    ("cap_drop", Texts),
    ("cgroup_parent", Text),
    ("cgroup", Text),
    ("cpu_count", Integer),
    ("cpu_percent", Float),
    ("cpu_period", Integer),
    ("cpu_quota", Integer),
    ("cpu_rt_period", Integer),
    ("cpu_rt_runtime", Integer),
    ("cpus", Cpus),
    ("cpuset", Text),
    ("cpu_shares", Integer),
    ("command", Command),
    ("configs", List(&FILE_MOUNT)),
    ("container_name", Text),
    ("credential_spec", Object(&[("config", Text), ("file", Text), ("registry", Text)])),
    ("depends_on", Map(&DEPENDENCY)),
    ("deploy", Same(&DEPLOY)),
    ("device_cgroup_rules", Texts),
    ("devices", List(&DEVICE)),
    ("dns", Texts),
    ("dns_opt", Texts),
    ("dns_search", Texts),
    ("domainname", Text),
    ("entrypoint", Command),
    ("provider", Object(&[("type", Text), ("options", MultiOptions)])),
    ("environment", Environment),
    ("env_file", List(&ENV_FILE)),
    ("expose", Texts),
    ("extends", Object(&[("file", Text), ("service", Text)])),
    ("external_links", Texts),
    ("extra_hosts", Hosts),
    ("group_add", Texts),
    ("gpus", List(&DEVICE_REQUEST)),
    ("hostname", Text),
    (
        "healthcheck",
        Object(&[
            ("test", HealthTest),
            ("timeout", OptionalDuration),
            ("interval", OptionalDuration),
            ("retries", OptionalInteger),
            ("start_period", OptionalDuration),
            ("start_interval", OptionalDuration),
            ("disable", Flag),
        ]),
    ),
    ("image", Text),
    ("init", OptionalFlag),
    ("ipc", Text),
    ("isolation", Text),
    ("labels", Labels),
    ("label_file", Texts),
    ("links", Texts),
    ("logging", Object(&[("driver", Text), ("options", Labels)])),
    ("mem_limit", Bytes),
    ("mem_reservation", Bytes),
    ("memswap_limit", Bytes),
    ("mem_swappiness", Bytes),
    ("mac_address", Text),
    ("models", Map(&MODEL_USE)),
    ("network_mode", Text),
    ("networks", Map(&ATTACHMENT)),
    ("oom_kill_disable", Flag),
    ("oom_score_adj", Integer),
    ("pid", Text),
    ("pids_limit", Integer),
    ("platform", Text),
    ("ports", List(&PORT)),
    ("privileged", Flag),
    ("pull_policy", Text),
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
    ("pre_start", List(&HOOK)),
    ("post_start", List(&HOOK)),
    ("pre_stop", List(&HOOK)),
    ("pull_refresh_after", Text),
]);

static BUILD: Shape = Object(&[
    ("context", Text),
    ("dockerfile", Text),
    ("dockerfile_inline", Text),
    ("entitlements", Texts),
    ("args", Environment),
    ("provenance", Text),
    ("sbom", Text),
    ("ssh", Ssh),
    ("labels", Labels),
    ("cache_from", Texts),
    ("cache_to", Texts),
    ("no_cache", Flag),
    ("no_cache_filter", Texts),
    ("additional_contexts", Labels),
    ("pull", Flag),
    ("extra_hosts", Hosts),
    ("isolation", Text),
    ("network", Text),
    ("target", Text),
    ("secrets", List(&FILE_MOUNT)),
    ("shm_size", Bytes),
    ("tags", Texts),
    ("ulimits", Map(&Ulimit)),
    ("platforms", Texts),
    ("privileged", Flag),
]);

static BLKIO: Shape = Object(&[
    ("weight", Integer),
    ("weight_device", List(&WEIGHT)),
    ("device_read_bps", List(&THROTTLE)),
    ("device_read_iops", List(&THROTTLE)),
    ("device_write_bps", List(&THROTTLE)),
    ("device_write_iops", List(&THROTTLE)),
]);

static THROTTLE: Shape = Object(&[("path", Text), ("rate", Bytes)]);
static WEIGHT: Shape = Object(&[("path", Text), ("weight", Integer)]);
static DEPENDENCY: Shape = Object(&[("condition", Text), ("restart", Flag), ("required", OptionalFlag)]);
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
    ("name", Text),
    ("mode", Text),
    ("host_ip", Text),
    ("target", Integer),
    ("published", Text),
    ("protocol", Text),
    ("app_protocol", Text),
]);

static HOOK: Shape = Object(&[
    ("command", Command),
    ("image", Text),
    ("user", Text),
    ("privileged", Flag),
    ("working_dir", Text),
    ("environment", Environment),
    ("per_replica", Flag),
]);

static MOUNT: Shape = Object(&[
    ("type", Text),
    ("source", Text),
    ("target", Text),
    ("read_only", Flag),
    ("consistency", Text),
    ("bind", Object(&[("selinux", Text), ("propagation", Text), ("create_host_path", OptOut), ("recursive", Text)])),
    ("volume", Object(&[("labels", Labels), ("nocopy", Flag), ("subpath", Text)])),
    ("tmpfs", Object(&[("size", Bytes), ("mode", Integer)])),
    ("image", Object(&[("subpath", Text)])),
]);

static WATCH: Shape = Object(&[
    ("path", Text),
    ("action", Text),
    ("target", Text),
    ("exec", Same(&HOOK)),
    ("include", Texts),
    ("ignore", Texts),
    ("initial_sync", Flag),
]);

static DEVICE_REQUEST: Shape = Object(&[
    ("capabilities", Texts),
    ("driver", Text),
    ("count", DeviceCount),
    ("device_ids", Texts),
    ("options", Labels),
]);

static UPDATE: Shape = Object(&[
    ("parallelism", OptionalInteger),
    ("delay", Duration),
    ("failure_action", Text),
    ("monitor", Duration),
    ("max_failure_ratio", Float),
    ("order", Text),
]);

static RESOURCE: Shape = Object(&[
    ("cpus", Cpus),
    ("memory", Bytes),
    ("pids", Integer),
    ("devices", List(&DEVICE_REQUEST)),
    ("generic_resources", List(&GENERIC)),
]);

static GENERIC: Shape = Object(&[("discrete_resource_spec", Object(&[("kind", Text), ("value", Integer)]))]);

static DEPLOY: Shape = Object(&[
    ("mode", Text),
    ("replicas", OptionalInteger),
    ("labels", Labels),
    ("update_config", Same(&UPDATE)),
    ("rollback_config", Same(&UPDATE)),
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
    (
        "placement",
        Object(&[("constraints", Texts), ("preferences", List(&PREFERENCE)), ("max_replicas_per_node", Integer)]),
    ),
    ("endpoint_mode", Text),
]);

static PREFERENCE: Shape = Object(&[("spread", Text)]);

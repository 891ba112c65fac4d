//! A service's attributes.

use super::deploy::{DEPLOY, DEVELOP, GPUS, HOOK, PRE_START_HOOK};
use super::rule::*;

pub static SERVICE: Rule = object(&[
    ("annotations", Rule::Same(&LIST_OR_DICT)),
    ("attach", Rule::Same(&FLAG)),
    ("blkio_config", Rule::Same(&BLKIO)),
    ("build", Rule::Same(&BUILD)),
    ("cap_add", Rule::Same(&STRING_SET)),
    ("cap_drop", Rule::Same(&STRING_SET)),
    ("cgroup", Rule::Scalar(STR, Check::Words(&["host", "private"]))),
    ("cgroup_parent", of(STR)),
    ("command", Rule::Same(&COMMAND)),
    ("configs", Rule::Same(&FILE_MOUNTS)),
    ("container_name", Rule::Scalar(STR, Check::ContainerName)),
    ("cpu_count", Rule::Scalar(INT.or(STR), Check::Range(0, i64::MAX))),
    ("cpu_percent", Rule::Scalar(INT.or(STR), Check::Range(0, 100))),
    ("cpu_period", Rule::Same(&NUMBER)),
    ("cpu_quota", Rule::Same(&NUMBER)),
    ("cpu_rt_period", Rule::Same(&NUMBER)),
    ("cpu_rt_runtime", Rule::Same(&NUMBER)),
    ("cpu_shares", Rule::Same(&NUMBER)),
    ("cpus", Rule::Same(&NUMBER)),
    ("cpuset", of(STR)),
    ("credential_spec", object(&[("config", of(STR)), ("file", of(STR)), ("registry", of(STR))])),
    ("depends_on", Rule::OneOf(&[set(&STRING), Rule::Map { values: &DEPENDENCY, names: Names::Resource }])),
    ("deploy", Rule::OneOf(&[of(NULL), Rule::Same(&DEPLOY)])),
    ("develop", Rule::OneOf(&[of(NULL), Rule::Same(&DEVELOP)])),
    ("device_cgroup_rules", Rule::Same(&STRING_SET)),
    ("devices", list(&DEVICE)),
    ("dns", Rule::Same(&STRING_OR_LIST)),
    ("dns_opt", Rule::Same(&STRING_SET)),
    ("dns_search", Rule::Same(&STRING_OR_LIST)),
    ("domainname", of(STR)),
    ("entrypoint", Rule::Same(&COMMAND)),
    ("env_file", Rule::OneOf(&[of(STR), list(&ENV_FILE)])),
    ("environment", Rule::Same(&LIST_OR_DICT)),
    ("expose", set(&NUMBER)),
    (
        "extends",
        Rule::OneOf(&[
            of(STR),
            Rule::Object(Object {
                fields: &[("service", of(STR)), ("file", of(STR))],
                required: &["service"],
                extensions: false,
            }),
        ]),
    ),
    ("external_links", Rule::Same(&STRING_SET)),
    ("extra_hosts", Rule::Same(&EXTRA_HOSTS)),
    ("gpus", Rule::Same(&GPUS)),
    ("group_add", set(&NUMBER)),
    ("healthcheck", Rule::Same(&HEALTHCHECK)),
    ("hostname", of(STR)),
    ("image", of(STR)),
    ("init", Rule::Same(&FLAG)),
    ("ipc", of(STR)),
    ("isolation", of(STR)),
    ("label_file", Rule::OneOf(&[of(STR), list(&STRING)])),
    ("labels", Rule::Same(&LIST_OR_DICT)),
    ("links", Rule::Same(&STRING_SET)),
    ("logging", object(&[("driver", of(STR)), ("options", Rule::Map { values: &LOG_OPTION, names: Names::Any })])),
    ("mac_address", of(STR)),
    ("mem_limit", Rule::Same(&NUMBER)),
    ("mem_reservation", Rule::Same(&INTEGER)),
    ("mem_swappiness", Rule::Same(&INTEGER)),
    ("memswap_limit", Rule::Same(&NUMBER)),
    ("models", Rule::OneOf(&[set(&STRING), Rule::Map { values: &MODEL_USE, names: Names::ResourceOrAny }])),
    ("network_mode", of(STR)),
    ("networks", Rule::OneOf(&[set(&STRING), Rule::Map { values: &ATTACHMENT, names: Names::Resource }])),
    ("oom_kill_disable", Rule::Same(&FLAG)),
    ("oom_score_adj", Rule::Scalar(INT.or(STR), Check::Range(-1000, 1000))),
    ("pid", of(STR.or(NULL))),
    ("pids_limit", Rule::Same(&NUMBER)),
    ("platform", of(STR)),
    ("ports", set(&PORT)),
    ("post_start", list(&HOOK)),
    ("pre_start", list(&PRE_START_HOOK)),
    ("pre_stop", list(&HOOK)),
    ("privileged", Rule::Same(&FLAG)),
    ("profiles", Rule::Same(&STRING_SET)),
    (
        "provider",
        requiring(
            &["type"],
            &[("type", of(STR)), ("options", Rule::Map { values: &PROVIDER_OPTION, names: Names::Any })],
        ),
    ),
    ("pull_policy", Rule::Scalar(STR, Check::PullPolicy)),
    ("pull_refresh_after", of(STR)),
    ("read_only", Rule::Same(&FLAG)),
    ("restart", of(STR)),
    ("runtime", of(STR)),
    ("scale", Rule::Same(&INTEGER)),
    ("secrets", Rule::Same(&FILE_MOUNTS)),
    ("security_opt", Rule::Same(&STRING_SET)),
    ("shm_size", Rule::Same(&NUMBER)),
    ("stdin_open", Rule::Same(&FLAG)),
    ("stop_grace_period", of(STR)),
    ("stop_signal", of(STR)),
    ("storage_opt", Rule::Map { values: &Rule::Any, names: Names::Any }),
    ("sysctls", Rule::Same(&LIST_OR_DICT)),
    ("tmpfs", Rule::Same(&STRING_OR_LIST)),
    ("tty", Rule::Same(&FLAG)),
    ("ulimits", Rule::Same(&ULIMITS)),
    ("use_api_socket", of(BOOL)),
    ("user", of(STR)),
    ("userns_mode", of(STR)),
    ("uts", of(STR)),
    ("volumes", set(&MOUNT)),
    ("volumes_from", Rule::Same(&STRING_SET)),
    ("working_dir", of(STR)),
]);

static BUILD: Rule = Rule::OneOf(&[
    of(STR),
    object(&[
        ("additional_contexts", Rule::Same(&LIST_OR_DICT)),
        ("args", Rule::Same(&LIST_OR_DICT)),
        ("cache_from", Rule::Same(&STRINGS)),
        ("cache_to", Rule::Same(&STRINGS)),
        ("context", of(STR)),
        ("dockerfile", of(STR)),
        ("dockerfile_inline", of(STR)),
        ("entitlements", Rule::Same(&STRINGS)),
        ("extra_hosts", Rule::Same(&EXTRA_HOSTS)),
        ("isolation", of(STR)),
        ("labels", Rule::Same(&LIST_OR_DICT)),
        ("network", of(STR)),
        ("no_cache", Rule::Same(&FLAG)),
        ("no_cache_filter", Rule::Same(&STRING_OR_LIST)),
        ("platforms", Rule::Same(&STRINGS)),
        ("privileged", Rule::Same(&FLAG)),
        ("provenance", Rule::Same(&FLAG)),
        ("pull", Rule::Same(&FLAG)),
        ("sbom", Rule::Same(&FLAG)),
        ("secrets", Rule::Same(&FILE_MOUNTS)),
        ("shm_size", Rule::Same(&INTEGER)),
        ("ssh", Rule::Same(&LIST_OR_DICT)),
        ("tags", Rule::Same(&STRINGS)),
        ("target", of(STR)),
        ("ulimits", Rule::Same(&ULIMITS)),
    ]),
]);

static BLKIO: Rule = Rule::Object(Object {
    fields: &[
        ("device_read_bps", list(&BLKIO_LIMIT)),
        ("device_read_iops", list(&BLKIO_LIMIT)),
        ("device_write_bps", list(&BLKIO_LIMIT)),
        ("device_write_iops", list(&BLKIO_LIMIT)),
        ("weight", of(INT.or(STR))),
        ("weight_device", list(&BLKIO_WEIGHT)),
    ],
    required: &[],
    extensions: false,
});

static BLKIO_LIMIT: Rule =
    Rule::Object(Object { fields: &[("path", of(STR)), ("rate", of(INT.or(STR)))], required: &[], extensions: false });

static BLKIO_WEIGHT: Rule = Rule::Object(Object {
    fields: &[("path", of(STR)), ("weight", of(INT.or(STR)))],
    required: &[],
    extensions: false,
});

static DEPENDENCY: Rule = requiring(
    &["condition"],
    &[
        (
            "condition",
            Rule::Scalar(STR, Check::Words(&["service_started", "service_healthy", "service_completed_successfully"])),
        ),
        ("required", of(BOOL)),
        ("restart", of(BOOL.or(STR))),
    ],
);

static DEVICE: Rule = Rule::OneOf(&[
    of(STR),
    requiring(&["source"], &[("source", of(STR)), ("target", of(STR)), ("permissions", of(STR))]),
]);

static ENV_FILE: Rule = Rule::OneOf(&[
    of(STR),
    Rule::Object(Object {
        fields: &[("path", of(STR)), ("format", of(STR)), ("required", of(BOOL.or(STR)))],
        required: &["path"],
        extensions: false,
    }),
]);

static HEALTHCHECK: Rule = object(&[
    ("disable", Rule::Same(&FLAG)),
    ("interval", of(STR)),
    ("retries", Rule::Same(&NUMBER)),
    ("start_interval", of(STR)),
    ("start_period", of(STR)),
    ("test", Rule::OneOf(&[of(STR), list(&STRING)])),
    ("timeout", of(STR)),
]);

static LOG_OPTION: Rule = of(STR.or(NUM).or(NULL));

static MODEL_USE: Rule = Rule::OneOf(&[of(NULL), object(&[("endpoint_var", of(STR)), ("model_var", of(STR))])]);

static ATTACHMENT: Rule = Rule::OneOf(&[
    of(NULL),
    object(&[
        ("aliases", Rule::Same(&STRING_SET)),
        ("driver_opts", Rule::Same(&OPTIONS)),
        ("gw_priority", of(NUM)),
        ("interface_name", of(STR)),
        ("ipv4_address", of(STR)),
        ("ipv6_address", of(STR)),
        ("link_local_ips", Rule::Same(&STRING_SET)),
        ("mac_address", of(STR)),
        ("priority", of(NUM)),
    ]),
]);

static PORT: Rule = Rule::OneOf(&[
    of(NUM.or(STR)),
    object(&[
        ("app_protocol", of(STR)),
        ("host_ip", of(STR)),
        ("mode", of(STR)),
        ("name", of(STR)),
        ("protocol", of(STR)),
        ("published", of(STR.or(INT))),
        ("target", of(INT.or(STR))),
    ]),
]);

static PROVIDER_VALUE: Rule = of(STR.or(NUM).or(BOOL));

static PROVIDER_OPTION: Rule = Rule::OneOf(&[of(STR.or(NUM).or(BOOL)), list(&PROVIDER_VALUE)]);

static MOUNT: Rule = Rule::OneOf(&[
    of(STR),
    requiring(
        &["type"],
        &[
            (
                "bind",
                object(&[
                    ("create_host_path", Rule::Same(&FLAG)),
                    ("propagation", of(STR)),
                    ("recursive", Rule::Scalar(STR, Check::Words(&["enabled", "disabled", "writable", "readonly"]))),
                    ("selinux", Rule::Scalar(STR, Check::Words(&["z", "Z"]))),
                ]),
            ),
            ("consistency", of(STR)),
            ("image", object(&[("subpath", of(STR))])),
            ("read_only", Rule::Same(&FLAG)),
            ("source", of(STR)),
            ("target", of(STR)),
            (
                "tmpfs",
                object(&[("mode", of(NUM.or(STR))), ("size", Rule::Scalar(INT.or(STR), Check::Range(0, i64::MAX)))]),
            ),
            ("type", Rule::Scalar(STR, Check::Words(&["bind", "volume", "tmpfs", "cluster", "npipe", "image"]))),
            (
                "volume",
                object(&[("labels", Rule::Same(&LIST_OR_DICT)), ("nocopy", Rule::Same(&FLAG)), ("subpath", of(STR))]),
            ),
        ],
    ),
]);

//! `deploy`, `develop` and the requests for devices.

use super::rule::*;

pub static DEPLOY: Rule = object(&[
    ("mode", of(STR)),
    ("endpoint_mode", of(STR)),
    ("replicas", of(INT.or(STR))),
    ("labels", Rule::Same(&LIST_OR_DICT)),
    ("rollback_config", Rule::Same(&UPDATE)),
    ("update_config", Rule::Same(&UPDATE)),
    (
        "resources",
        object(&[
            ("limits", object(&[("cpus", of(NUM.or(STR))), ("memory", of(STR)), ("pids", of(INT.or(STR)))])),
            (
                "reservations",
                object(&[
                    ("cpus", of(NUM.or(STR))),
                    ("memory", of(STR)),
                    ("generic_resources", list(&GENERIC_RESOURCE)),
                    ("devices", list(&RESERVED_DEVICE)),
                ]),
            ),
        ]),
    ),
    (
        "restart_policy",
        object(&[("condition", of(STR)), ("delay", of(STR)), ("max_attempts", of(INT.or(STR))), ("window", of(STR))]),
    ),
    (
        "placement",
        object(&[
            ("constraints", Rule::Same(&STRINGS)),
            ("preferences", list(&PREFERENCE)),
            ("max_replicas_per_node", of(INT.or(STR))),
        ]),
    ),
]);

static UPDATE: Rule = object(&[
    ("parallelism", of(INT.or(STR))),
    ("delay", of(STR)),
    ("failure_action", of(STR)),
    ("monitor", of(STR)),
    ("max_failure_ratio", of(NUM.or(STR))),
    ("order", Rule::Scalar(STR, Check::Words(&["start-first", "stop-first"]))),
]);

static PREFERENCE: Rule = object(&[("spread", of(STR))]);

static GENERIC_RESOURCE: Rule =
    object(&[("discrete_resource_spec", object(&[("kind", of(STR)), ("value", of(NUM.or(STR)))]))]);

static RESERVED_DEVICE: Rule = requiring(
    &["capabilities"],
    &[
        ("capabilities", Rule::Same(&STRING_SET)),
        ("count", of(STR.or(INT))),
        ("device_ids", Rule::Same(&STRING_SET)),
        ("driver", of(STR)),
        ("options", Rule::Same(&LIST_OR_DICT)),
    ],
);

static GPU: Rule = object(&[
    ("capabilities", Rule::Same(&STRING_SET)),
    ("count", of(STR.or(INT))),
    ("device_ids", Rule::Same(&STRING_SET)),
    ("driver", of(STR)),
    ("options", Rule::Same(&LIST_OR_DICT)),
]);

pub static GPUS: Rule = Rule::OneOf(&[Rule::Scalar(STR, Check::Words(&["all"])), list(&GPU)]);

pub static DEVELOP: Rule = object(&[("watch", list(&WATCH))]);

static WATCH: Rule = requiring(
    &["path", "action"],
    &[
        ("ignore", Rule::Same(&STRING_OR_LIST)),
        ("include", Rule::Same(&STRING_OR_LIST)),
        ("path", of(STR)),
        ("action", Rule::Scalar(STR, Check::Words(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"]))),
        ("target", of(STR)),
        ("exec", Rule::Same(&HOOK)),
        ("initial_sync", of(BOOL)),
    ],
);

pub static HOOK: Rule = requiring(
    &["command"],
    &[
        ("command", Rule::Same(&COMMAND)),
        ("user", of(STR)),
        ("privileged", of(BOOL.or(STR))),
        ("working_dir", of(STR)),
        ("environment", Rule::Same(&LIST_OR_DICT)),
    ],
);

pub static PRE_START_HOOK: Rule = object(&[
    ("command", Rule::Same(&COMMAND)),
    ("image", of(STR)),
    ("user", of(STR)),
    ("privileged", of(BOOL.or(STR))),
    ("working_dir", of(STR)),
    ("environment", Rule::Same(&LIST_OR_DICT)),
    ("per_replica", of(BOOL.or(STR))),
]);
